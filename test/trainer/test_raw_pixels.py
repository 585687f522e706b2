"""Normalisation that was folded into a network's first convolution: what it answers then, and what is left alone."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import CLASSES
from onnx import TensorProto, helper, numpy_helper

from trainer.classifier import Classifier
from trainer.export import Ranker, onnx_bytes
from trainer.raw_pixels import PIXELS, fold_normalisation
from trainer.tasks import Architecture

SIZE = 32


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (16, SIZE, SIZE, 3), dtype=np.uint8)


def exported(name, mean, std):
    torch.manual_seed(0)
    classifier = Classifier(Architecture(name, 'small', SIZE, SIZE, tuple(CLASSES)), mean, std)
    return onnx.load_from_string(onnx_bytes(Ranker(classifier.eval(), 3, 1.0).eval()))


def convolution(steps, constants, bias=True):
    """
    A graph of some steps from `images` to a convolution of 2 filters that is padded by a pixel above and by 2 on the
    right.
    """
    random = np.random.default_rng(1)
    constants = {
        'weights': random.normal(size=(2, 3, 3, 3)),
        **({'bias': random.normal(size=2)} if bias else {}),
        **constants,
    }
    names = ['images', *(f'step{number}' for number in range(len(steps)))]
    nodes = [
        helper.make_node(operator, [*first, name, *second], [output], **attributes)
        for (operator, first, second, attributes), name, output in zip(steps, names, names[1:], strict=False)
    ]
    taken = [names[-1], 'weights', *(['bias'] if bias else [])]
    graph = helper.make_graph(
        [*nodes, helper.make_node('Conv', taken, ['answer'], pads=[1, 0, 0, 2], strides=[2, 2])],
        'graph',
        [helper.make_tensor_value_info('images', TensorProto.UINT8, ['batch', SIZE, SIZE, 3])],
        [helper.make_tensor_value_info('answer', TensorProto.FLOAT, ['batch', 2, None, None])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)


CAST, TRANSPOSE = ('Cast', [], [], {'to': TensorProto.FLOAT}), ('Transpose', [], [], {'perm': [0, 3, 1, 2]})


def answer(model, pixels):
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    return session.run(None, {'images': pixels})[0]


def test_a_network_whose_first_convolution_has_no_padding_answers_the_same(pixels):
    model = exported('cifarnet', (0.49, 0.48, 0.44), (0.2, 0.25, 0.3))
    before = answer(model, pixels)
    assert fold_normalisation(model)
    np.testing.assert_allclose(answer(model, pixels), before, atol=1e-4)
    assert not {'Mul', 'Sub'} & {node.op_type for node in model.graph.node[:4]}


def test_a_colour_that_is_a_byte_makes_a_frame_without_any_error(pixels):
    model = exported('resnet20', (51 / 255, 102 / 255, 204 / 255), (0.2, 0.25, 0.3))
    before = answer(model, pixels)
    assert fold_normalisation(model)
    np.testing.assert_allclose(answer(model, pixels), before, atol=1e-4)


def test_any_other_colour_is_off_by_half_a_byte_and_only_at_the_edges(pixels):
    scale, shift = np.array([0.01, 0.02, 0.03]), np.array([-1.204, -2.204, -3.213])
    steps = [CAST, ('Mul', [], ['scale'], {}), ('Add', ['shift'], [], {}), TRANSPOSE]
    model = convolution(steps, {'scale': scale, 'shift': shift})
    before = answer(model, pixels)
    assert fold_normalisation(model)
    error = np.abs(answer(model, pixels) - before)
    # Of the rows the first sees the frame, of the columns the last.
    assert error[:, :, 1:, :-1].max() < 1e-4
    assert 0.002 < error.max() < 0.5 * scale.max() * 3 * 9


@pytest.mark.parametrize(
    'steps',
    [
        [CAST, TRANSPOSE, ('Sub', [], ['mean'], {}), ('Div', [], ['deviation'], {})],
        [TRANSPOSE, CAST, ('Mul', ['factor'], [], {}), ('Sub', [], ['mean'], {})],
        [('Identity', [], [], {}), TRANSPOSE, CAST],
    ],
    ids=['less the mean, by the deviation', 'factor first', 'no normalisation'],
)
@pytest.mark.parametrize('bias', [True, False], ids=['with bias', 'without'])
def test_it_is_found_however_it_is_written(pixels, steps, bias):
    by_channel = {
        name: np.reshape(values, (3, 1, 1))
        for name, values in {'mean': (100, 110, 120), 'deviation': (50, 60, 70)}.items()
    }
    model = convolution(steps, {**by_channel, 'factor': 2.0}, bias)
    before = answer(model, pixels)
    assert fold_normalisation(model)
    np.testing.assert_allclose(answer(model, pixels), before, rtol=1e-3, atol=1e-2)
    assert next(node for node in model.graph.node if node.op_type == 'Conv').input[0] == PIXELS
    used = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= used


@pytest.mark.parametrize(
    ('steps', 'constants'),
    [
        ([CAST, TRANSPOSE, ('Sub', [], ['mean'], {})], {'mean': np.full((3, 1, 1), 300)}),
        ([CAST, TRANSPOSE, ('Sub', [], ['mean'], {})], {'mean': np.full((3, SIZE, SIZE), 100)}),
        ([CAST, TRANSPOSE, ('Sub', ['mean'], [], {})], {'mean': np.full((3, 1, 1), 100)}),
        ([CAST, TRANSPOSE, ('Sqrt', [], [], {})], {}),
        ([CAST, TRANSPOSE, ('Mul', [], ['factor'], {})], {'factor': 0}),
    ],
    ids=['zero is no colour', 'a mean for each pixel', 'pixels are taken from it', 'not linear', 'nothing is left'],
)
def test_a_graph_that_begins_otherwise_is_left_alone(steps, constants):
    model = convolution(steps, constants)
    before = model.SerializeToString(deterministic=True)
    assert not fold_normalisation(model)
    assert model.SerializeToString(deterministic=True) == before


def test_pixels_that_something_else_uses_are_left_alone():
    model = convolution([CAST, TRANSPOSE], {})
    model.graph.node.append(helper.make_node('Relu', ['step1'], ['brightness']))
    model.graph.output.append(helper.make_tensor_value_info('brightness', TensorProto.FLOAT, None))
    assert not fold_normalisation(model)
