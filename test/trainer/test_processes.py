"""
Several processes train as one: the same weights up to rounding, one end of a stop, and a lost one is told by name.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from conftest import AUGMENT, CLASSES, PATIENCE_SECONDS, ROOT, draw, wait_for, wait_until, write_pack
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from trainer import stop
from trainer.config import parse_task
from trainer.errors import EXIT_LOST, Interrupted
from trainer.launch import End, verdict
from trainer.models import build_network
from trainer.processes import Processes
from trainer.tasks import Architecture
from trainer.train import train

NETWORKS = ('cifarnet', 'resnet20')
# 127.0.0.1 in /proc/net/tcp.
LOOPBACK = '0100007F' if sys.byteorder == 'little' else '7F000001'
ALONE_ON_THIS_HOST = ('--processes=2',)


# ---------------------------------------------------------------- the arithmetic, in two processes without the loop


@pytest.fixture(scope='module')
def by_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes makes of its parts: starting them takes longer than all they do."""
    folder = tmp_path_factory.mktemp('two')
    mp.spawn(_work, args=(folder,), nprocs=2)
    return [torch.load(folder / f'{rank}.pt') for rank in range(2)]


def _work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    unpickled: list[str] = []
    sys.addaudithook(
        lambda event, arguments: unpickled.append('.'.join(arguments)) if event == 'pickle.find_class' else None
    )
    dist.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2)
    processes = Processes(rank, 2, 'cpu')
    norms = {kind: norm_own_part(kind, processes) for kind in NORMS}
    steps = {name: two_steps(new_network(name), processes) for name in NETWORKS}
    torch.save({'norms': norms, 'steps': steps, 'unpickled': unpickled}, folder / f'{rank}.pt')
    dist.destroy_process_group()


def test_nothing_that_processes_tell_each_other_is_unpickled(by_two):
    assert [own['unpickled'] for own in by_two] == [[], []]


NORMS: dict[str, tuple[torch.dtype, float]] = {
    'double': (torch.float64, 0.3),
    'single': (torch.float32, 0.3),
    'single, far from 0': (torch.float32, 300.0),
    'half': (torch.bfloat16, 0.3),
}


def normed(norm: nn.BatchNorm2d, x: Tensor, own: slice) -> dict[str, Tensor]:
    """
    Of a part of `x`, all that a batch norm has to say about it, under a loss that weighs every output differently.
    """
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 6))
        norm.bias.copy_(torch.linspace(-1, 1, 6))
    taken = x[own].clone().requires_grad_()
    wanted = torch.linspace(-1, 1, x.numel(), dtype=torch.float64).reshape(x.shape)[own].sin()
    for _ in range(2):
        norm.zero_grad()
        taken.grad = None
        out = norm(taken)
        (out.double() * wanted).sum().backward()
    assert taken.grad is not None and norm.weight.grad is not None and norm.bias.grad is not None
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    return {
        'out': out.detach(),
        'gradient': taken.grad,
        'weight': norm.weight.grad,
        'bias': norm.bias.grad,
        'running_mean': norm.running_mean,
        'running_var': norm.running_var,
        'batches': norm.num_batches_tracked,
    }


def pixels_of(kind: str) -> Tensor:
    dtype, mean = NORMS[kind]
    generator = torch.Generator().manual_seed(3)
    x = (
        torch.randn(7, 6, 5, 4, generator=generator, dtype=torch.float64) * torch.linspace(0.5, 2, 6).view(1, 6, 1, 1)
        + mean
    )
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def new_norm(kind: str) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(6, momentum=0.4, dtype=torch.float64 if kind == 'double' else torch.float32)


def norm_own_part(kind: str, processes: Processes) -> dict[str, Tensor]:
    holder = nn.Sequential(new_norm(kind))
    processes.synchronise_norms(holder)
    norm = holder[0]
    assert isinstance(norm, nn.BatchNorm2d) and type(norm) is not nn.BatchNorm2d
    return normed(norm, pixels_of(kind), processes.part(7))


def test_a_batch_norm_over_two_parts_is_the_one_over_the_whole(by_two):
    for kind, (dtype, _) in NORMS.items():
        # Also against double precision: what torch itself makes of single precision strays further.
        exact = normed(new_norm('double'), pixels_of(kind).double(), slice(None))
        close = {'double': 1e-12, 'single': 1e-5, 'single, far from 0': 1e-4, 'half': 5e-2}[kind]
        a, b = (own['norms'][kind] for own in by_two)
        assert a['out'].dtype == dtype and a['gradient'].dtype == dtype and a['out'].shape[0] == 3
        found = {
            **{name: torch.cat((a[name], b[name])) for name in ('out', 'gradient')},
            **{name: a[name] + b[name] for name in ('weight', 'bias')},
            **{name: a[name] for name in ('running_mean', 'running_var', 'batches')},
        }
        for name, value in found.items():
            torch.testing.assert_close(
                value.double(),
                exact[name].double(),
                rtol=close,
                atol=close,
                msg=lambda m, at=(kind, name): f'{at}: {m}',
            )
        for name in ('running_mean', 'running_var'):
            assert a[name].equal(b[name])


def new_network(name: str) -> nn.Module:
    torch.manual_seed(5)
    network = build_network(Architecture(name, 'small', 32, 32, tuple(CLASSES)))  # type: ignore[arg-type]
    return network.to(torch.float64)


def two_steps(network: nn.Module, processes: Processes) -> list[Tensor]:
    """Gradients and buffers after two steps on batches of 9 pictures, which two processes cannot halve."""
    processes.synchronise_norms(network)
    forward = processes.averaging_gradients(network)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    for step in range(2):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(9, 3, 32, 32, generator=generator, dtype=torch.float64)
        y = torch.rand(9, len(CLASSES), generator=generator, dtype=torch.float64)
        own = processes.part(9)
        loss = F.cross_entropy(forward(x[own]), y[own] / y[own].sum(1, keepdim=True), label_smoothing=0.1)
        optimizer.zero_grad()
        (loss * processes.weight(len(x[own]), 9)).backward()
        optimizer.step()
    return [*(parameter.grad for parameter in parameters if parameter.grad is not None), *network.buffers()]


def test_in_double_precision_the_gradients_of_two_processes_are_those_of_one(by_two):
    first, second = (own['steps'] for own in by_two)
    for name in NETWORKS:
        whole = two_steps(new_network(name), Processes(0, 1, 'cpu'))
        for one, other, expected in zip(first[name], second[name], whole, strict=True):
            assert one.equal(other)
            torch.testing.assert_close(one, expected, rtol=1e-7, atol=1e-9)


# ---------------------------------------------------------------- whole trainings, started as the orchestrator starts
# them


class Training:
    """A training by several processes, and what it said."""

    def __init__(
        self, task: dict[str, Any], folder: Path, options: tuple[str, ...] = ALONE_ON_THIS_HOST, fail_point: str = ''
    ):
        self.events_file = folder / 'events.ndjson'
        self.events_file.unlink(missing_ok=True)
        config = folder / 'config.json'
        config.write_text(json.dumps(task))
        command = [
            'bash',
            '-c',
            'exec "$@" 3>"$0"',
            str(self.events_file),
            sys.executable,
            '-m',
            'trainer.launch',
            *options,
            str(config),
        ]
        environment = {**os.environ, 'PUPIL_FAIL_POINT': fail_point}
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.events_file.read_text().splitlines()]

    def workers(self) -> dict[int, int]:
        """Process ids by rank."""
        found = {}
        for folder in Path('/proc').iterdir():
            if folder.name.isdigit() and parent_of(folder) == self.process.pid:
                environment = (folder / 'environ').read_text().split('\0')
                found |= {
                    int(entry.removeprefix('RANK=')): int(folder.name)
                    for entry in environment
                    if entry.startswith('RANK=')
                }
        return found

    def finish(self) -> int:
        self.log, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode


def state_of(process: int) -> str:
    return Path(f'/proc/{process}/stat').read_text().rsplit(')', 1)[1].split()[0]


def parent_of(folder: Path) -> int | None:
    """None where there is no such process any more; a zombie is none."""
    try:
        state, parent = (folder / 'stat').read_text().rsplit(')', 1)[1].split()[:2]
    except OSError:
        return None
    return None if state == 'Z' else int(parent)


def listening(processes: list[int]) -> set[str]:
    """The local addresses, as hexadecimal numbers, at which these processes take connections."""
    sockets = set()
    for process in processes:
        for descriptor in Path(f'/proc/{process}/fd').iterdir():
            with contextlib.suppress(OSError):
                sockets.add(str(descriptor.readlink()))
    rows = [line.split() for name in ('tcp', 'tcp6') for line in Path('/proc/net', name).read_text().splitlines()[1:]]
    return {row[1].partition(':')[0] for row in rows if row[3] == '0A' and f'socket:[{row[9]}]' in sockets}


def wait_until_none_is_left(processes: list[int]) -> None:
    wait_until(lambda: all(parent_of(Path(f'/proc/{process}')) is None for process in processes), 0.02)


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Callable[..., Training]]:
    started: list[Training] = []

    def start(task: dict[str, Any], *options: str, fail_point: str = '') -> Training:
        started.append(Training(task, tmp_path, options or ALONE_ON_THIS_HOST, fail_point))
        return started[-1]

    yield start
    for training in started:
        if training.process.poll() is None:
            training.process.kill()
            training.process.communicate()


@pytest.fixture
def task(train_task, tmp_path) -> dict[str, Any]:
    """Two epochs in uneven batches, with every way of making a batch that could tell processes apart."""
    images, samples = draw(61, 32, seed=11)
    return {
        **train_task,
        'threads': 2,
        'train_pack': str(write_pack(tmp_path / 'uneven', images, [*samples, *[(row, 0) for row in range(0, 20, 4)]])),
        'labelled_pack': str(write_pack(tmp_path / 'labelled', *draw(21, 32, seed=12))),
        'validation_pack': str(write_pack(tmp_path / 'odd', *draw(33, 32, seed=13))),
        'labelled_share': 0.25,
        'balanced': True,
        'ema': 0.9,
        'augment': {**AUGMENT, 'mix': 'mixup'},
        'batch_size': 15,
        'learning_rate': 0.02,
        'epochs': 2,
        'evaluations': 2,
    }


def alone(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same training in this process, and elsewhere; with the threads that each of two processes has."""
    task = {
        **task,
        'threads': 1,
        'checkpoint': str(folder / 'checkpoint.pt'),
        'output': str(folder / 'model.safetensors'),
    }
    train(parse_task(task))
    return task


def assert_same_weights(one: str | Path, other: str | Path, steps: int) -> None:
    """
    Up to rounding in single precision. A weight's gradient is a sum over a batch's pixels, some 2^14 terms; added in
    another order (by other kernels, in other parts) its last bits differ by the square root of that many roundings, and
    every step brings as much again. What several processes must not do moves weights by parts of their gradients, a
    hundred times as far; and in double precision it is looked at bit for bit above.
    """
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    close = steps * 2**7 * torch.finfo(torch.float32).eps
    for name, tensor in first.items():
        torch.testing.assert_close(
            tensor, second[name], rtol=10 * close, atol=close, msg=lambda m, name=name: f'{name}: {m}'
        )


@pytest.mark.parametrize('network', ['cifarnet', 'resnet18'])
def test_two_processes_end_with_the_weights_and_figures_of_one(network, task, several, emitted, tmp_path):
    task = {**task, 'architecture': {**task['architecture'], 'name': network}}
    if network == 'resnet18':
        # It is slow on a CPU. Batches of 11.
        task = {**task, 'train_pack': task['labelled_pack'], 'batch_size': 13, 'epochs': 1, 'evaluations': 1}
    training = several(task)
    assert training.finish() == 0, training.log
    said = training.events()
    whole = alone(task, tmp_path / 'whole')
    assert_same_weights(task['output'], whole['output'], said[-1]['result']['steps'])
    expected = [event for event in emitted() if event['type'] == 'evaluated']
    found = [event for event in said if event['type'] == 'evaluated']
    assert len(found) == task['epochs']
    for one, other in zip(found, expected, strict=True):
        # One of the 33 pictures may be on the edge between two classes.
        assert one['top1'] == pytest.approx(other['top1'], abs=1.5 / 33)
        assert one['top5'] == other['top5'] == 1
        assert one['loss'] == pytest.approx(other['loss'], rel=1e-2)
    # The first process alone tells.
    assert [event['type'] for event in said].count('hello') == [event['type'] for event in said].count('finished') == 1
    assert said[-1]['type'] == 'finished'


@pytest.mark.parametrize('rank', [0, 1])
def test_a_killed_process_ends_the_training_by_name_and_others_go_on_from_its_checkpoint(
    rank, task, several, emitted, tmp_path, monkeypatch
):
    task = {**task, 'epochs': 6, 'evaluations': 1, 'checkpoint_minutes': 0.1 / 60}
    whole = alone(task, tmp_path / 'whole')
    if rank == 1:
        # What one process began, two go on with.
        with monkeypatch.context() as patched, pytest.raises(Interrupted):
            steps = iter(range(100))
            patched.setattr(stop, 'requested', lambda: next(steps) == 4)
            train(parse_task({**task, 'threads': 1}))
    # The first process holds still at its checkpoint, so that the training is not over before the blow.
    training = several(task, fail_point='trainer.checkpoint.after:1:SIGSTOP')
    wait_until(lambda: any(state_of(process) == 'T' for process in training.workers().values()))
    workers = training.workers()
    os.kill(workers[rank], signal.SIGKILL)
    os.kill(workers[0], signal.SIGCONT)
    assert training.finish() == 70
    failed = training.events()[-1]
    assert (failed['type'], failed['reason']) == ('failed', 'process-lost')
    assert (
        f'Process {rank} of this training (counted from 0, process id {workers[rank]}) was killed by SIGKILL'
        in failed['message']
    )
    assert 'the same command goes on from it' in failed['message']
    assert [event['type'] for event in training.events()].count('failed') == 1
    wait_until_none_is_left(list(workers.values()))
    assert not Path(task['output']).exists()
    if rank == 0:
        # What two processes began, one goes on with.
        train(parse_task({**task, 'threads': 1}))
        assert any('Going on after step' in event.get('message', '') for event in emitted())
    else:
        training = several(task)
        assert training.finish() == 0, training.log
        assert 'Going on after step' in training.events()[1]['message']
    assert_same_weights(task['output'], whole['output'], steps=6 * 8)


def test_asked_to_stop_all_end_after_the_same_step_which_the_first_saves(task, several, emitted, tmp_path):
    # In the middle of an epoch: none of these ends.
    endless = {
        **task,
        'epochs': 5000,
        'train_pack': task['validation_pack'],
        'batch_size': 4,
        'checkpoint_minutes': 0.1 / 60,
    }
    training = several(endless)
    wait_for(training.events_file, '"type":"checkpoint"')
    workers = list(training.workers().values())
    # While they work, all that takes connections is on the loopback: whoever else reached them could change what is
    # learned.
    assert listening([training.process.pid, *workers]) == {LOOPBACK}
    training.process.send_signal(signal.SIGTERM)
    assert training.finish() == 75
    last = training.events()[-1]
    assert last['type'] == 'interrupted' and last['message'].startswith('Stopped after step ')
    assert not any(event['type'] == 'failed' for event in training.events())
    wait_until_none_is_left(workers)
    saved = torch.load(task['checkpoint'], weights_only=True)
    step = int(last['message'].split()[3])
    steps_an_epoch = -(-36 // 3)
    assert saved['epoch'] * steps_an_epoch + saved['batch'] == step


def test_nothing_outlives_whoever_started_it(task, several, tmp_path):
    config, events_file = tmp_path / 'config.json', tmp_path / 'events.ndjson'
    config.write_text(json.dumps({**task, 'epochs': 5000}))
    launch = f'"{sys.executable}" -m trainer.launch {" ".join(ALONE_ON_THIS_HOST)} "{config}"'
    command = f'{launch} 3>"{events_file}" >/dev/null 2>&1 & echo $!; wait'
    starter = subprocess.Popen(['bash', '-c', command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    launcher = int(starter.stdout.readline())
    wait_for(events_file, '"type":"checkpoint"')
    family = [
        launcher,
        *(
            int(folder.name)
            for folder in Path('/proc').iterdir()
            if folder.name.isdigit() and parent_of(folder) == launcher
        ),
    ]
    assert len(family) == 3
    starter.kill()
    starter.communicate()
    wait_until_none_is_left(family)


def test_two_hosts_train_one_network_and_the_second_takes_its_tasks_from_the_first(task, several, emitted, tmp_path):
    task = {**task, 'batch_size': None, 'threads': 1, 'learning_rate': 0.2}
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    options = ['--processes=1', '--hosts=2', f'--address=127.0.0.1:{port}']
    log = (tmp_path / 'second.log').open('w+')
    second = subprocess.Popen(
        [sys.executable, '-m', 'trainer.launch', *options, '--host=1'],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        training = several(task, *options)
        assert training.finish() == 0, training.log
        wait_for(Path(log.name), 'Waiting for a training', 2)
        waiting, taking_part, finished = (
            f'Waiting for a training at 127.0.0.1:{port}; Ctrl-C ends it.',
            'Taking part in a training.',
            'It is finished.',
        )
        # Between them torch may warn of a connection that the first host has closed already.
        told = [line for line in Path(log.name).read_text().splitlines() if line in (waiting, taking_part, finished)]
        assert told == [waiting, taking_part, finished, waiting]
    finally:
        second.kill()
        second.wait()
        log.close()
    # 66 pictures are 33 a process: the largest power of two is 32 for each.
    assert training.events()[-1]['result']['batch_size'] == 64
    assert 'A batch size of 64 was found for cpu: 32 for each of 2 processes.' in training.events()[1]['message']
    whole = alone({**task, 'batch_size': 64, 'learning_rate': 0.05}, tmp_path / 'whole')
    assert_same_weights(task['output'], whole['output'], steps=4)


def test_a_process_says_its_own_reason_and_those_that_lose_it_say_none(task, several, tmp_path):
    few = write_pack(tmp_path / 'few', *draw(3, 32, seed=3))
    training = several({**task, 'train_pack': str(few)})
    assert training.finish() == 65
    assert {(event['reason'], event['message']) for event in training.events() if event['type'] == 'failed'} == {
        ('data', f'The pack {few} holds 3 samples; 2 processes need 4 or more. Lower train.processes.')
    }


# ---------------------------------------------------------------- who is to blame


@pytest.mark.parametrize(
    ('ends', 'code', 'told'),
    [
        # Killed, and a survivor that saw the connection close, or hung in NCCL until it was killed.
        (
            [(0, EXIT_LOST), (1, -9)],
            70,
            'Process 1 of this training (counted from 0, process id 1001) was killed by SIGKILL',
        ),
        ([(1, -9), (0, -9)], 70, 'Process 1 of this training (counted from 0, process id 1001) was killed by SIGKILL'),
        (
            [(2, -11), (3, EXIT_LOST)],
            70,
            'Process 2 of this training (counted from 0, process id 1002) was killed by SIGSEGV, and',
        ),
        # One that has said why.
        ([(1, 65), (0, -9)], 65, None),
        ([(0, EXIT_LOST), (1, 70)], 70, None),
        ([(1, 0), (0, 75)], 75, None),
        # All of this host's saw the others go.
        ([(0, EXIT_LOST), (1, EXIT_LOST)], 70, 'perhaps because one on another host ended'),
        ([(1, 0), (0, 0)], 0, None),
    ],
)
def test_the_process_that_went_first_is_blamed_where_none_has_spoken(ends, code, told):
    found, message = verdict([End(rank, 1000 + rank, code) for rank, code in ends], was_stopped=False)
    assert found == code
    assert message is None if told is None else message is not None and told in message


def test_a_stop_before_they_had_met_is_no_loss():
    assert verdict([End(0, 1000, -15), End(1, 1001, -15)], was_stopped=True) == (75, None)
    # Whose last words are another thing than the stop.
    assert verdict([End(0, 1000, 70), End(1, 1001, EXIT_LOST)], was_stopped=True) == (70, None)
