"""Models too large for one ONNX file."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from trainer.errors import Failure
from trainer.onnx_size import fit_in_one_file

SIDE = 256


@pytest.fixture
def model():
    random = np.random.default_rng(0)
    weights = {
        'large': random.standard_normal((SIDE, SIDE), np.float32),
        'small': random.standard_normal(SIDE, np.float32),
    }
    graph = helper.make_graph(
        [helper.make_node('MatMul', ['x', 'large'], ['product']), helper.make_node('Add', ['product', 'small'], ['y'])],
        'layer',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', SIDE])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['n', SIDE])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])


def test_what_fits_is_left_alone(model):
    before = model.SerializeToString()
    fit_in_one_file(model)
    assert model.SerializeToString() == before


def test_large_weights_are_stored_in_half_precision_where_the_file_would_be_too_large(model, emitted):
    x = np.random.default_rng(1).standard_normal((3, SIDE), np.float32)
    (before,) = ReferenceEvaluator(model).run(None, {'x': x})
    fit_in_one_file(model, largest=200_000)
    onnx.checker.check_model(model)
    assert model.ByteSize() < 200_000
    assert [tensor.data_type for tensor in model.graph.initializer] == [TensorProto.FLOAT16, TensorProto.FLOAT]
    (after,) = ReferenceEvaluator(model).run(None, {'x': x})
    assert after.dtype == np.float32
    assert np.allclose(after, before, atol=0.02)
    assert 'in half precision' in emitted()[-1]['message']


def test_what_is_too_large_all_the_same_is_refused(model):
    with pytest.raises(Failure, match='an ONNX file holds 2 GB'):
        fit_in_one_file(model, largest=100_000)
