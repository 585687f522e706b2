"""Accuracy on a pack, for several models at once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import CLASSES

from trainer.config import parse_task
from trainer.data import open_pack
from trainer.errors import Failure
from trainer.evaluate import evaluate
from trainer.model_file import load_model, save_model
from trainer.train import train


@pytest.fixture
def task(packs):
    return {'protocol': 1, 'task': 'evaluate', 'device': 'cpu', 'threads': 1, 'seed': 0, 'pack': str(packs / 'test'), 'batch_size': 32}


def test_accuracies_are_those_of_the_plain_count(train_task, task, emitted, packs, tmp_path):
    train(parse_task(train_task))
    other = load_model(train_task['output'])
    weights = {name: tensor.flip(0) if name == 'fc.weight' else tensor for name, tensor in other.net.state_dict().items()}
    save_model(tmp_path / 'other.safetensors', other, weights)
    models = [{'name': 'one', 'model': train_task['output']}, {'name': 'other', 'model': str(tmp_path / 'other.safetensors')}]
    results = evaluate(parse_task({**task, 'models': models}))['models']

    pack = open_pack(packs / 'test', 32, CLASSES, torch.device('cpu'))
    with torch.inference_mode():
        logits = load_model(train_task['output'])(pack.images).numpy()
    labels = pack.samples[:, 1].numpy()
    assert results[0] == {'name': 'one', 'images': 80, 'top1': pytest.approx(np.mean(logits.argmax(1) == labels)), 'top5': 1.0}
    assert results[1]['top1'] == pytest.approx(np.mean(logits[:, ::-1].argmax(1) == labels))


def test_refuses_models_for_different_classes(train_task, task, emitted, tmp_path):
    train(parse_task({**train_task, 'epochs': 1}))
    classifier = load_model(train_task['output'])
    classifier.architecture = replace(classifier.architecture, classes=tuple(reversed(CLASSES)))
    save_model(tmp_path / 'other.safetensors', classifier, classifier.net.state_dict())
    models = [{'name': 'one', 'model': train_task['output']}, {'name': 'other', 'model': str(tmp_path / 'other.safetensors')}]
    with pytest.raises(Failure, match='other classes than'):
        evaluate(parse_task({**task, 'models': models}))


@pytest.mark.parametrize('content', [b'', b'garbage', None])
def test_refuses_a_model_that_is_none(task, tmp_path, content):
    path = tmp_path / 'model.safetensors'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Failure, match='cannot be read') as refused:
        evaluate(parse_task({**task, 'models': [{'name': 'one', 'model': str(path)}]}))
    assert refused.value.reason == 'model'


def test_refuses_a_model_that_answers_nan(train_task, task, emitted, tmp_path):
    train(parse_task({**train_task, 'epochs': 1}))
    classifier = load_model(train_task['output'])
    broken = tmp_path / 'broken.safetensors'
    save_model(broken, classifier, {**classifier.net.state_dict(), 'fc.weight': torch.full((4, 96), torch.nan)})
    with pytest.raises(Failure, match='answers NaN or infinity'):
        evaluate(parse_task({**task, 'models': [{'name': 'broken', 'model': str(broken)}]}))
