"""TensorBoard's event files: what they hold, also after interruptions, and what is said without the package."""

import signal
from pathlib import Path
from typing import Any

import pytest

from trainer import pace
from trainer.config import parse_task
from trainer.train import train

READINGS = ['images_per_second', 'loss', 'lr', 'memory_bytes']
VALIDATION = ['validation/loss', 'validation/top1', 'validation/top5']


def curves(folder: Path) -> dict[str, list[int]]:
    """The steps of each named reading, as TensorBoard shows them."""
    event_accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    accumulator = event_accumulator.EventAccumulator(str(folder))
    accumulator.Reload()
    return {tag: [event.step for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()['scalars']}


@pytest.fixture
def logged(train_task, tmp_path, monkeypatch) -> dict[str, Any]:
    """A training of 40 steps with a reading and a checkpoint after each, where it runs in the test's own process."""
    monkeypatch.setattr(pace, 'SECONDS_BETWEEN_READINGS', 0)
    task = {**train_task, 'epochs': 4, 'evaluations': 4, 'checkpoint_minutes': 1e-9}
    return {**task, 'tensorboard': str(tmp_path / 'tensorboard' / 'teacher')}


def test_event_files_hold_readings_by_step_and_validation_by_epoch(logged, emitted):
    result = train(parse_task(logged))
    found = curves(Path(logged['tensorboard']))
    assert sorted(found) == [*READINGS, *VALIDATION]
    told = [event['step'] for event in emitted() if event['type'] == 'step']
    for name in READINGS:
        assert found[name] == told
    for name in VALIDATION:
        assert found[name] == [result['steps'] * epoch // 4 for epoch in (1, 2, 3, 4)]


def test_a_training_that_was_killed_goes_on_in_the_same_folder_and_its_curves_never_turn_back(
    logged, emitted, start, finish
):
    folder = Path(logged['tensorboard'])
    assert finish(start(logged, 'trainer.checkpoint.after:25')).code == -signal.SIGKILL
    train(parse_task(logged))
    assert len(list(folder.iterdir())) == 2
    found = curves(folder)
    (begun,) = [event for event in emitted() if event['type'] == 'begun']
    assert begun['step'] > 20
    told = [event['step'] for event in emitted() if event['type'] == 'step']
    assert [step for step in found['loss'] if step > begun['step']] == told
    for steps in found.values():
        assert steps == sorted(set(steps))
    assert len(found['validation/top1']) == 4


def test_without_the_package_it_says_how_to_get_it(logged, start, finish, tmp_path, monkeypatch):
    # A package of that name that cannot be imported, found before any other.
    (tmp_path / 'absent').mkdir()
    (tmp_path / 'absent' / 'tensorboard.py').write_text('raise ImportError("No module named \'tensorboard\'")')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path / 'absent'))
    run = finish(start(logged))
    assert (run.code, run.events[-1]['reason']) == (70, 'device')
    message = run.events[-1]['message']
    assert message.startswith(
        "train.tensorboard needs the Python package tensorboard (No module named 'tensorboard'). Run "
    )
    assert message.endswith(' -m pip install tensorboard, or set the key to false.')
    assert run.of('step') == []
