"""The ONNX file and the reference answers beside it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import CLASSES, ROOT, draw, write_pack
from onnx.reference import ReferenceEvaluator

from trainer.config import parse_task
from trainer.errors import Failure
from trainer.export import export
from trainer.model_file import load_model
from trainer.train import train


@pytest.fixture
def task(train_task, emitted, tmp_path):
    """An `export` message for a model that was trained a little, with a small validation pack of its own."""
    train(parse_task({**train_task, 'epochs': 1}))
    pack = write_pack(tmp_path / 'few', *draw(10, 32, seed=5))
    return {
        'protocol': 1,
        'task': 'export',
        'device': 'cpu',
        'threads': 1,
        'seed': 0,
        'model': train_task['output'],
        'temperature': 1,
        'kept': 3,
        'batch_size': 4,
        'validation_pack': str(pack),
        'output': str(tmp_path / 'export' / 'model.onnx'),
        'reference': str(tmp_path / 'export' / 'reference.bin'),
    }


def test_the_graph_the_reference_and_the_model_give_the_same_answers(task):
    result = export(parse_task(task))
    assert (result['images'], result['temperature']) == (10, 1)
    assert result['ece_before'] == result['ece_after']
    images = np.fromfile(Path(task['validation_pack']) / 'images.u8', np.uint8).reshape(10, 32, 32, 3)
    with torch.inference_mode():
        every = load_model(task['model'])(torch.from_numpy(images)).log_softmax(1).numpy()
    log_prob = np.sort(every)[:, :0:-1]

    def named(classes: np.ndarray) -> np.ndarray:
        """
        What the model says of the classes answered: of two as close as rounding in single precision either may stand
        first.
        """
        return np.take_along_axis(every, classes, 1)

    reference = Path(task['reference']).read_bytes()
    assert len(reference) == 10 * 3 * 8
    assert np.allclose(np.frombuffer(reference, '<f4', 30).reshape(10, 3), log_prob, atol=1e-4)
    assert np.allclose(named(np.frombuffer(reference, '<i4', 30, offset=120).reshape(10, 3)), log_prob, atol=1e-4)

    graph_log_prob, graph_classes = ReferenceEvaluator(task['output']).run(None, {'images': images})
    assert graph_log_prob.dtype == np.float32
    assert graph_classes.dtype == np.int32
    assert np.allclose(graph_log_prob, log_prob, atol=1e-4)
    assert np.allclose(named(graph_classes), log_prob, atol=1e-4)


def test_the_file_describes_itself_and_takes_any_batch(task):
    export(parse_task(task))
    model = onnx.load(task['output'])
    about = json.loads({entry.key: entry.value for entry in model.metadata_props}['pupil'])
    assert about == {
        'version': 1,
        'model': 'cifarnet',
        'size': 32,
        'resize': 32,
        'kept': 3,
        'temperature': 1.0,
        'classes': CLASSES,
    }
    assert [entry.version for entry in model.opset_import if entry.domain == ''] == [18]
    shapes = {value.name: shape_of(value) for value in (*model.graph.input, *model.graph.output)}
    assert shapes == {'images': ['batch', 32, 32, 3], 'log_prob': ['batch', 3], 'class': ['batch', 3]}
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def shape_of(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def test_equal_weights_make_equal_bytes_without_a_path_of_this_machine(task, start, finish):
    export(parse_task(task))
    here = Path(task['output']).read_bytes()
    assert finish(start(task)).code == 0
    assert hashlib.sha256(Path(task['output']).read_bytes()).digest() == hashlib.sha256(here).digest()
    assert str(ROOT).encode() not in here
    assert b'.py' not in here


def test_refuses_to_keep_more_classes_than_there_are(task):
    with pytest.raises(Failure, match='kept: expected at most the 4 classes of the model, found 5'):
        export(parse_task({**task, 'kept': 5}))
