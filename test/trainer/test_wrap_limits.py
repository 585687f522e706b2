"""ONNX files that lack something, hide something or inflate: refused in our words, and within limits."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trainer import wrap_onnx
from trainer.errors import Failure
from trainer.memory_limit import limited_memory

WEIGHTS = np.eye(3, dtype=np.float32)


def write(path, nodes, *, weights=('w',), opset=18, answer=TensorProto.FLOAT):
    """
    A file with the mean of each channel as `mean`, more nodes from it to `answer`, and 3x3 weights of these names.
    """
    beginning = [
        helper.make_node('GlobalAveragePool', ['x'], ['pooled']),
        helper.make_node('Flatten', ['pooled'], ['mean']),
    ]
    graph = helper.make_graph(
        [*beginning, *nodes],
        'small',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', 3, 8, 8])],
        [helper.make_tensor_value_info('answer', answer, ['n', 3])],
        [numpy_helper.from_array(WEIGHTS, name) for name in weights],
    )
    domains = {node.domain for node in nodes} - {''}
    imports = [helper.make_opsetid('', opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)


def refusal(path) -> str:
    with pytest.raises(Failure) as refused:
        wrap_onnx.read_onnx(path)
    assert refused.value.reason == 'model'
    return str(refused.value)


def test_operators_opsets_and_weights_that_are_not_to_be_had_are_named(tmp_path):
    path = tmp_path / 'given.onnx'
    write(
        path,
        [
            helper.make_node('MatMul', ['mean', 'w'], ['a']),
            helper.make_node('Sharpen', ['a'], ['answer'], domain='com.other'),
        ],
    )
    assert (
        'needs operators that are not ours to run: com.other:Sharpen. Export it with those of ONNX alone.'
        in refusal(path)
    )
    write(path, [helper.make_node('Blur', ['mean'], ['answer'])])
    assert 'needs operators that are not ours to run: Blur.' in refusal(path)
    write(path, [helper.make_node('MatMul', ['mean', 'w'], ['answer'])], opset=99)
    assert 'is of opset 99; expected ' in refusal(path)
    write(path, [helper.make_node('MatMul', ['mean', 'w'], ['answer'])], weights=())
    assert 'lacks the weights w. Export it again with its weights' in refusal(path)


def test_a_graph_that_answers_by_chance_is_refused(tmp_path):
    path = tmp_path / 'given.onnx'
    noise = helper.make_node('RandomNormalLike', ['a'], ['noise'], scale=0.02)
    write(
        path,
        [helper.make_node('MatMul', ['mean', 'w'], ['a']), noise, helper.make_node('Add', ['a', 'noise'], ['answer'])],
    )
    assert 'answers by chance (RandomNormalLike)' in refusal(path)


@pytest.mark.parametrize('location', ['/etc/hostname', '../secrets.bin', 'other.bin'])
def test_weights_of_a_branch_are_looked_for_nowhere_else_either(tmp_path, location):
    path = tmp_path / 'given.onnx'
    hidden = TensorProto(name='v', data_type=TensorProto.FLOAT, dims=[3, 3], data_location=TensorProto.EXTERNAL)
    hidden.external_data.add(key='location', value=location)
    branch = helper.make_graph(
        [helper.make_node('MatMul', ['mean', 'v'], ['b'])],
        'branch',
        [],
        [helper.make_tensor_value_info('b', TensorProto.FLOAT, ['n', 3])],
        [hidden],
    )
    condition = helper.make_node('Constant', [], ['yes'], value=numpy_helper.from_array(np.array(True)))
    write(path, [condition, helper.make_node('If', ['yes'], ['answer'], then_branch=branch, else_branch=branch)])
    assert f'keeps weights in {location}; expected them inside' in refusal(path)


def test_what_inflates_when_it_is_opened_ends_as_a_fault_of_the_file(tmp_path):
    path = tmp_path / 'given.onnx'
    with (
        pytest.raises(Failure, match=r'fills more than 0.3 GB of memory when it is opened: no model does') as refused,
        limited_memory(path, 1000, 300_000_000),
    ):
        np.ones(1_000_000_000, np.uint8)
    assert refused.value.reason == 'model'
    # The limit goes with the file.
    assert np.ones(1_000_000_000, np.uint8)[0] == 1
