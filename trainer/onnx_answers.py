"""Tells from an ONNX graph what its last operators make: logits, probabilities or log-probabilities."""

from typing import Literal, NamedTuple

from onnx import ModelProto, NodeProto

Kind = Literal['logits', 'probabilities', 'log_probabilities']

# Operators that leave values as they are, or round them.
PASSING: tuple[str, ...] = (
    'Identity',
    'Cast',
    'Reshape',
    'Flatten',
    'Squeeze',
    'Unsqueeze',
    'Transpose',
    'Slice',
    'Gather',
    'Split',
)
PASSING += ('Concat', 'Expand', 'Dropout', 'QuantizeLinear', 'DequantizeLinear')
# What a network has learnt: behind one of these everything is a sum of weighted values, and so a logit.
LAYERS = (
    'Gemm',
    'MatMul',
    'Conv',
    'QLinearConv',
    'QLinearMatMul',
    'MatMulInteger',
    'ConvInteger',
    'BatchNormalization',
)
# Of logits these make logits, and of probabilities something in proportion to probabilities.
SUMS = ('Add', 'Sum', 'Mean', 'ReduceMean', 'ReduceSum', 'GlobalAveragePool', 'AveragePool')
# They keep a logarithm from 0.
LIMITS = ('Clip', 'Max', 'Min')
ACTIVATIONS = (
    'Relu',
    'LeakyRelu',
    'PRelu',
    'Elu',
    'Selu',
    'Celu',
    'Gelu',
    'HardSwish',
    'Mish',
    'Softplus',
    'MaxPool',
    *LIMITS,
)


class Told(NamedTuple):
    """What the graph tells of a value, and the operator that told it."""

    # `activated`: a layer's values, bent by an activation; their mean is taken for logits, they themselves may be
    # anything.
    kind: Kind | Literal['activated', 'constant', 'unclear']
    operator: str


def told_of(model: ModelProto, output: str) -> Told:
    """
    What the graph tells of `output`. Nodes come in the order in which they are computed; the checker has seen to that.
    """
    told: dict[str, Told] = {tensor.name: Told('constant', '') for tensor in model.graph.initializer}
    told |= {tensor.values.name: Told('constant', '') for tensor in model.graph.sparse_initializer}
    for node in model.graph.node:
        # An absent optional input has no name.
        inputs = [told.get(name, Told('unclear', 'that is missing')) for name in node.input if name]
        told |= dict.fromkeys(node.output, _told_by(node, inputs))
    return told.get(output, Told('unclear', 'that is missing'))


def _told_by(node: NodeProto, inputs: list[Told]) -> Told:
    operator = node.op_type
    unclear = Told('unclear', operator)
    if any(attribute.HasField('g') for attribute in node.attribute):
        return unclear
    kinds = {value.kind for value in inputs if value.kind != 'constant'}
    if not kinds:
        return Told('constant', operator)
    only = next(iter(kinds)) if len(kinds) == 1 else None
    if operator == 'Softmax':
        return Told('probabilities', operator)
    if operator == 'LogSoftmax':
        return Told('log_probabilities', operator)
    if operator in LAYERS:
        return unclear if kinds & {'probabilities', 'log_probabilities'} else Told('logits', operator)
    if operator in PASSING:
        return next(value for value in inputs if value.kind != 'constant') if only else unclear
    if operator == 'Log' and only == 'probabilities':
        return Told('log_probabilities', operator)
    if operator == 'Exp' and only == 'log_probabilities':
        return Told('probabilities', operator)
    # By a constant: logits that are scaled or moved, percentages.
    by_constant = inputs if operator == 'Mul' else inputs[-1:] if operator in ('Div', 'Sub') else []
    if operator in SUMS or any(value.kind == 'constant' for value in by_constant):
        if only == 'probabilities':
            return Told('probabilities', operator)
        if kinds == {'logits'} or (operator in SUMS and kinds <= {'logits', 'activated'}):
            return Told('logits', operator)
        return unclear
    if operator in LIMITS and only == 'probabilities':
        return Told('probabilities', operator)
    if operator in ACTIVATIONS and kinds <= {'logits', 'activated'}:
        return Told('activated', operator)
    return unclear
