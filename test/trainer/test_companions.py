"""
What lies beside a network in a checkpoint: known companions are told apart from it, the unknown is named, what inflates
is refused.
"""

import io
import json
import zipfile

import pytest
import safetensors.torch
import torch
from conftest import CLASSES

from trainer.config import parse_task
from trainer.errors import Failure
from trainer.import_weights import import_weights
from trainer.model_file import load_model
from trainer.models import build_network
from trainer.tasks import Architecture


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(0)
    return build_network(Architecture('cifarnet', 'small', 32, 32, tuple(CLASSES))).state_dict()


@pytest.fixture
def task(tmp_path):
    return {
        'protocol': 1,
        'task': 'import',
        'device': 'cpu',
        'threads': 1,
        'seed': 0,
        'file': str(tmp_path / 'teacher.pth'),
        'architecture': {'name': 'cifarnet', 'stem': 'small', 'size': 32, 'resize': 32, 'classes': CLASSES},
        'file_classes': CLASSES,
        'mean': [0.5, 0.5, 0.5],
        'std': [0.2, 0.2, 0.2],
        'output': str(tmp_path / 'model.safetensors'),
    }


def under(front, weights, more=0.0):
    return {
        f'{front}.{name}': tensor + more if tensor.is_floating_point() else tensor for name, tensor in weights.items()
    }


def refusal(task) -> str:
    with pytest.raises(Failure) as refused:
        import_weights(parse_task(task))
    assert refused.value.reason == 'model'
    return str(refused.value)


SCALAR = torch.tensor(7)
METRICS = {
    'train_acc.tp': SCALAR,
    'val_metrics.MulticlassConfusionMatrix.confmat': torch.zeros(4, 4),
    'test_accuracy.correct': SCALAR,
}
LOSSES = {'criterion.weight': torch.ones(4), 'loss_fn.pos_weight': torch.ones(4), 'ce_loss.weight': torch.ones(4)}


@pytest.mark.parametrize(
    'content',
    [
        lambda weights: {'state_dict': {**under('model', weights), **LOSSES, **METRICS}},
        lambda weights: {**weights, **LOSSES, **METRICS},
        lambda weights: {'n_averaged': SCALAR, **under('module', weights)},
        lambda weights: {
            **under('_orig_mod.module', weights),
            'epoch': 3,
            'best': 0.5,
            'name': 'net',
            'optimizer': {'state': {0: {'m': SCALAR}}},
        },
        lambda weights: {'state_dict': {**under('student', weights), 'teacher.layers.0.weight': torch.zeros(3, 3)}},
    ],
    ids=[
        'Lightning with a loss and metrics',
        'the same without a front',
        'AveragedModel',
        'flat, with settings and an optimizer',
        'a student and another teacher',
    ],
)
def test_the_network_is_told_apart_from_what_lies_beside_it(task, weights, content, emitted):
    torch.save(content(weights), task['file'])
    import_weights(parse_task(task))
    found = load_model(task['output']).net.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items() if tensor.is_floating_point())


def test_of_a_network_and_its_averaged_copy_the_copy_is_taken_and_that_is_said(task, weights, emitted):
    name = next(name for name, tensor in weights.items() if tensor.is_floating_point())
    torch.save(
        {
            'state_dict': {
                **under('model', weights),
                **under('ema_model.module', weights, 1),
                'ema_model.n_averaged': SCALAR,
            }
        },
        task['file'],
    )
    import_weights(parse_task(task))
    assert torch.equal(load_model(task['output']).net.state_dict()[name], weights[name] + 1)
    assert any(
        'has moving averages of its weights, too: taking those (ema_model' in event['message'] for event in emitted()
    )


def test_two_networks_that_both_fit_are_a_question(task, weights, emitted):
    for content in (
        {**under('student', weights), **under('teacher', weights, 1)},
        {'student': weights, 'teacher': weights},
    ):
        torch.save(content, task['file'])
        assert 'holds several networks that fit: student, teacher. Save the one that is meant alone' in refusal(task)


def test_what_nobody_knows_is_refused_by_its_name(task, weights, emitted):
    torch.save({**under('model', weights), 'projector.weight': torch.zeros(3)}, task['file'])
    assert 'holds projector.weight beside the network, which is unexpected' in refusal(task)
    torch.save({**weights, 'extra.weight': torch.zeros(3)}, task['file'])
    assert 'extra.weight is unexpected' in refusal(task)
    torch.save({**weights, 'history': [1, 2]}, task['file'])
    assert "holds no state dict ('history' is a list)" in refusal(task)
    torch.save({**weights, 'sparse': torch.zeros(3).to_sparse()}, task['file'])
    assert 'holds sparse without plain values' in refusal(task)


def test_archives_that_inflate_are_refused_whether_or_not_their_directory_tells(task, weights, emitted):
    archive = io.BytesIO()
    torch.save(weights, archive)
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(task['file'], 'w', zipfile.ZIP_DEFLATED) as bomb:
        for part in whole.infolist():
            bomb.writestr(part.filename, whole.read(part))
        bomb.writestr('archive/data/zeros', bytes(300_000_000))
    assert 'MB: no checkpoint does. Fetch it again' in refusal(task)
    # The directory says 1,000 bytes of what unpacks to 1,000,000.
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(task['file'], 'w', zipfile.ZIP_DEFLATED) as liar:
        for part in whole.infolist():
            liar.writestr(part.filename, bytes(1_000_000) if part.filename.endswith('data.pkl') else whole.read(part))
            if part.filename.endswith('data.pkl'):
                liar.filelist[-1].file_size = 1000
    assert f'{task["file"]} ' in refusal(task)


def test_metadata_of_another_kind_are_refused(task, weights, tmp_path, emitted):
    path = tmp_path / 'teacher.safetensors'
    for classes in ('[1, 2]', '[["red"]]', '[' * 100_000):
        safetensors.torch.save_file(
            weights, path, {'classes': classes, 'mean': json.dumps([0.5] * 3), 'std': json.dumps([0.2] * 3)}
        )
        assert 'cannot be understood' in refusal({**task, 'file': str(path), 'file_classes': None})
