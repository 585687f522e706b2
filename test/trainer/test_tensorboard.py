"""TensorBoard's event files: what they hold, also after interruptions, and what is said without the package."""

from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for

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
def slow(train_task, tmp_path) -> dict[str, Any]:
    """Some seconds of training, so that steps are read several times, and a checkpoint every tenth of a second."""
    task = {**train_task, 'batch_size': 4, 'epochs': 4, 'evaluations': 4, 'checkpoint_minutes': 0.1 / 60}
    return {**task, 'tensorboard': str(tmp_path / 'tensorboard' / 'teacher')}


def test_event_files_hold_readings_by_step_and_validation_by_epoch(slow, emitted):
    result = train(parse_task(slow))
    found = curves(Path(slow['tensorboard']))
    assert sorted(found) == [*READINGS, *VALIDATION]
    told = [event['step'] for event in emitted() if event['type'] == 'step']
    for name in READINGS:
        assert found[name] == told
    for name in VALIDATION:
        assert found[name] == [result['steps'] * epoch // 4 for epoch in (1, 2, 3, 4)]


def test_a_training_that_was_killed_goes_on_in_the_same_folder_and_its_curves_never_turn_back(slow, start, finish, tmp_path):
    folder = Path(slow['tensorboard'])
    process = start(slow)
    wait_for(tmp_path / 'events.ndjson', '"type":"step"', 2)
    process.kill()
    process.wait()
    run = finish(start(slow))
    assert run.code == 0
    assert len(list(folder.iterdir())) == 2
    found = curves(folder)
    assert [step for step in found['loss'] if step > run.of('begun')[0]['step']] == [event['step'] for event in run.of('step')]
    for steps in found.values():
        assert steps == sorted(set(steps))
    assert len(found['validation/top1']) == 4


def test_without_the_package_it_says_how_to_get_it(slow, start, finish, tmp_path, monkeypatch):
    # A package of that name that cannot be imported, found before any other.
    (tmp_path / 'absent').mkdir()
    (tmp_path / 'absent' / 'tensorboard.py').write_text('raise ImportError("No module named \'tensorboard\'")')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path / 'absent'))
    run = finish(start(slow))
    assert (run.code, run.events[-1]['reason']) == (70, 'device')
    message = run.events[-1]['message']
    assert message.startswith("train.tensorboard needs the Python package tensorboard (No module named 'tensorboard'). Run ")
    assert message.endswith(' -m pip install tensorboard, or set the key to false.')
    assert run.of('step') == []
