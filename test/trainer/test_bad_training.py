"""
Trainings that cannot go well, and sets that are too small: each says what was found and what to do, and nothing good is
lost.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CLASSES, ROOT, draw, wait_for, write_pack
from test_resume import digest, elsewhere

from trainer import stop
from trainer.config import parse_task
from trainer.errors import Failure, Interrupted
from trainer.train import train


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next training is asked to stop after so many steps."""
    asked = iter(range(10**9))
    monkeypatch.setattr(stop, 'requested', lambda: next(asked) >= steps)


def test_what_diverges_keeps_the_last_good_checkpoint_and_a_sane_rate_goes_on_from_it(
    train_task, emitted, tmp_path, monkeypatch
):
    whole = elsewhere(train_task, tmp_path / 'whole')
    train(parse_task(whole))
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        stop_after(14, patch)
        train(parse_task(train_task))
    good = digest(train_task['checkpoint'])
    # The same fingerprint with another rate is what no run of pupil has: here it makes a training explode that went
    # well so far.
    with pytest.raises(Failure) as failed:
        train(parse_task({**train_task, 'learning_rate': 1e30}))
    assert failed.value.reason == 'diverged'
    message = str(failed.value)
    assert ' at step 1' in message and ' of 30, with a learning rate of ' in message
    assert (
        "Lower the step's learning_rate (teacher, pretrain or finetune; 3.3e+29, a third of what it is, is worth a try)"
        in message
    )
    assert 'or raise train.warmup.' in message
    assert message.endswith(f'The last good checkpoint is kept: {train_task["checkpoint"]}; other settings begin anew.')
    assert not Path(train_task['output']).exists()
    assert digest(train_task['checkpoint']) == good
    train(parse_task(train_task))
    assert digest(train_task['output']) == digest(whole['output'])


def test_what_diverges_before_its_first_checkpoint_does_not_speak_of_one(train_task, emitted):
    with pytest.raises(Failure) as failed:
        train(parse_task({**train_task, 'learning_rate': 1e30, 'warmup': 0}))
    assert failed.value.reason == 'diverged'
    assert 'checkpoint' not in str(failed.value)
    assert not Path(train_task['checkpoint']).exists()


def test_weights_that_are_not_finite_are_never_saved(train_task, emitted, monkeypatch):
    """The last step of a training may spoil the weights after its loss was read."""
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        stop_after(10, patch)
        train(parse_task(train_task))
    state = torch.load(train_task['checkpoint'], weights_only=True)
    state['network']['fc.weight'][0, 0] = torch.inf
    torch.save(state, train_task['checkpoint'])
    spoilt = digest(train_task['checkpoint'])
    stop_after(0, monkeypatch)
    with pytest.raises(Failure, match='A weight stopped being finite by step 10 of 30') as failed:
        train(parse_task(train_task))
    assert failed.value.reason == 'diverged'
    assert digest(train_task['checkpoint']) == spoilt


@pytest.mark.skipif(sys.platform != 'linux', reason='limits the memory of a running process')
@pytest.mark.parametrize(('batch_size', 'held'), [(320, 320), (None, 128)])
def test_full_memory_names_half_the_batch_size(train_task, start, finish, tmp_path, batch_size, held):
    """`held`: the pictures of a batch; `auto` takes 128 on a CPU."""
    # A network of which a single batch takes gigabytes; the memory that it finds is limited once it begins.
    architecture = {**train_task['architecture'], 'name': 'wrn-28-10', 'classes': CLASSES}
    process = start({**train_task, 'architecture': architecture, 'batch_size': batch_size, 'epochs': 50})
    wait_for(tmp_path / 'events.ndjson', '"type":"begun"')
    taken = int(Path(f'/proc/{process.pid}/statm').read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(process.pid, resource.RLIMIT_AS, (taken + 20_000_000, taken + 20_000_000))
    run = finish(process)
    assert run.code == 70
    assert run.events[-1]['reason'] == 'out-of-memory'
    message = run.events[-1]['message']
    assert message.startswith(f'Out of memory with batches of {held} pictures: ')
    # Whoever left it to be found is not told to.
    or_auto = '.' if batch_size is None else ', or to auto: the largest that fits is then found.'
    assert f"Set train.batch_size (or the step's own) to half of it, {held // 2}{or_auto}" in message


@pytest.mark.parametrize('recipe', [{}, {'balanced': True}, {'labelled_share': 0.5}])
def test_one_picture_a_class_is_enough(train_task, emitted, tmp_path, recipe):
    images, _ = draw(len(CLASSES), 32, seed=5)
    folder = write_pack(tmp_path / 'one each', images, [(label, label) for label in range(len(CLASSES))])
    labelled = str(folder) if 'labelled_share' in recipe else None
    task = {**train_task, 'train_pack': str(folder), 'labelled_pack': labelled, 'epochs': 2, 'batch_size': 128}
    result = train(parse_task({**task, **recipe}))
    assert result['steps'] == 2
    assert Path(train_task['output']).exists()


def test_fewer_labelled_pictures_than_their_share_of_a_batch_are_repeated(train_task, emitted, tmp_path):
    folder = write_pack(tmp_path / 'three', *draw(3, 32, seed=5))
    result = train(parse_task({**train_task, 'labelled_pack': str(folder), 'labelled_share': 0.5, 'epochs': 1}))
    assert result['steps'] == 20


def test_classes_that_validation_lacks_are_trained_all_the_same(train_task, emitted, tmp_path):
    images, samples = draw(80, 32, seed=5)
    without_grey = [(row, label) for row, label in samples if CLASSES[label] != 'grey']
    folder = write_pack(tmp_path / 'validation', images, without_grey)
    assert train(parse_task({**train_task, 'validation_pack': str(folder)}))['top1'] > 0.5


@pytest.mark.parametrize('left', [0.9, 0.0])
def test_a_truncated_checkpoint_starts_anew_and_says_so(train_task, emitted, tmp_path, monkeypatch, left):
    whole = elsewhere(train_task, tmp_path / 'whole')
    train(parse_task(whole))
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        stop_after(14, patch)
        train(parse_task(train_task))
    checkpoint = Path(train_task['checkpoint'])
    checkpoint.write_bytes(checkpoint.read_bytes()[: int(left * checkpoint.stat().st_size)])
    before = len(emitted())
    train(parse_task(train_task))
    note, begun, *_ = emitted()[before:]
    assert note['message'].startswith(f'The checkpoint {checkpoint} is damaged (')
    assert note['message'].endswith('training starts again from the first epoch.')
    assert begun == {'type': 'begun', 'step': 0, 'epoch': 0}
    assert digest(train_task['output']) == digest(whole['output'])


NAMESPACE = ['unshare', '--map-root-user', '--mount']


def can_mount() -> bool:
    try:
        return (
            subprocess.run([*NAMESPACE, 'sh', '-c', 'mount -t tmpfs tmpfs /mnt'], capture_output=True).returncode == 0
        )
    except FileNotFoundError:
        return False


@pytest.mark.skipif(
    not can_mount(), reason='a full disk needs a namespace of its own, which this machine does not give'
)
def test_a_disk_that_is_full_at_a_checkpoint_leaves_the_older_one_whole(train_task, emitted, tmp_path):
    whole = elsewhere(train_task, tmp_path / 'whole')
    train(parse_task(whole))
    disk = tmp_path / 'disk'
    disk.mkdir()
    (tmp_path / 'config.json').write_text(json.dumps(elsewhere(train_task, disk)))
    # Room for one checkpoint and a half: the second, which is written beside the first, does not fit.
    size = int(1.5 * Path(whole['checkpoint']).stat().st_size)
    script = f"""
        mount -t tmpfs -o size={size} tmpfs "{disk}" || exit 99
        "{sys.executable}" -m trainer "{tmp_path}/config.json" 3>"{tmp_path}/full.ndjson"; echo $?
        ls "{disk}"
        sha256sum "{disk}/checkpoint.pt"
        cp "{disk}/checkpoint.pt" "{tmp_path}/survivor.pt"
        mount -o remount,size=1g "{disk}"
        "{sys.executable}" -m trainer "{tmp_path}/config.json" 3>"{tmp_path}/room.ndjson"; echo $?
        sha256sum "{disk}/model.safetensors"
    """
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    ran = subprocess.run(
        [*NAMESPACE, 'sh', '-c', script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    code, listed, _, code_with_room, model = ran.stdout.split('\n')[:5]
    assert (code, listed, code_with_room) == ('70', 'checkpoint.pt', '0')
    full = told(tmp_path / 'full.ndjson')
    assert full[-1]['reason'] == 'disk-full'
    assert f'No room left on the disk for {disk}/checkpoint.pt' in full[-1]['message']
    (kept,) = [event for event in full if event['type'] == 'checkpoint']
    assert torch.load(tmp_path / 'survivor.pt', weights_only=True)['epoch'] == kept['epoch']
    room = told(tmp_path / 'room.ndjson')
    assert [event['epoch'] for event in room if event['type'] == 'begun'] == [kept['epoch']]
    assert model.split()[0] == digest(whole['output'])


def told(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]
