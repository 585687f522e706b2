"""Checkpoints and published files: whole or not there, and never taken for another run's."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from trainer import checkpoint
from trainer.errors import explain
from trainer.publish import publish

STATE = {'fingerprint': 'abc', 'step': 7, 'network': {'weight': torch.arange(1000.0)}, 'history': [{'top1': 0.5}]}


def test_a_saved_state_is_loaded_again(tmp_path, emitted):
    checkpoint.save(tmp_path / 'checkpoint.pt', STATE)
    loaded = checkpoint.load(tmp_path / 'checkpoint.pt', 'abc')
    assert loaded['step'] == 7
    assert torch.equal(loaded['network']['weight'], STATE['network']['weight'])
    assert sorted(path.name for path in tmp_path.iterdir()) == ['checkpoint.pt', 'emitted.ndjson']
    assert emitted() == []


def test_no_checkpoint_is_nothing_to_speak_of(tmp_path, emitted):
    assert checkpoint.load(tmp_path / 'checkpoint.pt', 'abc') is None
    assert emitted() == []


def test_another_fingerprint_starts_again_and_says_so(tmp_path, emitted):
    checkpoint.save(tmp_path / 'checkpoint.pt', STATE)
    assert checkpoint.load(tmp_path / 'checkpoint.pt', 'abd') is None
    assert 'belongs to other settings or data; training starts again' in emitted()[0]['message']


@pytest.mark.parametrize('damage', ['truncated', 'empty', 'one bit', 'garbage', 'code'])
def test_a_damaged_checkpoint_starts_again_and_says_so(tmp_path, emitted, damage):
    path = tmp_path / 'checkpoint.pt'
    checkpoint.save(path, STATE)
    content = bytearray(path.read_bytes())
    flipped = content.copy()
    flipped[content.index(torch.tensor(500.0).numpy().tobytes())] ^= 1
    versions = {
        'truncated': content[: len(content) // 2],
        'empty': b'',
        'one bit': flipped,
        'garbage': os.urandom(2000),
        'code': pickle.dumps(os.getcwd),
    }
    path.write_bytes(versions[damage])
    assert checkpoint.load(path, 'abc') is None
    assert 'is damaged' in emitted()[0]['message']


def test_a_write_that_fails_leaves_the_older_file_and_no_rest(tmp_path):
    path = tmp_path / 'model'
    publish(path, lambda file: file.write(b'old'))

    def fail(file):
        file.write(b'new')
        raise ValueError

    with pytest.raises(ValueError):
        publish(path, fail)
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs a device that is always full')
def test_a_full_disk_is_named_with_the_place(tmp_path):
    def write(file):
        with Path('/dev/full').open('wb', buffering=0) as full:
            torch.save(STATE, full)

    with pytest.raises(OSError) as failed:
        publish(tmp_path / 'checkpoint.pt', write)
    failure = explain(failed.value)
    assert failure.reason == 'disk-full'
    assert f'No room left on the disk for {tmp_path}/checkpoint.pt, where ' in str(failure)
