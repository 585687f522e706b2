"""The process's edge: exit codes, last events, and what a person reads."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from trainer.errors import Failure, exit_code, explain


def test_a_refused_config_is_told_without_loading_torch(train_task, start, finish):
    run = finish(start({**train_task, 'epochs': 'many'}))
    assert run.code == 64
    assert run.events[0]['type'] == 'hello'
    assert run.events[-1] == {
        'type': 'failed',
        'reason': 'config',
        'message': 'epochs: expected a whole number of 1 or more, found "many"',
    }
    assert run.log == ''


def test_a_missing_pack_ends_with_exit_code_65_and_no_stack(train_task, start, finish):
    run = finish(start({**train_task, 'train_pack': '/nowhere'}))
    assert run.code == 65
    assert run.events[-1]['reason'] == 'data'
    assert 'Traceback' not in run.log


def test_says_how_it_is_called_where_nobody_listens():
    run = subprocess.run([sys.executable, '-m', 'trainer', 'x.json'], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 64
    assert 'usage: python -m trainer CONFIG.json' in run.stderr


def test_probe_names_the_device_it_proved(start, finish):
    run = finish(start({'protocol': 1, 'task': 'probe', 'device': 'cpu'}))
    assert run.code == 0
    result = run.events[-1]['result']
    assert result['runtime'].startswith(f'torch {torch.__version__.split("+")[0]}, python 3.')
    assert result['device'] == 'cpu'
    assert result['device_name']
    assert isinstance(result['bf16'], bool)


@pytest.mark.skipif(torch.cuda.is_available(), reason='is about machines without a GPU')
@pytest.mark.parametrize('task', ['train', 'probe'])
def test_a_gpu_that_is_not_there_is_an_error_that_says_what_was_found(train_task, start, finish, task):
    message = (
        {**train_task, 'device': 'cuda:0'} if task == 'train' else {'protocol': 1, 'task': 'probe', 'device': 'cuda:0'}
    )
    run = finish(start(message))
    assert run.code == 70
    assert run.events[-1]['reason'] == 'device'
    assert f'cuda:0 was asked for, but PyTorch {torch.__version__}' in run.events[-1]['message']
    assert 'npm run setup' in run.events[-1]['message']


def test_speed_is_measured_in_images_a_second(train_task, start, finish):
    keys = ('protocol', 'device', 'threads', 'seed', 'architecture', 'batch_size', 'precision')
    run = finish(start({'task': 'speed', **{key: train_task[key] for key in keys}}))
    assert run.code == 0
    # Which of them is more depends on what else the machine did meanwhile.
    assert all(run.events[-1]['result'][rate] > 0 for rate in ('train_images_per_second', 'score_images_per_second'))


def test_full_memory_names_the_batch_size():
    for error in (
        torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB.\nmore'),
        MemoryError(),
        allocation_error(),
    ):
        failure = explain(error)
        assert failure.reason == 'out-of-memory'
        assert 'train.batch_size' in str(failure)


def allocation_error() -> Exception:
    try:
        torch.empty(1 << 60, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError('a machine with an exbibyte of memory')


def test_the_unexpected_is_a_bug_and_keeps_its_stack_in_the_log(train_task, start, finish, tmp_path):
    # The place of the checkpoint is a folder: nothing that the protocol could forbid.
    Path(train_task['checkpoint']).mkdir(parents=True)
    run = finish(start(train_task))
    assert run.code == 70
    assert run.events[-1]['reason'] == 'bug'
    assert 'Traceback' in run.log


def test_exit_codes_follow_the_reason():
    codes = {
        reason: exit_code(Failure(reason, ''))
        for reason in ('config', 'data', 'model', 'gate', 'bug', 'diverged', 'device')
    }
    assert codes == {'config': 64, 'data': 65, 'model': 65, 'gate': 65, 'bug': 70, 'diverged': 70, 'device': 70}
