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
    return {
        'protocol': 1,
        'task': 'evaluate',
        'device': 'cpu',
        'threads': 1,
        'seed': 0,
        'pack': str(packs / 'test'),
        'batch_size': 32,
        'flip': False,
    }


def test_accuracies_are_those_of_the_plain_count(train_task, task, emitted, packs, tmp_path):
    train(parse_task(train_task))
    other = load_model(train_task['output'])
    weights = {
        name: tensor.flip(0) if name == 'fc.weight' else tensor for name, tensor in other.net.state_dict().items()
    }
    save_model(tmp_path / 'other.safetensors', other, weights)
    models = [
        {'name': 'one', 'model': train_task['output'], 'temperature': 1},
        {'name': 'other', 'model': str(tmp_path / 'other.safetensors'), 'temperature': 2},
    ]
    results = evaluate(parse_task({**task, 'models': models}))['models']

    pack = open_pack(packs / 'test', 32, CLASSES, torch.device('cpu'))
    with torch.inference_mode():
        logits = load_model(train_task['output'])(pack.images).numpy()
    labels = pack.samples[:, 1].numpy()
    for result, temperature in zip(results, (1, 2), strict=True):
        for when, error in (('before', result['ece_before']), ('after', result['ece_after'])):
            bins = result['bins'][when]
            assert len(bins) == 15
            assert sum(entry['images'] for entry in bins) == 80
            assert sum(entry['images'] * entry['accuracy'] for entry in bins) == pytest.approx(80 * result['top1'])
            assert sum(
                entry['images'] * abs(entry['probability'] - entry['accuracy']) for entry in bins
            ) == pytest.approx(80 * error)
        assert (result['bins']['before'] == result['bins']['after']) == (temperature == 1)
    assert {key: results[0][key] for key in ('name', 'images', 'top5', 'flipped')} == {
        'name': 'one',
        'images': 80,
        'top5': 1.0,
        'flipped': None,
    }
    assert results[0]['top1'] == pytest.approx(np.mean(logits.argmax(1) == labels))
    assert results[1]['top1'] == pytest.approx(np.mean(logits[:, ::-1].argmax(1) == labels))


def test_mirrored_pictures_are_measured_beside_the_headline_where_asked(train_task, task, emitted, packs):
    train(parse_task(train_task))
    # Sharp enough that one sure answer outweighs another that is not: at 1 other pictures would be right.
    models = [{'name': 'one', 'model': train_task['output'], 'temperature': 0.05}]
    plain, both = (
        evaluate(parse_task({**task, 'models': models, 'flip': flip}))['models'][0] for flip in (False, True)
    )
    assert {**both, 'flipped': None} == plain
    pack = open_pack(packs / 'test', 32, CLASSES, torch.device('cpu'))
    with torch.inference_mode():
        network = load_model(train_task['output'])
        mean = (network(pack.images) / 0.05).softmax(1) + (network(pack.images.flip(2)) / 0.05).softmax(1)
    assert both['flipped']['top1'] == pytest.approx((mean.argmax(1) == pack.samples[:, 1]).double().mean().item())


def test_refuses_models_for_different_classes(train_task, task, emitted, tmp_path):
    train(parse_task({**train_task, 'epochs': 1}))
    classifier = load_model(train_task['output'])
    classifier.architecture = replace(classifier.architecture, classes=tuple(reversed(CLASSES)))
    save_model(tmp_path / 'other.safetensors', classifier, classifier.net.state_dict())
    models = [
        {'name': 'one', 'model': train_task['output'], 'temperature': 1},
        {'name': 'other', 'model': str(tmp_path / 'other.safetensors'), 'temperature': 2},
    ]
    with pytest.raises(Failure, match='other classes than'):
        evaluate(parse_task({**task, 'models': models}))


@pytest.mark.parametrize('content', [b'', b'garbage', None])
def test_refuses_a_model_that_is_none(task, tmp_path, content):
    path = tmp_path / 'model.safetensors'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Failure, match='cannot be read') as refused:
        evaluate(parse_task({**task, 'models': [{'name': 'one', 'model': str(path), 'temperature': 1}]}))
    assert refused.value.reason == 'model'


def test_refuses_a_model_that_answers_nan(train_task, task, emitted, tmp_path):
    train(parse_task({**train_task, 'epochs': 1}))
    classifier = load_model(train_task['output'])
    broken = tmp_path / 'broken.safetensors'
    save_model(broken, classifier, {**classifier.net.state_dict(), 'fc.weight': torch.full((4, 96), torch.nan)})
    with pytest.raises(Failure, match='answers NaN or infinity'):
        evaluate(parse_task({**task, 'models': [{'name': 'broken', 'model': str(broken), 'temperature': 1}]}))
