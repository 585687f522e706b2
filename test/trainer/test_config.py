"""Config files: what the protocol's fixtures call valid is accepted, the rest is refused by naming the key."""

import json
from pathlib import Path

import pytest
from conftest import AUGMENT

from trainer.config import parse_task, read_message
from trainer.errors import Failure
from trainer.tasks import TrainTask

FIXTURES = Path(__file__).parents[1] / 'fixtures' / 'protocol'
messages = [json.loads(file.read_text()) for file in sorted(FIXTURES.glob('*.json'))]
tasks = [message for message in messages if message['side'] == 'trainer-task']


@pytest.mark.parametrize('fixture', [task for task in tasks if task['valid']], ids=lambda fixture: fixture['name'])
def test_accepts_what_the_protocol_allows(fixture):
    task = parse_task(fixture['message'])
    assert task.task == fixture['message']['task']


@pytest.mark.parametrize('fixture', [task for task in tasks if not task['valid']], ids=lambda fixture: fixture['name'])
def test_refuses_what_the_protocol_forbids_and_names_the_key(fixture):
    with pytest.raises(Failure) as refused:
        parse_task(fixture['message'])
    assert refused.value.reason == 'config'
    assert f'{fixture["error"]}: ' in str(refused.value)


def test_names_all_wrong_keys_at_once(train_task):
    del train_task['epochs']
    with pytest.raises(Failure) as refused:
        parse_task({**train_task, 'warmup': -1, 'epoch': 3})
    assert str(refused.value).splitlines() == [
        'epoch: unknown key',
        'epochs: missing key',
        'warmup: expected a number from 0 to 1, found -1',
    ]


def test_reads_whole_numbers_where_fractions_are_allowed(train_task):
    task = parse_task({**train_task, 'weight_decay': 0})
    assert isinstance(task, TrainTask)
    assert task.weight_decay == 0.0
    assert task.train_pack == Path(train_task['train_pack'])


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        ({'batch_size': 1}, 'batch_size: '),
        ({'augment': {**AUGMENT, 'pad': 32}}, 'augment.pad: '),
        ({'augment': {**AUGMENT, 'crop': 'resized', 'min_area': 0}}, 'augment.min_area: '),
        (
            {'architecture': {'name': 'cifarnet', 'stem': 'small', 'size': 8, 'resize': 8, 'classes': ['a', 'b']}},
            'architecture.size: ',
        ),
        (
            {'architecture': {'name': 'resnet18', 'stem': 'small', 'size': 64, 'resize': 32, 'classes': ['a', 'b']}},
            'architecture.resize: ',
        ),
    ],
)
def test_refuses_values_that_do_not_go_together(train_task, changes, named):
    with pytest.raises(Failure, match=named):
        parse_task({**train_task, **changes})


def test_says_what_is_wrong_with_a_file_that_is_not_there_or_not_json(tmp_path):
    with pytest.raises(Failure, match='cannot be read'):
        read_message(tmp_path / 'nowhere.json')
    (tmp_path / 'broken.json').write_text('{"task": ')
    with pytest.raises(Failure, match='is not JSON'):
        read_message(tmp_path / 'broken.json')
