"""Faster forms of an exported file: what they answer, what they leave alone, and what they depend on."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import CLASSES, write_pack

from trainer.classifier import Classifier
from trainer.errors import Failure
from trainer.export import Ranker, onnx_bytes
from trainer.quantise import quantise
from trainer.tasks import Architecture, QuantiseTask

SIZE = 32


@pytest.fixture
def pictures():
    """Blurred noise of all brightnesses: pictures that differ, as photographs do."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


@pytest.fixture(scope='module')
def exported():
    """The exporter takes seconds, and every test wants the same file."""
    torch.manual_seed(0)
    architecture = Architecture('resnet20', 'small', SIZE, SIZE, tuple(CLASSES))
    classifier = Classifier(architecture, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)).eval()
    return onnx_bytes(Ranker(classifier, 3, 1.0).eval())


@pytest.fixture
def model(tmp_path, exported):
    path = tmp_path / 'model.onnx'
    path.write_bytes(exported)
    return path


@pytest.fixture
def task(tmp_path, model, pictures):
    pack = write_pack(tmp_path / 'validation', pictures, [(row, row % len(CLASSES)) for row in range(len(pictures))])

    def make(**changes) -> QuantiseTask:
        settings = {
            'precision': 'int8',
            'ends_in_float': False,
            'classes': tuple(CLASSES),
            'output': tmp_path / 'faster.onnx',
        }
        return QuantiseTask(1, 'cpu', 'quantise', model, calibration_pack=pack, **settings | changes)

    return make


def answers(path, pictures, threads=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    log_prob, classes = onnxruntime.InferenceSession(path, options).run(None, {'images': pictures})
    return np.take_along_axis(log_prob, classes.argsort(1), 1), classes, log_prob


@pytest.mark.parametrize(
    'form', [{}, {'ends_in_float': True}, {'precision': 'fp16'}], ids=['int8', 'int8 but for its ends', 'fp16']
)
def test_a_faster_form_answers_nearly_the_same_under_the_same_signature(task, model, pictures, form):
    quantise(task(**form))
    output = task().output
    exact, faster = (answers(path, pictures) for path in (model, output))
    assert (exact[1][:, 0] == faster[1][:, 0]).mean() > 0.9
    assert np.abs(exact[2][:, 0] - faster[2][:, 0]).max() < 0.05
    before, after = (onnx.load(path) for path in (model, output))
    assert [value.name for value in after.graph.output] == ['log_prob', 'class']
    assert after.graph.input == before.graph.input
    assert {prop.key: prop.value for prop in after.metadata_props} == {
        prop.key: prop.value for prop in before.metadata_props
    }
    assert json.loads(after.metadata_props[0].value)['classes'] == CLASSES


def test_scales_are_fixed_so_an_answer_depends_on_its_picture_alone(task, pictures):
    quantise(task())
    whole = answers(task().output, pictures)[2]
    for size in (1, 7, 32):
        parts = np.concatenate(
            [answers(task().output, pictures[at : at + size], threads=2)[2] for at in range(0, len(pictures), size)]
        )
        assert parts.tobytes() == whole.tobytes()


def test_weights_moved_for_a_processor_with_tiles_answer_the_same(task, pictures, monkeypatch):
    files = []
    for tiles in (False, True):
        monkeypatch.setattr('trainer.quantise.has_int8_tiles', lambda tiles=tiles: tiles)
        made = task(output=task().output.with_name(f'tiles-{tiles}.onnx'))
        quantise(made)
        files.append(made.output)
    assert files[0].read_bytes() != files[1].read_bytes()
    assert answers(files[0], pictures)[2].tobytes() == answers(files[1], pictures)[2].tobytes()


def test_residual_blocks_stay_in_int8_from_end_to_end(task):
    quantise(task())
    graph = onnx.load(task().output).graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type in ('Conv', 'Relu', 'Add', 'Gemm'):
            assert makers[node.input[0]] == 'DequantizeLinear', node.name


def test_the_first_convolution_takes_the_bytes_of_a_picture_as_they_are(task):
    quantise(task())
    graph = onnx.load(task().output).graph
    first = next(place for place, node in enumerate(graph.node) if node.op_type == 'Conv')
    before = [node for node in graph.node[:first] if not node.input[0].startswith('classifier.')]
    assert {node.op_type for node in before} <= {'Shape', 'Gather', 'Concat', 'Expand', 'Transpose', 'DequantizeLinear'}
    (pixels,) = (
        node for node in before if node.op_type == 'DequantizeLinear' and node.output[0] == graph.node[first].input[0]
    )
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert [constants[name].item() for name in pixels.input[1:]] == [1, 0]


def test_the_ends_stay_in_float32_where_that_is_asked_for(task):
    quantise(task(ends_in_float=True))
    graph = onnx.load(task().output).graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == 'Conv']
    (linear,) = (node for node in graph.node if node.op_type == 'Gemm')
    weights = {tensor.name for tensor in graph.initializer}
    assert [convolutions[0].input[1] in weights, linear.input[1] in weights] == [True, True]
    assert makers[convolutions[1].input[1]] == 'DequantizeLinear'


@pytest.mark.parametrize('precision', ['int8', 'fp16'])
def test_equal_inputs_make_equal_bytes(task, precision):
    made = []
    for _ in range(2):
        quantise(task(precision=precision))
        made.append(task().output.read_bytes())
    assert made[0] == made[1]


def test_softmax_and_ranking_stay_in_float32_in_half_precision(task, pictures):
    quantise(task(precision='fp16'))
    model = onnx.load(task().output)
    assert any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
    assert answers(task().output, pictures)[2].dtype == np.float32


def test_a_pack_of_other_classes_is_refused(task):
    with pytest.raises(Failure, match='has other classes than the model'):
        quantise(task(classes=('red', 'green', 'blue', 'violet')))
