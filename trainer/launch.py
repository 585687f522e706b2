"""
Starts several processes that train one network together, and ends them together.

    one training on this host:
        python -m trainer.launch --processes=N CONFIG.json 3>EVENTS.ndjson
    the first host's part of one:
        python -m trainer.launch --processes=N --hosts=H --address=HOST:PORT CONFIG.json 3>EVENTS.ndjson
    host R's part of every training, until it is stopped:
        python -m trainer.launch --processes=N --hosts=H --address=HOST:PORT --host=R

Not torchrun: its rendezvous listens on all interfaces and unpickles what it is sent, so whoever reached its port ran
code here.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from . import events, stop
from .errors import EXIT_CONFIG, EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_LOST, EXIT_OTHER, Failure
from .meeting import FROM_FIRST_HOST, Meeting, arrange, is_arranged
from .parent import die_with_parent

# Time to save a checkpoint before a stopping process is killed; the same as in src/children/child.ts.
STOP_SECONDS = 60
# Between a training's end and the next try to join one: the first host's port is closed by then.
PAUSE_SECONDS = 2
SECONDS_BETWEEN_LOOKS = 0.05
KEEPS = 'The checkpoint is kept: the same command goes on from it.'


@dataclass(frozen=True)
class Group:
    """`processes` on each of `hosts`, of which this is number `host`; `address` is where the others reach the first."""

    processes: int
    hosts: int
    host: int
    address: tuple[str, int]


@dataclass(frozen=True)
class End:
    """How a process ended: its exit code, or the number of the signal that killed it, negative."""

    rank: int
    process: int
    code: int


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog='python -m trainer.launch', allow_abbrev=False)
    parser.add_argument('--processes', type=int, required=True)
    parser.add_argument('--hosts', type=int, default=1)
    parser.add_argument('--host', type=int, default=0)
    parser.add_argument('--address', type=_host_and_port, default=('127.0.0.1', 0), metavar='HOST:PORT')
    parser.add_argument('config', nargs='?')
    try:
        given = parser.parse_args(arguments)
        if given.processes < 1 or not 0 <= given.host < given.hosts or (given.config is None) != (given.host > 0):
            parser.error(
                'the first host takes a CONFIG.json, the others their --host from 1 on, as the first one tells it'
            )
    except SystemExit:
        return EXIT_CONFIG
    group = Group(given.processes, given.hosts, given.host, given.address)
    return follow(group) if given.config is None else lead(group, given.config)


def _host_and_port(text: str) -> tuple[str, int]:
    host, port = text.split(':')
    return host, int(port)


def lead(group: Group, config: str) -> int:
    """Runs a task to its end. What the processes leave unsaid about it, because they were killed, is said here."""
    if not events.connect():
        print('The events go to file descriptor 3, which is closed.', file=sys.stderr)
        return EXIT_CONFIG
    # The terminal sends SIGINT to everyone; what it means is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    try:
        code, problem = run(group, config)
    except Failure as failure:
        events.emit('failed', reason=failure.reason, message=str(failure))
        return EXIT_OTHER
    if problem is not None:
        events.emit('failed', reason='process-lost', message=problem)
    return code


def follow(group: Group) -> int:
    """Takes part in one training after the other, as another host than the first."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), events.DESCRIPTOR)
    place = ':'.join(map(str, group.address))
    while True:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        print(f'Waiting for a training at {place}; Ctrl-C ends it.', flush=True)
        while not is_arranged(group.address):
            time.sleep(PAUSE_SECONDS)
        print('Taking part in a training.', flush=True)
        code, problem = run(group, FROM_FIRST_HOST)
        print(
            problem or {EXIT_FINISHED: 'It is finished.', EXIT_INTERRUPTED: 'It was stopped.'}.get(code, 'It failed.'),
            flush=True,
        )
        if stop.requested():
            return code
        time.sleep(PAUSE_SECONDS)


def run(group: Group, config: str) -> tuple[int, str | None]:
    """
    Starts this host's processes and waits for their end: an exit code, and what went wrong where no process could say
    it.
    """
    signal.signal(signal.SIGTERM, stop.request)
    with arrange(group.address, is_first=group.host == 0, is_alone=group.hosts == 1) as meeting:
        processes = [start(group, local_rank, meeting, config) for local_rank in range(group.processes)]
    # The first process alone holds the meeting's port now: it closes with its end.
    ends = wait_for(processes, first_rank=group.host * group.processes)
    return verdict(ends, stop.requested())


def start(group: Group, local_rank: int, meeting: Meeting, config: str) -> subprocess.Popen[bytes]:
    rank = group.host * group.processes + local_rank
    numbers = {
        'RANK': rank,
        'LOCAL_RANK': local_rank,
        'WORLD_SIZE': group.hosts * group.processes,
        'LOCAL_WORLD_SIZE': group.processes,
    }
    held = (events.DESCRIPTOR, *meeting.descriptors) if rank == 0 else (events.DESCRIPTOR,)
    return subprocess.Popen(
        [sys.executable, '-m', 'trainer', config],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **meeting.environment, **{name: str(number) for name, number in numbers.items()}},
        pass_fds=held,
    )


def wait_for(processes: Sequence[subprocess.Popen[bytes]], first_rank: int) -> list[End]:
    """
    How all ended, in that order. Where one fails, or a stop is asked for, the others are asked to end, and killed if
    they do not.
    """
    ends: list[End] = []
    left = dict(enumerate(processes, first_rank))
    deadline: float | None = None
    while left:
        for rank, process in list(left.items()):
            code = process.poll()
            if code is not None:
                ends.append(End(rank, process.pid, code))
                del left[rank]
        if deadline is None and (stop.requested() or any(end.code != EXIT_FINISHED for end in ends)):
            deadline = time.monotonic() + STOP_SECONDS
            for process in left.values():
                process.terminate()
        elif deadline is not None and time.monotonic() > deadline:
            for process in left.values():
                process.kill()
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return ends


def verdict(ends: Sequence[End], was_stopped: bool) -> tuple[int, str | None]:
    """An exit code, and which process was lost where none of those that failed has said why. `ends` are in order."""
    failed = [end for end in ends if end.code != EXIT_FINISHED]
    if not failed:
        return EXIT_FINISHED, None
    spoken = [end.code for end in failed if end.code > 0 and end.code != EXIT_LOST]
    if spoken:
        return spoken[0], None
    if was_stopped:
        # Before they had met, the signal ends them without a word.
        return EXIT_INTERRUPTED, None
    first = min(failed, key=lambda end: end.code == EXIT_LOST)
    if first.code == EXIT_LOST:
        return (
            EXIT_OTHER,
            'The processes of this training lost each other, perhaps because one on another host ended; see there. '
            f'{KEEPS}',
        )
    name = signal.Signals(-first.code).name
    why, advice = '', ''
    if name == 'SIGKILL':
        why, advice = (
            ', probably because memory ran out',
            ' Where that happens again, lower train.batch_size or train.processes.',
        )
    what = (
        f'Process {first.rank} of this training (counted from 0, process id {first.process}) was killed by {name}{why}'
    )
    return EXIT_OTHER, f'{what}, and the others cannot go on without it. {KEEPS}{advice}'


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
