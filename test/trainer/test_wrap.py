"""
ONNX teachers from elsewhere: whatever they take and answer, the wrapped file answers like our own; and what is refused.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import CLASSES
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from trainer.config import parse_task
from trainer.errors import Failure
from trainer.wrap_onnx import wrap

# What is taken is told in notes.
pytestmark = pytest.mark.usefixtures('emitted')

# The order of the file's outputs, which is not the run's.
ELSEWHERE = ['grey', 'blue', 'green', 'red']
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
SIZE = 8


class Net(nn.Module):
    """Normalised floats [batch, 3, height, width] in, logits out, with a view that an exporter makes a reshape of."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.fc = nn.Linear(6 * 16, 4)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        return self.fc(x.reshape(x.shape[0], -1))


class Around(nn.Module):
    """The net as somebody exported it: for pixels of a layout, with an answer of a kind."""

    def __init__(self, net, layout, answer):
        super().__init__()
        self.net, self.layout, self.answer = net, layout, answer

    def forward(self, x):
        if self.layout.endswith('nhwc'):
            x = x.permute(0, 3, 1, 2)
        if self.layout.startswith('uint8'):
            x = (x.float() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        logits = self.net(x)
        return {'logits': logits, 'probabilities': logits.softmax(1), 'log_probabilities': logits.log_softmax(1)}[
            self.answer
        ]


@pytest.fixture(scope='module')
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def images():
    return torch.randint(0, 256, (5, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def expected(net, images, kept=3, temperature=1.0):
    """
    What our own file of this net would answer: the best log-probabilities, and their classes in the order of the run.
    """
    logits = net(
        (images.permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    )
    order = [ELSEWHERE.index(name) for name in CLASSES]
    log_prob, classes = (logits[:, order] / temperature).log_softmax(1).topk(kept)
    return log_prob.numpy(), classes.int().numpy()


# The files that were exported: the exporter takes seconds, and most tests want the same file.
EXPORTED: dict[tuple[str, str, bool, int], bytes] = {}


def export(net, path, layout='float_nchw', answer='logits', *, dynamic=True, batch=2):
    key = (layout, answer, dynamic, batch)
    if key not in EXPORTED:
        shape = (batch, 3, SIZE, SIZE) if layout.endswith('nchw') else (batch, SIZE, SIZE, 3)
        example = torch.zeros(shape, dtype=torch.uint8 if layout.startswith('uint8') else torch.float32)
        torch.onnx.export(
            Around(net, layout, answer).eval(),
            (example,),
            path,
            input_names=['images'],
            dynamo=True,
            external_data=False,
            dynamic_shapes=({0: 'n'},) if dynamic else None,
            verbose=False,
        )
        EXPORTED[key] = Path(path).read_bytes()
    Path(path).write_bytes(EXPORTED[key])


@pytest.fixture
def task(tmp_path):
    return {
        'protocol': 1,
        'task': 'wrap',
        'device': 'cpu',
        'threads': 1,
        'seed': 0,
        'file': str(tmp_path / 'given.onnx'),
        'size': SIZE,
        'resize': SIZE,
        'classes': CLASSES,
        'file_classes': ELSEWHERE,
        'mean': list(MEAN),
        'std': list(STD),
        'input': 'auto',
        'answer': 'auto',
        'temperature': 1,
        'kept': 3,
        'output': str(tmp_path / 'wrapped' / 'model.onnx'),
    }


def answers(path, images):
    log_prob, classes = ReferenceEvaluator(str(path)).run(['log_prob', 'class'], {'images': images.numpy()})
    assert (log_prob.dtype, classes.dtype) == (np.float32, np.int32)
    return log_prob, classes


def agree(found, wanted):
    return np.allclose(found[0], wanted[0], atol=1e-4) and np.array_equal(found[1], wanted[1])


def refusal(task) -> str:
    with pytest.raises(Failure) as refused:
        wrap(parse_task(task))
    assert refused.value.reason == 'model'
    return str(refused.value)


@pytest.mark.parametrize('answer', ['logits', 'probabilities', 'log_probabilities'])
@pytest.mark.parametrize('layout', ['float_nchw', 'float_nhwc', 'uint8_nhwc', 'uint8_nchw'])
def test_every_layout_and_answer_is_recognised_and_gives_pytorchs_log_probabilities(
    task, net, images, layout, answer, emitted
):
    export(net, task['file'], layout, answer)
    if layout.startswith('uint8'):
        task |= {'mean': None, 'std': None}
    assert wrap(parse_task(task)) == {'input': layout, 'answer': answer}
    assert agree(answers(task['output'], images), expected(net, images))
    assert f'taken to want {layout} pixels' in emitted()[-1]['message']
    assert f'to answer {answer.replace("_", "-")}' in emitted()[-1]['message']


def test_the_wrapped_file_describes_itself_like_our_own(task, net):
    export(net, task['file'])
    wrap(parse_task(task))
    model = onnx.load(task['output'])
    about = json.loads({entry.key: entry.value for entry in model.metadata_props}['pupil'])
    described = {
        'version': 1,
        'model': 'onnx',
        'size': SIZE,
        'resize': SIZE,
        'kept': 3,
        'temperature': 1,
        'classes': CLASSES,
    }
    assert about == {**described, 'answers': {'kind': 'logits', 'told_by': 'graph'}}
    values = (*model.graph.input, *model.graph.output)
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values
    }
    assert shapes == {
        'images': ['batch', SIZE, SIZE, 3],
        'log_prob': ['batch', 3],
        'class': ['batch', 3],
        'given': ['batch', 4],
    }


def own(size, classes):
    return f'{{"size": {size}, "resize": 8, "kept": 3, "classes": {classes}}}'


def described_as(model, words, path):
    next(prop for prop in model.metadata_props if prop.key == 'pupil').value = words
    onnx.save(model, path)
    return str(path)


def test_a_file_that_pupil_made_is_taken_as_it_is_and_told_nothing(task, net, tmp_path):
    export(net, task['file'])
    wrap(parse_task(task))
    silent = {'file_classes': None, 'mean': None, 'std': None}
    again = {**task, **silent, 'file': task['output'], 'output': str(tmp_path / 'again' / 'model.onnx')}
    assert wrap(parse_task(again)) == {'input': None, 'answer': None}
    assert (tmp_path / 'again' / 'model.onnx').read_bytes() == (tmp_path / 'wrapped' / 'model.onnx').read_bytes()
    assert 'Leave out teacher.temperature' in refusal({**again, 'temperature': 2})
    assert 'Set image.size=8 and image.resize=8' in refusal({**again, 'size': 16})
    assert 'gives the 3 best classes' in refusal({**again, 'kept': 4})


@pytest.mark.parametrize(
    'words',
    ['no JSON', '[' * 100_000, '[]', '{"size": 8}', own('"8"', '[]'), own('8', '4')],
)
def test_a_file_of_pupils_that_describes_itself_wrongly_is_refused(task, net, tmp_path, words):
    export(net, task['file'])
    wrap(parse_task(task))
    silent = {'file_classes': None, 'mean': None, 'std': None}
    file = described_as(onnx.load(task['output']), words, tmp_path / 'described.onnx')
    assert 'metadata of' in refusal({**task, **silent, 'file': file})


def test_what_is_told_goes_before_what_is_recognised_and_must_not_contradict_the_graph(task, net, images):
    export(net, task['file'], 'float_nhwc', 'probabilities')
    told = {**task, 'input': 'float_nhwc', 'answer': 'probabilities', 'temperature': 2}
    wrap(parse_task(told))
    assert agree(answers(task['output'], images), expected(net, images, temperature=2))
    message = refusal({**task, 'input': 'float_nchw'})
    assert 'takes images float[n, 8, 8, 3], which is not the float_nchw of teacher.input' in message
    assert 'which is not the uint8_nhwc of teacher.input' in refusal({**task, 'input': 'uint8_nhwc'})


def test_where_the_normalisation_is_not_told_it_is_imagenets_and_that_is_said(task, net, emitted):
    export(net, task['file'])
    wrap(parse_task({**task, 'mean': None, 'std': None}))
    messages = [event['message'] for event in emitted()]
    assert any("taking ImageNet's" in message for message in messages)
    assert 'mean [0.485, 0.456, 0.406]' in messages[-1]


def test_bytes_are_normalised_by_nobody(task, net):
    export(net, task['file'], 'uint8_nhwc')
    assert 'Leave teacher.mean and teacher.std out.' in refusal(task)


@pytest.mark.parametrize('batch', [1, 4])
def test_a_graph_for_a_fixed_number_of_pictures_takes_any(task, net, images, batch):
    export(net, task['file'], dynamic=False, batch=batch)
    given = onnx.load(task['file'])
    assert given.graph.input[0].type.tensor_type.shape.dim[0].dim_value == batch
    assert any(node.op_type == 'Reshape' for node in given.graph.node)
    wrap(parse_task(task))
    assert agree(answers(task['output'], images), expected(net, images))


def test_a_graph_that_holds_on_to_its_number_of_pictures_is_refused(task):
    graph(
        'Reshape',
        [('shape', np.array([2, 3 * SIZE * SIZE], np.int64))],
        [2, 3, SIZE, SIZE],
        task['file'],
        first='Expand',
    )
    assert 'was exported for 2 pictures at once, and holds on to that' in refusal(task)


def graph(last, constants, shape, path, *, first=None, kind=TensorProto.FLOAT, classes=4):
    """A small graph of our own: the mean of each channel, mapped to the classes, then an operator `last`."""
    weights = [('map', np.random.default_rng(0).standard_normal((3, classes)).astype(np.float32)), *constants]
    nodes = [
        helper.make_node('GlobalAveragePool', ['x'], ['pooled']),
        helper.make_node('Flatten', ['pooled'], ['flat']),
    ]
    if first == 'Expand':
        weights.append(('size', np.array(shape, np.int64)))
        nodes.insert(0, helper.make_node('Expand', ['x', 'size'], ['wide']))
        nodes[1].input[0] = 'wide'
    nodes += [helper.make_node('MatMul', ['flat', 'map'], ['mapped'])]
    if last == 'Reshape':
        nodes.append(helper.make_node('Identity', ['mapped'], ['answer']))
    else:
        nodes.append(helper.make_node(last, ['mapped', *(name for name, _ in constants)], ['answer']))
    made = helper.make_graph(
        nodes,
        'small',
        [helper.make_tensor_value_info('x', kind, shape)],
        [helper.make_tensor_value_info('answer', TensorProto.FLOAT, [shape[0], classes])],
        [numpy_helper.from_array(value, name) for name, value in weights],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid('', 18)]), path)


@pytest.mark.parametrize(
    ('last', 'constants', 'answer'),
    [
        ('Identity', [], 'logits'),
        ('Div', [('scale', np.array(9, np.float32))], 'logits'),
        ('Sigmoid', [], None),
        ('Exp', [], None),
        ('Relu', [], None),
    ],
)
def test_an_answer_that_the_last_operator_does_not_tell_is_asked_for(task, last, constants, answer):
    graph(last, constants, ['n', 3, SIZE, SIZE], task['file'])
    if answer is None:
        assert f'answers by an operator {last}, which does not tell what is answered. Set teacher.output' in refusal(
            task
        )
        assert wrap(parse_task({**task, 'answer': 'logits'}))['answer'] == 'logits'
    else:
        assert wrap(parse_task(task))['answer'] == answer


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        (
            ['n', 'c', 'h', 'w'],
            'takes x float[n, c, h, w]; its graph does not tell where the channels are. Set teacher.input to '
            'float_nchw',
        ),
        (['n', 3, 224, 224], 'takes pictures of 224x224 pixels; this run prepares 8. Set image.size'),
        (['n', 3, SIZE], 'expected one batch of pictures, with 4 dimensions'),
        (['n', 1, SIZE, SIZE], 'does not tell where the channels are'),
    ],
)
def test_an_input_that_is_no_batch_of_such_pictures_is_refused(task, shape, message):
    graph('Identity', [], shape, task['file'])
    assert message in refusal(task)


def test_pictures_of_any_size_are_taken(task):
    graph('Identity', [], ['n', 3, 'h', 'w'], task['file'])
    assert wrap(parse_task(task)) == {'input': 'float_nchw', 'answer': 'logits'}


def test_half_precision_is_fed_with_halves(task, net, images):
    export(net, task['file'])
    wrap(parse_task(task))
    reference = answers(task['output'], images)
    model = onnx.load(task['file'])
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    for value in (value for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, task['file'])
    wrap(parse_task(task))
    assert np.allclose(answers(task['output'], images)[0], reference[0], atol=0.02)


def test_of_several_outputs_the_one_with_a_value_for_each_class_is_taken(task, net, images):
    export(net, task['file'])
    model = onnx.load(task['file'])
    features = next(node for node in model.graph.node if node.op_type == 'Reshape').output[0]
    model.graph.output.insert(0, helper.make_tensor_value_info(features, TensorProto.FLOAT, ['n', 96]))
    onnx.save(model, task['file'])
    wrap(parse_task(task))
    assert agree(answers(task['output'], images), expected(net, images))


def test_names_the_classes_that_differ(task, net):
    export(net, task['file'])
    assert '1 missing (red); 1 not among the labels (pink)' in refusal(
        {**task, 'file_classes': ['grey', 'blue', 'green', 'pink']}
    )
    assert 'does not name the classes of its 4 outputs; the labelled pictures have 4 classes' in refusal(
        {**task, 'file_classes': None}
    )
    graph('Identity', [], ['n', 3, SIZE, SIZE], task['file'], classes=1000)
    assert 'has 1000 outputs, but names for 4 of them' in refusal(task)


def test_weights_beside_the_file_are_taken_in_where_pytorch_puts_them(task, net, images):
    export(net, task['file'])

    def move_weights(to):
        onnx.save_model(
            onnx.load(task['file']), task['file'], save_as_external_data=True, location=to, size_threshold=0
        )

    move_weights('given.onnx.data')
    wrap(parse_task(task))
    assert agree(answers(task['output'], images), expected(net, images))
    move_weights('elsewhere.bin')
    assert 'keeps weights in elsewhere.bin; expected them inside' in refusal(task)
    move_weights('given.onnx.data')
    os.truncate(task['file'] + '.data', 100)
    assert 'given.onnx.data, with its weights, cannot be read' in refusal(task)


def test_an_old_file_is_converted(task, net, images):
    weights = {name: numpy_helper.from_array(tensor.numpy(), name) for name, tensor in net.state_dict().items()}
    made = helper.make_graph(
        [
            helper.make_node('Conv', ['x', 'conv.weight', 'conv.bias'], ['a'], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node('Relu', ['a'], ['b']),
            helper.make_node('Flatten', ['b'], ['c']),
            helper.make_node('Gemm', ['c', 'fc.weight', 'fc.bias'], ['d'], transB=1),
            helper.make_node('Softmax', ['d'], ['y']),
        ],
        'old',
        [
            helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 3, SIZE, SIZE]),
            # As the first format wants it.
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, tensor.dims) for name, tensor in weights.items()),
        ],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [1, 4])],
        list(weights.values()),
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid('', 8)], ir_version=3), task['file'])
    assert wrap(parse_task(task)) == {'input': 'float_nchw', 'answer': 'probabilities'}
    assert agree(answers(task['output'], images), expected(net, images))


def test_a_file_of_our_own_is_taken_as_it_is(task, net, tmp_path):
    export(net, task['file'])
    wrap(parse_task(task))
    own = {
        **task,
        'file': task['output'],
        'file_classes': None,
        'mean': None,
        'std': None,
        'output': str(tmp_path / 'again.onnx'),
    }
    assert wrap(parse_task(own)) == {'input': None, 'answer': None}
    assert (tmp_path / 'again.onnx').read_bytes() == (tmp_path / 'wrapped' / 'model.onnx').read_bytes()
    assert 'Set image.size=8 and image.resize=8' in refusal({**own, 'size': 16, 'resize': 16})
    assert '1 missing (pink)' in refusal({**own, 'classes': ['grey', 'blue', 'green', 'pink']})
    assert 'Export it again' in refusal({**own, 'kept': 4})
    assert 'Leave out' in refusal({**own, 'mean': list(MEAN), 'std': list(STD)})


@pytest.mark.parametrize('content', ['empty', 'garbage', 'truncated', 'missing'])
def test_refuses_files_that_are_no_onnx(task, net, tmp_path, content):
    export(net, task['file'])
    path = tmp_path / 'given.onnx'
    whole = path.read_bytes()
    if content == 'missing':
        path.unlink()
    else:
        path.write_bytes(
            {'empty': b'', 'garbage': bytes(range(256)) * 20, 'truncated': whole[: len(whole) // 2]}[content]
        )
    assert f'{path} cannot be read as an ONNX file' in refusal(task)


@pytest.mark.parametrize('where', ['input', 'operator', 'weights', 'key', 'description', 'file of weights'])
def test_a_name_that_is_no_text_is_refused_wherever_it_stands(task, net, tmp_path, where):
    export(net, task['file'])
    path = tmp_path / 'given.onnx'
    model = onnx.load(path)
    marked = 'abcdefgh'
    tensor = model.graph.initializer[0]
    if where == 'input':
        model.graph.input[0].name = marked
    elif where == 'operator':
        model.graph.node[0].op_type = marked
    elif where == 'weights':
        tensor.name = marked
    elif where == 'key':
        helper.set_model_props(model, {marked: ''})
    elif where == 'description':
        model.doc_string = marked
    else:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key='location', value=marked)
    path.write_bytes(model.SerializeToString().replace(marked.encode(), b'\xff' * len(marked)))
    assert f'{path} cannot be read as an ONNX file: it has names that are no text' in refusal(task)


def test_equal_files_make_equal_bytes(task, net, tmp_path):
    export(net, task['file'])
    wrap(parse_task(task))
    wrap(parse_task({**task, 'output': str(tmp_path / 'again.onnx')}))
    assert (tmp_path / 'again.onnx').read_bytes() == (tmp_path / 'wrapped' / 'model.onnx').read_bytes()
