"""Checkpoints from elsewhere: what is taken, how outputs find their classes, and what is refused without a stack."""

import argparse
import os
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import CLASSES

from trainer.config import parse_task
from trainer.errors import Failure
from trainer.imagenet import IMAGENET_MEAN
from trainer.import_weights import import_weights
from trainer.model_file import load_model
from trainer.models import build_network
from trainer.tasks import Architecture

# A note on the normalisation is an event.
pytestmark = pytest.mark.usefixtures('emitted')

ELSEWHERE = ['grey', 'blue', 'green', 'red']
architecture = {'name': 'resnet18', 'stem': 'imagenet', 'size': 64, 'resize': 72, 'classes': CLASSES}


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(0)
    return build_network(Architecture('resnet18', 'imagenet', 64, 72, tuple(ELSEWHERE))).state_dict()


@pytest.fixture
def task(tmp_path):
    return {
        'protocol': 1,
        'task': 'import',
        'device': 'cpu',
        'threads': 1,
        'seed': 0,
        'file': str(tmp_path / 'teacher.pth'),
        'architecture': architecture,
        'file_classes': ELSEWHERE,
        'mean': None,
        'std': None,
        'output': str(tmp_path / 'model.safetensors'),
    }


def refusal(task) -> str:
    with pytest.raises(Failure) as refused:
        import_weights(parse_task(task))
    assert refused.value.reason == 'model'
    return str(refused.value)


@pytest.mark.parametrize(
    'wrap',
    [
        dict,
        lambda weights: {'state_dict': weights, 'epoch': 90},
        lambda weights: {'model': {f'module.{name}': tensor for name, tensor in weights.items()}},
        lambda weights: {name: tensor for name, tensor in weights.items() if not name.endswith('num_batches_tracked')},
        lambda weights: {
            name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()
        },
    ],
    ids=['plain', 'under state_dict', 'distributed, under model', 'from an old PyTorch', 'in half precision'],
)
def test_takes_torchvisions_checkpoints_in_their_usual_wrappings(task, weights, wrap):
    torch.save(wrap(weights), task['file'])
    assert import_weights(parse_task(task)) == {'parameters': 11_178_564}
    loaded = load_model(task['output'])
    assert loaded.architecture.classes == tuple(CLASSES)
    assert loaded.mean == IMAGENET_MEAN
    found = loaded.net.state_dict()
    assert torch.allclose(found['conv1.weight'], weights['conv1.weight'], atol=1e-3)
    # The outputs move to the places of their classes, weights and biases alike.
    assert torch.allclose(found['fc.weight'], weights['fc.weight'].flip(0), atol=1e-3)
    assert torch.allclose(found['fc.bias'], weights['fc.bias'].flip(0), atol=1e-3)


def test_takes_its_own_model_files_with_their_metadata(task, weights, tmp_path):
    torch.save(weights, task['file'])
    import_weights(parse_task(task))
    again = {**task, 'file': task['output'], 'file_classes': None, 'output': str(tmp_path / 'again.safetensors')}
    import_weights(parse_task(again))
    assert (tmp_path / 'again.safetensors').read_bytes() == (tmp_path / 'model.safetensors').read_bytes()


def test_asks_for_the_names_where_the_file_has_none(task, weights, tmp_path):
    torch.save(weights, task['file'])
    assert 'key teacher.classes' in refusal({**task, 'file_classes': None})
    plain = tmp_path / 'plain.safetensors'
    safetensors.torch.save_file(weights, plain)
    assert 'key teacher.classes' in refusal({**task, 'file': str(plain), 'file_classes': None})


@pytest.mark.parametrize(
    ('file_classes', 'message'),
    [
        (['grey', 'blue', 'green', 'pink'], '1 missing (red); 1 not among the labels (pink)'),
        (['grey', 'blue', 'green', 'red', 'pink'], '1 not among the labels (pink)'),
        (['grey', 'blue', 'green'], '1 missing (red)'),
        (['grey', 'blue', 'green', 'green'], 'repeat themselves: green'),
    ],
)
def test_names_the_classes_that_differ_and_renumbers_nothing(task, weights, file_classes, message):
    torch.save(weights, task['file'])
    assert message in refusal({**task, 'file_classes': file_classes})


def test_refuses_more_outputs_than_names(task, weights):
    torch.save({**weights, 'fc.weight': torch.zeros(10, 512), 'fc.bias': torch.zeros(10)}, task['file'])
    assert 'has 10 outputs, but names for 4 of them' in refusal(task)


def test_refuses_another_network_and_names_what_differs(task, weights):
    torch.save(weights, task['file'])
    message = refusal({**task, 'architecture': {**architecture, 'name': 'resnet50'}})
    assert 'layer1.0.conv3.weight is missing' in message
    assert 'It fits a resnet18: set teacher.model to that.' in message
    message = refusal({**task, 'architecture': {**architecture, 'stem': 'small'}})
    assert (
        'does not fit a resnet18 with the small stem: conv1.weight has the shape [64, 3, 7, 7] instead of [64, 3, 3, 3]'
        in message
    )
    assert 'It fits a resnet18 with the imagenet stem: set teacher.model to that, and image.size above 64.' in message
    torch.save(
        {'patch_embed.proj.weight': torch.zeros(768, 3, 16, 16), 'head.weight': torch.zeros(4, 768)}, task['file']
    )
    assert 'It fits none of the networks that teacher.model can name.' in refusal(task)


def test_a_classifier_for_more_classes_than_the_labels_is_refused_by_their_names(task, weights):
    many = {**weights, 'fc.weight': torch.zeros(1000, 512), 'fc.bias': torch.zeros(1000)}
    torch.save(many, task['file'])
    message = refusal({**task, 'file_classes': CLASSES + [f'thing {number}' for number in range(996)]})
    assert '996 not among the labels (thing 0, thing 1, ' in message
    assert 'thing 9 and 986 more). A teacher must have exactly their classes' in message
    message = refusal({**task, 'file_classes': None})
    assert 'does not name the classes of its 1000 outputs; the labelled pictures have 4 classes' in message


def test_what_is_told_of_the_normalisation_wins_over_the_file_and_that_over_imagenets(task, weights, tmp_path, emitted):
    torch.save(weights, task['file'])
    import_weights(parse_task({**task, 'mean': [0.1, 0.2, 0.3], 'std': [0.2, 0.2, 0.2]}))
    assert (load_model(task['output']).mean, load_model(task['output']).std) == ((0.1, 0.2, 0.3), (0.2, 0.2, 0.2))
    assert not [event for event in emitted() if event['type'] == 'note']
    again = {**task, 'file': task['output'], 'file_classes': None, 'output': str(tmp_path / 'again.safetensors')}
    import_weights(parse_task(again))
    assert load_model(again['output']).mean == (0.1, 0.2, 0.3)
    import_weights(parse_task(task))
    assert load_model(task['output']).mean == IMAGENET_MEAN
    assert "taking ImageNet's mean and deviation" in emitted()[-1]['message']


def test_takes_what_training_programs_save_beside_the_weights_and_the_averaged_weights_where_there_are_any(
    task, weights, emitted
):
    averaged = {**weights, 'conv1.weight': weights['conv1.weight'] + 1}
    beside = {
        'args': argparse.Namespace(lr=0.1, model='resnet18'),
        'best': np.float64(71.2),
        'metric': np.float32(71.2),
    }
    for content in (
        {'state_dict': weights, 'state_dict_ema': averaged, **beside},
        {
            'model': weights,
            'model_ema': {'n_averaged': torch.tensor(7), **{f'module.{k}': v for k, v in averaged.items()}},
            **beside,
        },
    ):
        torch.save(content, task['file'])
        import_weights(parse_task(task))
        assert torch.equal(load_model(task['output']).net.conv1.weight, averaged['conv1.weight'])
        assert any(
            'has moving averages of its weights' in event['message'] for event in emitted() if event['type'] == 'note'
        )


def test_refuses_weights_that_are_not_finite(task, weights):
    torch.save({**weights, 'conv1.weight': torch.full((64, 3, 7, 7), torch.nan)}, task['file'])
    assert 'NaN or infinity in conv1.weight' in refusal(task)


@pytest.mark.parametrize('dtype', [torch.float8_e4m3fn, torch.int8, torch.complex64])
def test_refuses_weights_that_are_no_plain_numbers(task, weights, dtype):
    for name in ('conv1.weight', 'fc.weight'):
        torch.save({**weights, name: weights[name].to(dtype)}, task['file'])
        assert f'holds {name} as {str(dtype).removeprefix("torch.")}, which means nothing without its scale' in refusal(
            task
        )


def test_takes_weights_in_half_precision(task, weights):
    torch.save(
        {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in weights.items()},
        task['file'],
    )
    import_weights(parse_task(task))
    taken = load_model(task['output']).net.state_dict()
    assert torch.equal(taken['conv1.weight'], weights['conv1.weight'].bfloat16().float())


class Malice:
    def __reduce__(self):
        return os.mkdir, ('ran',)


def test_never_runs_code_from_a_file(task, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({'state_dict': weights, 'extra': Malice()}, task['file'])
    message = refusal(task)
    assert 'holds Python code, which is never run (posix.mkdir)' in message
    assert 'torch.save(model.state_dict(), ' in message
    (tmp_path / 'teacher.pth').write_bytes(pickle.dumps(Malice()))
    assert 'holds Python code, which is never run' in refusal(task)
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('content', ['empty', 'garbage', 'truncated', 'missing'])
def test_refuses_files_that_are_no_checkpoints(task, weights, tmp_path, suffix, content):
    path = tmp_path / f'teacher{suffix}'
    if suffix == '.pth':
        torch.save(weights, path)
    else:
        safetensors.torch.save_file(weights, path)
    whole = path.read_bytes()
    versions = {'empty': b'', 'garbage': os.urandom(5000), 'truncated': whole[: len(whole) // 2]}
    if content == 'missing':
        path.unlink()
    else:
        path.write_bytes(versions[content])
    assert str(path) in refusal({**task, 'file': str(path)})


@pytest.mark.parametrize('content', [[1, 2], {'weights': 3}, {}, torch.zeros(3)])
def test_refuses_checkpoints_without_a_state_dict(task, content):
    torch.save(content, task['file'])
    assert 'holds no state dict' in refusal(task)
