"""Training: it learns, it survives being stopped anywhere, and it says why it cannot go on."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import AUGMENT, CLASSES, ROOT, draw, wait_for, wait_until, write_pack
from safetensors import safe_open

from trainer import stop
from trainer.config import parse_task
from trainer.errors import Failure, Interrupted
from trainer.state import best_of
from trainer.train import train


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_learns_and_leaves_the_best_epoch_with_all_that_is_needed_to_use_it(train_task, emitted):
    result = train(parse_task(train_task))
    evaluated = [event for event in emitted() if event['type'] == 'evaluated']
    assert [event['epoch'] for event in evaluated] == [1, 2, 3]
    best = best_of(evaluated, 80)
    assert result['top1'] == best['top1'] > 0.6
    assert result['best_epoch'] == best['epoch']
    assert result['steps'] == 30
    with safe_open(train_task['output'], 'pt') as file:
        metadata = file.metadata()
        assert 'fc.weight' in file.keys()
    assert {key: metadata[key] for key in ('model', 'stem', 'size', 'resize')} == {
        'model': 'cifarnet',
        'stem': 'small',
        'size': '32',
        'resize': '32',
    }
    assert json.loads(metadata['classes']) == CLASSES
    assert len(json.loads(metadata['mean'])) == len(json.loads(metadata['std'])) == 3


@pytest.mark.skipif(shutil.which('c++') is None, reason='torch.compile needs a C++ compiler, and there is none')
def test_compiled_it_learns_as_well_also_where_batches_have_two_sizes(train_task, emitted):
    # 400 samples in 7 batches: of 58 and of 57.
    result = train(parse_task({**train_task, 'batch_size': 60, 'compile': True}))
    assert result['steps'] == 21
    assert result['top1'] > 0.6
    with safe_open(train_task['output'], 'pt') as file:
        # Under their own names, not those of the compiled module.
        assert 'fc.weight' in file.keys()


def test_equal_settings_make_equal_bytes_and_another_seed_does_not(train_task, emitted, tmp_path):
    digests = []
    for index, seed in enumerate([0, 0, 1]):
        output = str(tmp_path / f'{index}' / 'model.safetensors')
        train(
            parse_task(
                {
                    **train_task,
                    'epochs': 1,
                    'seed': seed,
                    'output': output,
                    'checkpoint': str(tmp_path / f'{index}' / 'c.pt'),
                }
            )
        )
        digests.append(digest(output))
    assert digests[0] == digests[1] != digests[2]


# In fp32 on one thread: test_resume.py.
def test_killed_again_and_again_it_ends_with_the_weights_of_an_undisturbed_run_in_bf16_on_two_threads(
    train_task, start, finish, tmp_path
):
    # Few pictures, since processors that know no bf16 only imitate it.
    pack = write_pack(tmp_path / 'few', *draw(60, 32, seed=9))
    task = {
        **train_task,
        'train_pack': str(pack),
        'precision': 'bf16',
        'threads': 2,
        'batch_size': 10,
        'epochs': 6,
        'evaluations': 2,
    }
    undisturbed = {
        **task,
        'checkpoint': str(tmp_path / 'whole' / 'checkpoint.pt'),
        'output': str(tmp_path / 'whole' / 'model.safetensors'),
    }
    whole = finish(start(undisturbed)).events[-1]['result']
    for _ in range(3):
        assert finish(start(task, 'trainer.checkpoint.after')).code == -signal.SIGKILL
        assert not Path(task['output']).exists()
    run = finish(start(task))
    assert run.code == 0
    assert run.of('note')[0]['message'].startswith('Going on after step ')
    assert digest(task['output']) == digest(undisturbed['output'])
    result = run.events[-1]['result']
    assert {key: result[key] for key in ('top1', 'best_epoch')} == {key: whole[key] for key in ('top1', 'best_epoch')}


def test_asked_to_stop_within_an_epoch_it_saves_and_goes_on_exactly(train_task, emitted, start, finish, tmp_path):
    # A checkpoint after each of 10 steps an epoch; at the fourth it is asked to stop.
    task = {**train_task, 'epochs': 2, 'evaluations': 1, 'checkpoint_minutes': 1e-9}
    undisturbed = {
        **task,
        'checkpoint': str(tmp_path / 'whole' / 'checkpoint.pt'),
        'output': str(tmp_path / 'whole' / 'model.safetensors'),
    }
    train(parse_task(undisturbed))
    process = start(task, 'trainer.checkpoint.after:4:SIGTERM')
    wait_for(tmp_path / 'events.ndjson', '"type":"hello"')
    # The terminal's; what it means is the parent's to say.
    process.send_signal(signal.SIGINT)
    run = finish(process)
    assert run.code == 75
    assert run.events[-1]['message'].startswith('Stopped after step 4 of 20')
    assert run.events[-1]['type'] == 'interrupted'
    assert 'the same command goes on' in run.events[-1]['message']
    assert run.of('checkpoint')[-1]['path'] == task['checkpoint']
    assert finish(start(task)).code == 0
    assert digest(task['output']) == digest(undisturbed['output'])


# Each of the two epochs asks before 10 steps and 2 batches of validation whether it should stop.
@pytest.mark.parametrize('checks', [0, 7, 10, 11, 12, 23])
def test_a_stop_at_any_step_or_validation_batch_changes_nothing(train_task, emitted, tmp_path, monkeypatch, checks):
    task = {**train_task, 'epochs': 2}
    undisturbed = {
        **task,
        'checkpoint': str(tmp_path / 'whole' / 'checkpoint.pt'),
        'output': str(tmp_path / 'whole' / 'model.safetensors'),
    }
    train(parse_task(undisturbed))
    seen = 0

    def wants_stop() -> bool:
        nonlocal seen
        seen += 1
        return seen > checks

    def stop_then() -> None:
        if wants_stop():
            raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(stop, 'check', stop_then)
        patched.setattr(stop, 'requested', wants_stop)
        with pytest.raises(Interrupted):
            train(parse_task(task))
    assert not Path(task['output']).exists()
    train(parse_task(task))
    assert digest(task['output']) == digest(undisturbed['output'])


def test_a_training_that_was_complete_ends_at_once_and_puts_its_model_back(train_task, emitted):
    first = train(parse_task(train_task))
    before = digest(train_task['output'])
    Path(train_task['output']).unlink()
    steps = len(emitted())
    again = train(parse_task(train_task))
    assert digest(train_task['output']) == before
    assert [event['type'] for event in emitted()[steps:]] == ['note', 'begun', *['evaluated'] * 3]
    assert again['seconds'] >= first['seconds']
    assert {**again, 'seconds': 0} == {**first, 'seconds': 0}


def test_fine_tuning_starts_from_the_weights_and_normalisation_it_is_given(train_task, emitted, tmp_path):
    train(parse_task(train_task))
    # Much darker pictures: their own statistics would be others.
    images, samples = draw(80, 32, seed=9)
    dark = write_pack(tmp_path / 'dark', images // 2, samples)
    tuned = {
        **train_task,
        'init': train_task['output'],
        'train_pack': str(dark),
        'epochs': 1,
        'learning_rate': 1e-9,
        'checkpoint': str(tmp_path / 'tuned' / 'checkpoint.pt'),
        'output': str(tmp_path / 'tuned' / 'model.safetensors'),
    }
    train(parse_task(tuned))
    with safe_open(train_task['output'], 'pt') as before, safe_open(tuned['output'], 'pt') as after:
        assert after.metadata() == before.metadata()
        assert np.allclose(after.get_tensor('fc.weight'), before.get_tensor('fc.weight'), atol=1e-6)


def test_fine_tuning_that_only_harms_leaves_the_weights_that_it_started_from(train_task, emitted, tmp_path):
    first = train(parse_task(train_task))
    images, samples = draw(80, 32, seed=9)
    wrong = write_pack(tmp_path / 'wrong', images, [(row, (label + 1) % 4) for row, label in samples])
    tuned = {
        **train_task,
        'init': train_task['output'],
        'train_pack': str(wrong),
        'checkpoint': str(tmp_path / 'tuned' / 'checkpoint.pt'),
        'output': str(tmp_path / 'tuned' / 'model.safetensors'),
    }
    result = train(parse_task(tuned))
    assert (result['best_epoch'], result['top1']) == (0, first['top1'])
    with safe_open(train_task['output'], 'pt') as before, safe_open(tuned['output'], 'pt') as after:
        assert all(torch.equal(before.get_tensor(name), after.get_tensor(name)) for name in before.keys())


def test_refuses_weights_of_another_network_or_for_other_classes(train_task, emitted):
    train(parse_task({**train_task, 'epochs': 1}))
    other = {
        **train_task,
        'init': train_task['output'],
        'architecture': {**train_task['architecture'], 'name': 'resnet18'},
    }
    with pytest.raises(Failure, match='of another network, or for other classes') as refused:
        train(parse_task(other))
    assert refused.value.reason == 'model'


@pytest.mark.parametrize('architecture', ['cifarnet', 'resnet18'])
def test_fewer_pictures_than_a_batch_are_enough(train_task, emitted, tmp_path, architecture):
    folder = write_pack(tmp_path / 'few', *draw(5, 32, seed=3))
    named = {**train_task['architecture'], 'name': architecture}
    result = train(
        parse_task({**train_task, 'architecture': named, 'train_pack': str(folder), 'epochs': 2, 'batch_size': 128})
    )
    assert result['steps'] == 2


def test_a_single_picture_is_refused(train_task, emitted, tmp_path):
    folder = write_pack(tmp_path / 'one', *draw(1, 32, seed=3))
    with pytest.raises(Failure, match='holds 1 sample'):
        train(parse_task({**train_task, 'train_pack': str(folder)}))


def test_packs_larger_than_the_net_and_resized_crops_work(train_task, emitted, tmp_path):
    folder = write_pack(tmp_path / 'large', *draw(80, 40, seed=3))
    architecture = {**train_task['architecture'], 'resize': 40}
    augment = {**AUGMENT, 'crop': 'resized', 'pad': 0, 'min_area': 0.5}
    result = train(
        parse_task(
            {**train_task, 'architecture': architecture, 'augment': augment, 'train_pack': str(folder), 'epochs': 2}
        )
    )
    assert result['best_epoch'] in (1, 2)


def test_an_exploding_loss_ends_with_the_step_the_rate_and_the_key_and_keeps_the_checkpoint(train_task, emitted):
    with pytest.raises(Failure) as failed:
        train(parse_task({**train_task, 'learning_rate': 1e30, 'epochs': 8, 'evaluations': 1, 'warmup': 0.9}))
    assert failed.value.reason == 'diverged'
    message = str(failed.value)
    assert 'at step' in message or 'by step' in message
    assert 'learning_rate' in message and 'train.warmup' in message
    assert 'learning rate of' in message
    assert not Path(train_task['output']).exists()


def test_validation_is_measured_as_often_as_asked(train_task, emitted):
    train(parse_task({**train_task, 'epochs': 6, 'evaluations': 2}))
    assert [event['epoch'] for event in emitted() if event['type'] == 'evaluated'] == [3, 6]


def test_every_event_has_the_keys_of_the_protocol(train_task, start, finish):
    run = finish(start({**train_task, 'epochs': 12, 'evaluations': 2}))
    fixtures = [json.loads(file.read_text()) for file in (ROOT / 'test' / 'fixtures' / 'protocol').glob('event-*.json')]
    keys = {fixture['message']['type']: set(fixture['message']) for fixture in fixtures if fixture['valid']}
    assert [set(event) for event in run.events] == [keys[event['type']] for event in run.events]
    assert run.events[0]['type'] == 'hello'
    assert run.events[-1]['type'] == 'finished'
    assert len(run.of('finished')) == 1


def test_dies_with_its_parent(train_task, tmp_path):
    config = tmp_path / 'config.json'
    config.write_text(json.dumps({**train_task, 'epochs': 5000}))
    starter = subprocess.Popen(
        [
            'bash',
            '-c',
            f'"{sys.executable}" -m trainer "{config}" 3>"{tmp_path}/events.ndjson" >/dev/null 2>&1 & echo $!; wait',
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    child = int(starter.stdout.readline())
    wait_for(tmp_path / 'events.ndjson', '"type":"checkpoint"')
    starter.kill()
    starter.communicate()
    try:
        wait_until(lambda: not is_alive(child), 0.05)
    finally:
        if is_alive(child):
            os.kill(child, signal.SIGKILL)


def is_alive(process: int) -> bool:
    """A zombie is not alive."""
    try:
        return Path(f'/proc/{process}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_the_latest_evaluation_that_validation_cannot_tell_from_the_best_is_kept() -> None:
    readings = [
        {'epoch': epoch, 'top1': top1} for epoch, top1 in [(1, 0.40), (2, 0.62), (3, 0.60), (4, 0.57), (5, 0.50)]
    ]
    # One standard error of 62 % on 50 images is 6.9 points, on 5,000 images 0.7.
    assert best_of(readings, 50)['epoch'] == 4
    assert best_of(readings, 5_000)['epoch'] == 2


def test_perfect_readings_have_no_error_and_the_latest_of_them_is_kept() -> None:
    assert best_of([{'epoch': 1, 'top1': 1.0}, {'epoch': 2, 'top1': 1.0}, {'epoch': 3, 'top1': 0.9}], 20)['epoch'] == 2
