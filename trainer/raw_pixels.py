"""Folds the normalisation of pixels into the first convolution of an ONNX graph, which then takes bytes as they are."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

# Besides casts and transpositions, what a normalisation consists of.
SCALING, SHIFTING = {'Mul': np.multiply, 'Div': np.divide}, {'Add': np.add, 'Sub': np.subtract}
COMMUTATIVE = ('Mul', 'Add')
# The pixels on their way to the convolution.
FRAMED, TRANSPOSED, PIXELS = 'pupil/framed', 'pupil/transposed', 'pupil/pixels'
WEIGHTS, BIAS = 'pupil/weights', 'pupil/bias'
# Of them, that changes no byte: for the quantiser's TensorQuantOverrides.
QUANTISATION = {PIXELS: [{'scale': np.array(1, np.float32), 'zero_point': np.array(0, np.uint8)}]}


class Normalised(NamedTuple):
    """A convolution of scale * pixels + shift, of each channel: both float32 [1, 3, 1, 1]."""

    conv: NodeProto
    scale: np.ndarray
    shift: np.ndarray
    nodes: list[NodeProto]
    """Those in front of the convolution."""


def fold_normalisation(model: ModelProto) -> bool:
    """
    As w * (scale * x + shift) = (w * scale) * x + w * shift, other weights and another bias do what the normalisation
    did. Only the zeros around the pixels have to become the colour that was normalised to zero: a frame of bytes, off
    by half of one at most.

    Changes `model`, whose convolution then takes PIXELS, float32 [batch, 3, height, width] in 0..255. False where its
    graph does not begin so, and was left as it was.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    found = _first_convolution(graph, constants)
    if found is None:
        return False
    conv, scale, shift, gone = found
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in conv.attribute}
    pads = attributes.get('pads', [0, 0, 0, 0])
    zero = np.rint(-shift / scale).reshape(3)
    if any(pads) and (min(pads) < 0 or zero.min() < 0 or zero.max() > 255):
        return False
    weights, *bias = (numpy_helper.to_array(constants[name]) for name in conv.input[1:])
    made = {WEIGHTS: weights * scale, BIAS: (weights * shift).sum((1, 2, 3)) + (bias[0] if bias else np.float32(0))}
    frame, colours = _framed(graph, pads, zero.clip(0, 255).astype(np.uint8))
    made |= colours
    conv.input[:] = [PIXELS, WEIGHTS, BIAS]
    del conv.attribute[:]
    conv.attribute.extend(
        helper.make_attribute(name, value) for name, value in (attributes | {'pads': [0, 0, 0, 0]}).items()
    )

    nodes = [
        *frame,
        helper.make_node('Transpose', [FRAMED], [TRANSPOSED], TRANSPOSED, perm=[0, 3, 1, 2]),
        helper.make_node('Cast', [TRANSPOSED], [PIXELS], PIXELS, to=TensorProto.FLOAT),
        *(node for node in graph.node if node not in gone),
    ]
    used = {name for node in nodes for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*tensors, *(numpy_helper.from_array(value, name) for name, value in made.items())])
    return True


def take_bytes(model: ModelProto) -> None:
    """
    Lets a quantised network that was folded take the bytes in place of a conversion to float32 and, by QUANTISATION,
    back.
    """
    graph = model.graph
    quantiser = next(
        (node for node in graph.node if node.op_type == 'QuantizeLinear' and node.input[0] == PIXELS), None
    )
    if quantiser is None:
        return
    for node in graph.node:
        node.input[:] = [TRANSPOSED if name == quantiser.output[0] else name for name in node.input]
    nodes = [node for node in graph.node if node != quantiser and PIXELS not in node.output]
    del graph.node[:]
    graph.node.extend(nodes)


def _first_convolution(graph: GraphProto, constants: Mapping[str, TensorProto]) -> Normalised | None:
    """Follows the pixels, which nothing else may use, to a convolution of them."""
    name, is_float = 'images', False
    nodes: list[NodeProto] = []
    scale, shift = np.ones((1, 1, 1, 3), np.float32), np.zeros((1, 1, 1, 3), np.float32)
    while True:
        users = [node for node in graph.node if name in node.input]
        if len(users) != 1:
            return None
        node = users[0]
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        besides = [other for other in node.input if other != name]
        if any(other not in constants for other in besides):
            return None
        if node.op_type == 'Conv':
            is_plain = attributes.get('group', 1) == 1 and attributes.get('auto_pad', b'NOTSET') == b'NOTSET'
            is_by_channel = scale.shape == shift.shape == (1, 3, 1, 1)
            return (
                Normalised(node, scale, shift, nodes)
                if is_float and is_plain and is_by_channel and scale.all()
                else None
            )
        if node.op_type == 'Cast' and attributes['to'] == TensorProto.FLOAT:
            is_float = True
        elif node.op_type == 'Transpose':
            scale, shift = scale.transpose(attributes['perm']), shift.transpose(attributes['perm'])
        elif is_float and len(besides) == 1 and (node.input[0] == name or node.op_type in COMMUTATIVE):
            constant = numpy_helper.to_array(constants[besides[0]])
            if node.op_type in SCALING:
                scale, shift = (SCALING[node.op_type](value, constant) for value in (scale, shift))
            elif node.op_type in SHIFTING:
                shift = SHIFTING[node.op_type](shift, constant)
            else:
                return None
        elif node.op_type != 'Identity':
            return None
        nodes.append(node)
        name = node.output[0]


def _framed(
    graph: GraphProto, pads: Sequence[int], colour: np.ndarray
) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """
    The nodes that put a frame of so many pixels (top, left, bottom, right) around the pictures, and what they take
    besides.
    """
    if not any(pads):
        return [helper.make_node('Identity', ['images'], [FRAMED], FRAMED)], {}
    top, left, bottom, right = pads
    height, width = (dimension.dim_value for dimension in graph.input[0].type.tensor_type.shape.dim[1:3])
    beside = {'left': (height, left), 'right': (height, right)}
    across = {'top': (top, left + width + right), 'bottom': (bottom, left + width + right)}
    constants = {
        f'pupil/{side}': np.broadcast_to(colour, (1, *shape, 3)).copy() for side, shape in (beside | across).items()
    }
    constants |= {'pupil/first': np.zeros(1, np.int64), 'pupil/one-picture': np.ones(3, np.int64)}
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ('Shape', ['images'], 'pupil/shape', {}),
        ('Gather', ['pupil/shape', 'pupil/first'], 'pupil/batch', {}),
        ('Concat', ['pupil/batch', 'pupil/one-picture'], 'pupil/times', {'axis': 0}),
        *(('Expand', [f'pupil/{side}', 'pupil/times'], f'pupil/{side} of all', {}) for side in (*beside, *across)),
        ('Concat', ['pupil/left of all', 'images', 'pupil/right of all'], 'pupil/widened', {'axis': 2}),
        ('Concat', ['pupil/top of all', 'pupil/widened', 'pupil/bottom of all'], FRAMED, {'axis': 1}),
    ]
    return [
        helper.make_node(operator, inputs, [output], output, **more) for operator, inputs, output, more in steps
    ], constants
