"""
Puts an ONNX file from elsewhere behind the signature of our own: raw pixels in, the best classes in the run's order
out.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.compose
import onnx.version_converter
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from . import events
from .class_names import output_order
from .errors import Failure
from .imagenet import IMAGENET_MEAN, IMAGENET_STD
from .memory_limit import limited_memory
from .onnx_answers import Kind, told_of
from .onnx_size import fit_in_one_file
from .publish import publish
from .tasks import WrapTask

# In front of every name of the given graph, so that none of ours can be among them.
GIVEN = 'given/'
# Since this version TopK takes what we ask of it; what is older is converted.
OLDEST_OPSET, CONVERTED_OPSET = 11, 18
# Their outputs are another each time.
RANDOM = {'Bernoulli', 'Multinomial', 'RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike'}
# Names of ONNX's own operators' domain, and of those that onnxruntime has besides.
STANDARD, RUNTIME = ('', 'ai.onnx'), ('ai.onnx.ml', 'com.microsoft', 'com.microsoft.nchwc')
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
# Probabilities that a float rounds to 0 have a logarithm all the same.
SMALLEST_PROBABILITY = np.finfo(np.float32).tiny


def wrap(task: WrapTask) -> dict[str, Any]:
    """
    The `wrap` task. Raises Failure('model') for a file that cannot be taken, or does not tell what nobody else told.
    """
    beside = task.file.with_name(f'{task.file.name}.data')
    with limited_memory(task.file, sum(file.stat().st_size for file in (task.file, beside) if file.exists())):
        return wrap_within_limits(task)


def wrap_within_limits(task: WrapTask) -> dict[str, Any]:
    model = read_onnx(task.file)
    described = {prop.key: prop.value for prop in model.metadata_props}.get('pupil')
    if described is not None:
        take_own(task, described)
        return {'input': None, 'answer': None}
    model = with_recent_opset(model, task.file)
    # Files of the first format list their weights among the inputs, where anybody may replace them.
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 8)
    model = onnx.compose.add_prefix(model, GIVEN)

    pictures = the_input(model, task.file)
    layout = layout_of(pictures, task)
    free_batch(model, task.file)
    answer, outputs = the_output(model, task)
    kind = kind_of(model, answer, task)
    order = output_order(task.file, outputs, task.file_classes, task.classes)
    mean, std = normalisation(layout, task)
    normalised = '' if mean is None or std is None else f', normalised by mean {list(mean)} and deviation {list(std)}'
    events.note(f'{task.file} is taken to want {layout} pixels{normalised}, and to answer {kind.replace("_", "-")}.')

    before = [*pixels_to(pictures, layout, mean, std, model)]
    after = [*ranked_from(answer, kind, order, task, model)]
    nodes = [*before, *model.graph.node, *after]
    del model.graph.node[:], model.graph.input[:], model.graph.output[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.input.append(
        helper.make_tensor_value_info('images', TensorProto.UINT8, ['batch', task.size, task.size, 3])
    )
    model.graph.output.append(helper.make_tensor_value_info('log_prob', TensorProto.FLOAT, ['batch', task.kept]))
    model.graph.output.append(helper.make_tensor_value_info('class', TensorProto.INT32, ['batch', task.kept]))
    model.graph.output.append(helper.make_tensor_value_info('given', TensorProto.FLOAT, ['batch', len(order)]))
    about = {
        'version': 1,
        'model': 'onnx',
        'size': task.size,
        'resize': task.resize,
        'kept': task.kept,
        'temperature': task.temperature,
        'classes': task.classes,
        'answers': {'kind': kind, 'told_by': 'graph' if task.answer == 'auto' else 'user'},
    }
    helper.set_model_props(model, {'pupil': json.dumps(about, ensure_ascii=False)})
    fit_in_one_file(model)
    try:
        onnx.checker.check_model(model)
        content = model.SerializeToString(deterministic=True)
    except Exception as error:
        raise Failure(
            'model', f'{task.file} cannot be wrapped: {_first_line(error)}. Export it again with a newer program.'
        ) from error
    publish(task.output, lambda file: file.write(content))
    return {'input': layout, 'answer': kind}


# ---------------------------------------------------------------- the file


def read_onnx(path: Path) -> ModelProto:
    """
    The model with all its weights inside. Those that PyTorch's exporter puts beside it, in NAME.onnx.data, are read,
    too.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError) as error:
        raise Failure(
            'model', f'{path} cannot be read as an ONNX file: {_first_line(error)}. Fetch or export it again.'
        ) from error
    if not all(isinstance(text, str) for text in _texts(model)):
        raise Failure(
            'model', f'{path} cannot be read as an ONNX file: it has names that are no text. Fetch or export it again.'
        )
    check_what_it_needs(model, path)
    elsewhere = _external(model)
    try:
        if not elsewhere:
            onnx.checker.check_model(model)
    # The checker words its complaints with names from the file, which need not be text.
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        raise Failure(
            'model', f'{path} cannot be read as an ONNX file: {_first_line(error)}. Fetch or export it again.'
        ) from error
    if elsewhere - {f'{path.name}.data'}:
        raise Failure(
            'model',
            f'{path} keeps weights in {", ".join(sorted(elsewhere))}; expected them inside, or in {path.name}.data '
            'beside it. '
            f'Make one file of them: onnx.save(onnx.load({path.name!r}), "one.onnx").',
        )
    if elsewhere:
        try:
            onnx.load_external_data_for_model(model, str(path.parent))
        except (onnx.checker.ValidationError, OSError, ValueError) as error:
            raise Failure(
                'model', f'{path}.data, with its weights, cannot be read: {_first_line(error)}. Fetch both again.'
            ) from error
    return model


def _texts(model: ModelProto) -> Iterator[str | bytes]:
    """
    Every name, key and description, wherever it stands. One that is no UTF-8 comes as bytes, which nothing behind
    expects.
    """
    waiting: list[Message] = [model]
    while waiting:
        for field, value in waiting.pop().ListFields():
            if field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE):
                continue
            values = [value] if isinstance(value, str | bytes | Message) else value
            if field.type == FieldDescriptor.TYPE_STRING:
                yield from values
            else:
                waiting.extend(values)


def _external(model: ModelProto) -> set[str]:
    """The files besides its own in which a model keeps weights."""
    return {
        entry.value
        for tensor in _tensors(model)
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == 'location'
    }


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """All of them, those in the bodies of loops, branches and functions, too."""
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from (*([attribute.t] if attribute.HasField('t') else []), *attribute.tensors)


def _graphs(model: ModelProto) -> Iterator[GraphProto]:
    yield model.graph
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from (*([attribute.g] if attribute.HasField('g') else []), *attribute.graphs)


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    waiting = [node for nodes in (model.graph.node, *(function.node for function in model.functions)) for node in nodes]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField('g') else []), *attribute.graphs):
                waiting.extend(graph.node)


def check_what_it_needs(model: ModelProto, path: Path) -> None:
    """
    Raises Failure('model') for operators, opsets and weights that are not to be had; onnxruntime would tell in its own
    words.
    """
    newest = onnx.defs.onnx_opset_version()
    found = max((entry.version for entry in model.opset_import if entry.domain in STANDARD), default=0)
    if found > newest:
        raise Failure(
            'model', f'{path} is of opset {found}; expected {newest} at most. Export it again with an older one.'
        )
    own = {(function.domain, function.name) for function in model.functions}
    strange = sorted(
        {
            f'{node.domain}:{node.op_type}' if node.domain else node.op_type
            for node in _nodes(model)
            if (node.domain, node.op_type) not in own
            and node.domain not in RUNTIME
            and not (node.domain in STANDARD and onnx.defs.has(node.op_type))
            and not onnx.defs.has(node.op_type, node.domain)
        }
    )
    if strange:
        raise Failure(
            'model',
            f'{path} needs operators that are not ours to run: {", ".join(strange[:5])}. Export it with those of '
            'ONNX alone.',
        )
    by_chance = sorted({node.op_type for node in _nodes(model) if node.domain in STANDARD and node.op_type in RANDOM})
    if by_chance:
        raise Failure(
            'model',
            f'{path} answers by chance ({", ".join(by_chance)}): a picture would have other scores each time. Export '
            'it for evaluation.',
        )
    there = {''}.union(*([value.name for value in (*graph.input, *graph.initializer)] for graph in _graphs(model)))
    there |= {sparse.values.name for graph in _graphs(model) for sparse in graph.sparse_initializer}
    there |= {name for node in _nodes(model) for name in node.output} | {
        name for function in model.functions for name in function.input
    }
    missing = sorted({name for node in _nodes(model) for name in node.input if name not in there})
    if missing:
        more = f' and {len(missing) - 5} more' if len(missing) > 5 else ''
        raise Failure(
            'model',
            f'{path} lacks the weights {", ".join(missing[:5])}{more}. Export it again with its weights '
            '(export_params=True).',
        )


def take_own(task: WrapTask, described: str) -> None:
    """A file that we exported describes itself, and is what a wrapped one becomes."""
    try:
        about = json.loads(described)
        size, resize, kept, classes = about['size'], about['resize'], about['kept'], about['classes']
        if not all(isinstance(number, int) for number in (size, resize, kept)) or not all(
            isinstance(name, str) for name in classes
        ):
            raise TypeError('numbers or names of another kind')
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Failure(
            'model', f'The "pupil" metadata of {task.file} is not understood: {error!r}. Export it again.'
        ) from error
    told = {
        'classes': task.file_classes is not None,
        'mean': task.mean is not None,
        'std': task.std is not None,
        'input': task.input != 'auto',
        'output': task.answer != 'auto',
        'temperature': task.temperature != 1,
    }
    if any(told.values()):
        keys = ', '.join(f'teacher.{key}' for key, given in told.items() if given)
        raise Failure('model', f'{task.file} was exported by pupil, and says all of itself. Leave out {keys}.')
    output_order(task.file, len(classes), classes, task.classes)
    if (size, resize) != (task.size, task.resize):
        raise Failure(
            'model',
            f'{task.file} takes {size} px cut from {resize} px; this run prepares {task.size} px cut from '
            f'{task.resize} px. '
            f'Set image.size={size} and image.resize={resize}.',
        )
    if kept < task.kept:
        raise Failure(
            'model',
            f'{task.file} gives the {kept} best classes of a picture; select.top_p wants {task.kept}. Export it again.',
        )
    publish(task.output, lambda file: file.write(task.file.read_bytes()))


def with_recent_opset(model: ModelProto, path: Path) -> ModelProto:
    version = next((entry.version for entry in model.opset_import if entry.domain in ('', 'ai.onnx')), 0)
    if version >= OLDEST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, CONVERTED_OPSET)
    except Exception as error:
        raise Failure(
            'model',
            f'{path} is of opset {version}, and cannot be converted: {_first_line(error)}. Export it with opset '
            f'{OLDEST_OPSET} or newer.',
        ) from error


# ---------------------------------------------------------------- what the graph tells


def the_input(model: ModelProto, path: Path) -> ValueInfoProto:
    values = list(model.graph.input)
    if len(values) != 1 or len(_sides(values[0])) != 4:
        raise Failure('model', f'{path} takes {_shown(values)}; expected one batch of pictures, with 4 dimensions.')
    return values[0]


def layout_of(pictures: ValueInfoProto, task: WrapTask) -> str:
    """
    `teacher.input`, checked against the graph's input, or what that tells. Raises where they differ, or nobody tells.
    """
    kind = pictures.type.tensor_type.elem_type
    sides = _sides(pictures)
    number = 'uint8' if kind == TensorProto.UINT8 else 'float' if kind in FLOATS else None
    axes = 'nchw' if sides[1] == 3 and sides[3] != 3 else 'nhwc' if sides[3] == 3 and sides[1] != 3 else None
    shown = f'{task.file} takes {_shown([pictures])}'
    if number is None:
        raise Failure('model', f'{shown}; expected bytes (uint8) or floats.')
    layout: str = task.input
    if layout == 'auto':
        if axes is None:
            raise Failure(
                'model',
                f'{shown}; its graph does not tell where the channels are. Set teacher.input to {number}_nchw or '
                f'{number}_nhwc.',
            )
        layout = f'{number}_{axes}'
    elif not layout.startswith(number) or (axes is not None and not layout.endswith(axes)):
        raise Failure(
            'model', f'{shown}, which is not the {layout} of teacher.input. Leave that out, or set what is true.'
        )
    across = sides[2:] if layout.endswith('nchw') else sides[1:3]
    if any(side not in (None, task.size) for side in across):
        found = 'x'.join(str(side or 'any') for side in across)
        raise Failure(
            'model',
            f'{task.file} takes pictures of {found} pixels; this run prepares {task.size}. Set image.size to its own.',
        )
    return layout


def normalisation(layout: str, task: WrapTask) -> tuple[Sequence[float], Sequence[float]] | tuple[None, None]:
    if layout.startswith('uint8'):
        if task.mean is not None or task.std is not None:
            raise Failure(
                'model', f'{task.file} takes bytes, which nothing normalises. Leave teacher.mean and teacher.std out.'
            )
        return None, None
    if task.mean is None or task.std is None:
        events.note(
            f"{task.file} does not say how its pictures were normalised: taking ImageNet's mean or deviation where "
            'none was given. '
            'Set teacher.mean and teacher.std where it was trained with others.'
        )
    return task.mean or IMAGENET_MEAN, task.std or IMAGENET_STD


def the_output(model: ModelProto, task: WrapTask) -> tuple[ValueInfoProto, int]:
    """
    The output that answers, and for how many classes: the only one, or the only one with as many values a picture as
    classes.
    """
    inferred = with_shapes(model, task.file)
    wanted = len(task.classes if task.file_classes is None else task.file_classes)
    answers = list(inferred.graph.output)
    if len(answers) > 1:
        answers = [value for value in answers if _values(value) == wanted]
    if len(answers) != 1:
        raise Failure(
            'model',
            f'{task.file} gives {_shown(inferred.graph.output)}; expected one output with {wanted} values a picture.',
        )
    if answers[0].type.tensor_type.elem_type not in (*FLOATS, TensorProto.BFLOAT16):
        raise Failure(
            'model',
            f'{task.file} gives {_shown(answers)}; expected a float for each class, not what was chosen by them.',
        )
    outputs = _values(answers[0])
    if outputs is None:
        events.note(f'{task.file} does not tell how many classes it answers for: taking {wanted}.')
    return answers[0], outputs or wanted


def with_shapes(model: ModelProto, path: Path) -> ModelProto:
    """The model with the shape of every value that can be told."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        raise Failure('model', f'{path} contradicts itself: {_first_line(error)}. Export it again.') from error


def kind_of(model: ModelProto, answer: ValueInfoProto, task: WrapTask) -> Kind:
    """`teacher.output`, or what the graph tells. Real answers have their say when the file is measured."""
    if task.answer != 'auto':
        return task.answer
    kind, operator = told_of(model, answer.name)
    match kind:
        case 'logits' | 'probabilities' | 'log_probabilities':
            return kind
    raise Failure(
        'model',
        f'{task.file} answers by an operator {operator}, which does not tell what is answered. '
        'Set teacher.output, to logits, probabilities or log_probabilities.',
    )


# ---------------------------------------------------------------- the graph


def free_batch(model: ModelProto, path: Path) -> None:
    """
    Lets a graph that was exported for a fixed number of pictures take any. Reshapes to that number are the one thing in
    a classifier that holds on to it; raises where something else does.
    """
    dimension = model.graph.input[0].type.tensor_type.shape.dim[0]
    fixed = dimension.dim_value
    if not fixed:
        return
    dimension.dim_param = 'batch'
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField('shape')
    reshapes = [node for node in model.graph.node if node.op_type == 'Reshape']
    while True:
        inferred = with_shapes(model, path)
        shapes = {
            value.name: value for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
        }
        constants = _constants(model)
        # In order: what a reshape lets through decides what the next one is given.
        for node in reshapes:
            shape = constants.get(node.input[1])
            if (
                shape is not None
                and shape.size
                and shape.flat[0] == fixed
                and _first_is_batch(shapes.get(node.input[0]))
            ):
                # 0: as many as come in.
                name = f'pupil/shape of {node.output[0]}'
                model.graph.initializer.append(numpy_helper.from_array(np.array([0, *shape.flat[1:]], np.int64), name))
                node.input[1] = name
                others = [attribute for attribute in node.attribute if attribute.name != 'allowzero']
                del node.attribute[:]
                node.attribute.extend(others)
                break
        else:
            break
    if any(_sides(value)[:1] == [fixed] for value in inferred.graph.output):
        raise Failure(
            'model',
            f'{path} was exported for {fixed} pictures at once, and holds on to that. Export it again with a dynamic '
            'batch dimension.',
        )


def _constants(model: ModelProto) -> dict[str, np.ndarray]:
    """Small integers that the graph holds: shapes."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    tensors |= {
        node.output[0]: attribute.t
        for node in model.graph.node
        if node.op_type == 'Constant'
        for attribute in node.attribute
        if attribute.name == 'value'
    }
    return {
        name: numpy_helper.to_array(tensor) for name, tensor in tensors.items() if tensor.data_type == TensorProto.INT64
    }


def _first_is_batch(value: ValueInfoProto | None) -> bool:
    return (
        value is not None
        and bool(value.type.tensor_type.shape.dim)
        and value.type.tensor_type.shape.dim[0].dim_param == 'batch'
    )


def pixels_to(
    pictures: ValueInfoProto, layout: str, mean: Sequence[float] | None, std: Sequence[float] | None, model: ModelProto
) -> Iterator[NodeProto]:
    """The nodes from `images` to the given graph's input."""
    name = 'images'
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    if mean is not None and std is not None:
        steps.append(('Cast', [], {'to': TensorProto.FLOAT}))
    if layout.endswith('nchw'):
        steps.append(('Transpose', [], {'perm': [0, 3, 1, 2]}))
    if mean is not None and std is not None:
        shape = (1, 3, 1, 1) if layout.endswith('nchw') else (3,)
        scale = np.array([1 / (255 * deviation) for deviation in std], np.float32).reshape(shape)
        shift = np.array([-m / deviation for m, deviation in zip(mean, std, strict=True)], np.float32).reshape(shape)
        steps += [('Mul', [_constant(model, 'scale', scale)], {}), ('Add', [_constant(model, 'shift', shift)], {})]
        if pictures.type.tensor_type.elem_type != TensorProto.FLOAT:
            steps.append(('Cast', [], {'to': pictures.type.tensor_type.elem_type}))
    yield from _chain(name, steps or [('Identity', [], {})], pictures.name)


def ranked_from(
    answer: ValueInfoProto, kind: Kind, order: Sequence[int], task: WrapTask, model: ModelProto
) -> Iterator[NodeProto]:
    """
    The nodes from the given graph's answer to `given`, that answer as it is, and to `log_prob` and `class`. All kinds
    end in a softmax: probabilities may come as percentages or as a sum over several networks, and one of
    log-probabilities changes nothing.
    """
    given: list[tuple[str, list[str], dict[str, Any]]] = [('Cast', [], {'to': TensorProto.FLOAT})]
    if len(_sides(answer)) != 2:
        given.append(('Reshape', [_constant(model, 'answers', np.array([0, len(order)], np.int64))], {}))
    yield from _chain(answer.name, given, 'given')
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    if kind == 'probabilities':
        steps += [('Max', [_constant(model, 'smallest', np.array(SMALLEST_PROBABILITY))], {}), ('Log', [], {})]
    if task.temperature != 1:
        steps.append(('Div', [_constant(model, 'temperature', np.array(task.temperature, np.float32))], {}))
    steps.append(('LogSoftmax', [], {'axis': 1}))
    if list(order) != list(range(len(order))):
        steps.append(('Gather', [_constant(model, 'order', np.array(order, np.int64))], {'axis': 1}))
    yield from _chain('given', steps, 'pupil/log-probabilities')
    kept = _constant(model, 'kept', np.array([task.kept], np.int64))
    yield helper.make_node('TopK', ['pupil/log-probabilities', kept], ['log_prob', 'pupil/best'], axis=1)
    yield helper.make_node('Cast', ['pupil/best'], ['class'], to=TensorProto.INT32)


def _chain(first: str, steps: Sequence[tuple[str, list[str], dict[str, Any]]], last: str) -> Iterator[NodeProto]:
    """Operators one after another, each with what it takes besides the answer of the one before."""
    name = first
    for index, (operator, besides, attributes) in enumerate(steps):
        made = last if index == len(steps) - 1 else f'pupil/{operator} after {first} {index}'
        yield helper.make_node(operator, [name, *besides], [made], **attributes)
        name = made


def _constant(model: ModelProto, name: str, value: np.ndarray) -> str:
    model.graph.initializer.append(numpy_helper.from_array(value, f'pupil/{name}'))
    return f'pupil/{name}'


def _sides(value: ValueInfoProto) -> list[int | None]:
    """The dimensions of a tensor; None where any size goes. Empty where not even their number is known."""
    return [dimension.dim_value or None for dimension in value.type.tensor_type.shape.dim]


def _values(value: ValueInfoProto) -> int | None:
    """How many values a picture a tensor holds; None where that is not known."""
    sides = _sides(value)[1:]
    return math.prod(side for side in sides if side) if sides and None not in sides else None


def _shown(values: Sequence[ValueInfoProto]) -> str:
    def one(value: ValueInfoProto) -> str:
        kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
        sides = ', '.join(str(dim.dim_value or dim.dim_param or '?') for dim in value.type.tensor_type.shape.dim)
        return f'{value.name.removeprefix(GIVEN)} {kind}[{sides}]'

    return ', '.join(map(one, values)) or 'nothing'


def _first_line(error: Exception) -> str:
    return (str(error) or repr(error)).strip().splitlines()[0].rstrip('.')
