"""
Interrupted trainings end where an undisturbed one ends, byte for byte: killed in any epoch, stopped at any step, under
every recipe.
"""

import hashlib
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import AUGMENT, draw, write_pack

from trainer import stop
from trainer.config import parse_task
from trainer.errors import Interrupted
from trainer.train import train

EPOCHS = 2


def digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def elsewhere(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {**task, 'checkpoint': str(folder / 'checkpoint.pt'), 'output': str(folder / 'model.safetensors')}


@pytest.fixture
def answered(tmp_path) -> Path:
    """A pack of 90 pictures of uneven classes, with answers of a teacher."""
    images, samples = draw(90, 32, seed=7)
    random = np.random.default_rng(0)
    classes = np.stack([random.permutation(4)[:3] for _ in range(90)])
    log_prob = np.log(np.sort(random.dirichlet(np.ones(4), 90), axis=1)[:, :0:-1])
    return write_pack(
        tmp_path / 'answered', images, [*samples, *[(row, 0) for row in range(20)]], answers=(classes, log_prob)
    )


RECIPES: dict[str, dict[str, Any]] = {
    'plain': {},
    'averaged': {'ema': 0.9},
    'soft': {'targets': 'soft', 'temperature': 2.0, 'rest': 'drop'},
    'balanced, with labelled pictures': {'balanced': True, 'labelled_share': 0.25},
    'mixed': {'augment': {**AUGMENT, 'mix': 'cutmix'}},
    'changed': {'augment': {**AUGMENT, 'policy': 'trivial', 'cutout': 0.4}},
    'all of it': {
        'ema': 0.9,
        'targets': 'soft',
        'balanced': True,
        'labelled_share': 0.25,
        'augment': {**AUGMENT, 'policy': 'rand', 'cutout': 0.4, 'mix': 'mixup'},
        'batch_size': None,
    },
}


@pytest.mark.parametrize('recipe', RECIPES)
def test_stopped_at_any_step_every_recipe_goes_on_exactly(recipe, train_task, answered, emitted, tmp_path, monkeypatch):
    task = {**train_task, 'epochs': 2, 'evaluations': 1, 'train_pack': str(answered), **RECIPES[recipe]}
    if task['labelled_share'] > 0:
        task['labelled_pack'] = train_task['train_pack']
    whole = elsewhere(task, tmp_path / 'whole')
    train(parse_task(whole))
    steps = 0

    def every_second_step() -> bool:
        nonlocal steps
        steps += 1
        return steps % 3 == 2

    # What the process's generator holds must not matter: another process starts with another one.
    monkeypatch.setattr(stop, 'requested', every_second_step)
    for attempt in range(40):
        torch.manual_seed(1000 + attempt)
        try:
            train(parse_task(task))
            break
        except Interrupted:
            continue
    assert attempt > 0
    assert digest(task['output']) == digest(whole['output'])


def test_killed_in_any_epoch_it_goes_on_exactly(train_task, emitted, start, finish, tmp_path):
    # Epochs of ten steps, and a checkpoint after each.
    task = {**train_task, 'epochs': EPOCHS, 'evaluations': EPOCHS, 'checkpoint_minutes': 1e-9, 'ema': 0.9}
    whole = elsewhere(task, tmp_path / 'whole')
    undisturbed = train(parse_task(whole))
    for killed_in in range(1, EPOCHS + 1):
        slow = elsewhere(task, tmp_path / f'killed in epoch {killed_in}')
        # At the fourth of this epoch. At their end some epochs save once more.
        assert finish(start(slow, f'trainer.checkpoint.after:{10 * killed_in - 6}')).code == -signal.SIGKILL
        assert not Path(slow['output']).exists()
        run = finish(start(slow))
        assert run.code == 0
        assert run.of('note')[0]['message'].startswith('Going on after step ')
        # So that whoever draws curves drops what the killed attempt told of later steps.
        (begun,) = run.of('begun')
        assert begun['epoch'] == killed_in - 1 and begun['step'] > 0
        assert all(reading['step'] > begun['step'] for reading in run.of('step'))
        assert digest(slow['output']) == digest(whole['output'])
        for figure in ('top1', 'best_epoch'):
            assert run.events[-1]['result'][figure] == undisturbed[figure]
