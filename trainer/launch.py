"""
Starts several processes that train one network together: torchrun, with what it lacks here.

    python -m trainer.launch TORCHRUN-OPTIONS CONFIG.json 3>EVENTS.ndjson    one training, or the first host's part of it
    python -m trainer.launch TORCHRUN-OPTIONS                                another host's part of every training, until it is stopped
"""

import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from . import events
from .errors import EXIT_CONFIG, EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_LOST, EXIT_OTHER, SET_UP
from .handover import FROM_FIRST_HOST
from .parent import die_with_parent

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# Time to save a checkpoint before a stopping process is killed; the same as in src/children/child.ts.
STOP_SECONDS = 60
# Between a training's end and the next try to join one: the first host's port is closed by then.
PAUSE_SECONDS = 2
KEEPS = 'The checkpoint is kept: the same command goes on from it.'


def main(arguments: list[str]) -> int:
    options = [argument for argument in arguments if argument.startswith('-')]
    if len(arguments) > len(options):
        return lead(options, arguments[-1])
    return follow(options)


def lead(options: list[str], config: str) -> int:
    """Runs a task to its end. What the processes leave unsaid about it, because they were killed, is said here."""
    if not events.connect():
        print('usage: python -m trainer.launch TORCHRUN-OPTIONS CONFIG.json 3>EVENTS.ndjson', file=sys.stderr)
        return EXIT_CONFIG
    # The terminal sends SIGINT to everyone; what it means is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    # torchrun closes all descriptors of its processes but these three, so the events' goes by the name of stdin.
    os.dup2(events.DESCRIPTOR, 0)
    code, problem = torchrun(options, config)
    if problem is not None:
        events.emit('failed', reason='process-lost', message=problem)
    return code


def follow(options: list[str]) -> int:
    """Takes part in one training after the other, as another host than the first."""
    given = dict(option.removeprefix('--').partition('=')[::2] for option in options)
    try:
        first_host = (given['master-addr'], int(given['master-port']))
        int(given['node-rank'])
    except (KeyError, ValueError):
        expected = '--nnodes=H --node-rank=R --master-addr=HOST --master-port=PORT --nproc-per-node=N'
        print(f'usage: python -m trainer.launch {expected}   (as the first host tells it)', file=sys.stderr)
        return EXIT_CONFIG
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    while True:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        print(f'Waiting for a training at {given["master-addr"]}:{given["master-port"]}; Ctrl-C ends it.', flush=True)
        while not listens(first_host):
            time.sleep(PAUSE_SECONDS)
        print('Taking part in a training.', flush=True)
        code, problem = torchrun(options, FROM_FIRST_HOST)
        print(problem or {EXIT_FINISHED: 'It is finished.', EXIT_INTERRUPTED: 'It was stopped.'}.get(code, 'It failed.'), flush=True)
        time.sleep(PAUSE_SECONDS)


def listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True


def torchrun(options: list[str], config: str) -> tuple[int, str | None]:
    """Starts this host's processes and waits for their end: an exit code, and what went wrong where no process could say it."""
    # Processes set their number of threads themselves; torchrun warns where this is not set.
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    os.environ['TORCH_ELASTIC_SHUTDOWN_TIMEOUT'] = str(STOP_SECONDS)
    try:
        from torch.distributed import DistError, run
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.elastic.rendezvous import RendezvousError
    except ImportError as error:
        return EXIT_OTHER, f'{sys.executable} cannot start several processes: {error}. Set train.processes to 1, or run `{SET_UP}`.'
    ours = ['--signals-to-handle=SIGTERM', f'--log-dir={os.devnull}', '-m', 'trainer', config]
    try:
        run.run(run.parse_args([*options, *ours]))
    except SignalException:
        # The processes were told and have ended; the first has said what it saved.
        return EXIT_INTERRUPTED, None
    except ChildFailedError as error:
        return verdict(list(error.failures.values()), list(error.failures))
    except (RendezvousError, DistError) as error:
        first_line = str(error).splitlines()[0]
        return EXIT_OTHER, f'The hosts of this training did not find each other ({first_line}). See train.hosts and train.address.'
    return EXIT_FINISHED, None


def verdict(failures: list['ProcessFailure'], ranks: list[int]) -> tuple[int, str | None]:
    """An exit code, and which process was lost where none of those that failed has said why."""
    first, rank = min(zip(failures, ranks, strict=True), key=lambda pair: (pair[0].exitcode == EXIT_LOST, pair[0].timestamp))
    spoken = [failure.exitcode for failure in failures if failure.exitcode > 0 and failure.exitcode != EXIT_LOST]
    if spoken:
        return spoken[0], None
    if first.exitcode == EXIT_LOST:
        return EXIT_OTHER, f'The processes of this training lost each other, perhaps because one on another host ended; see there. {KEEPS}'
    name = signal.Signals(-first.exitcode).name
    why, advice = '', ''
    if name == 'SIGKILL':
        why, advice = ', probably because memory ran out', ' Where that happens again, lower train.batch_size or train.processes.'
    what = f'Process {rank} of this training (counted from 0, process id {first.pid}) was killed by {name}{why}'
    return EXIT_OTHER, f'{what}, and the others cannot go on without it. {KEEPS}{advice}'


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
