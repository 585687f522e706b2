"""
The process's edge: `python -m trainer CONFIG.json` runs one task and turns its outcome into a last event and an exit
code.
"""

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from . import events, meeting, ranks, stop
from .config import parse_task, read_message
from .errors import (
    EXIT_CONFIG,
    EXIT_FINISHED,
    EXIT_INTERRUPTED,
    EXIT_LOST,
    SET_UP,
    Failure,
    Interrupted,
    exit_code,
    explain,
)
from .parent import die_with_parent
from .tasks import EvaluateTask, ExportTask, ImportTask, QuantiseTask, SpeedTask, Task, TrainTask, WrapTask


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not events.connect():
        print(
            'usage: python -m trainer CONFIG.json 3>EVENTS.ndjson   (events go to file descriptor 3)', file=sys.stderr
        )
        return EXIT_CONFIG
    # Before torch is imported, which takes seconds: a stop in that time must not kill the process without a word. The
    # terminal sends SIGINT to parent and child alike, and what it means is the parent's to say. One of several
    # processes is killed by it until it has joined the others (see join_processes): it may be waiting for one that is.
    if not ranks.is_one_of_several():
        signal.signal(signal.SIGTERM, stop.request)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    try:
        if arguments[0] == meeting.FROM_FIRST_HOST:
            message = meeting.receive()
        else:
            message = read_message(Path(arguments[0]))
            meeting.offer(message)
        device = message.get('device') if isinstance(message, dict) else None
        events.hello(device if isinstance(device, str) else '')
        result = run(parse_task(message))
        events.emit('finished', result=result)
        return EXIT_FINISHED
    except Interrupted as interrupted:
        events.emit('interrupted', message=str(interrupted))
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The parent is gone; there is nobody left to tell.
        return EXIT_INTERRUPTED
    except Exception as error:
        failure = explain(error)
        if failure.reason == 'bug':
            traceback.print_exc()
        if ranks.is_one_of_several():
            return leave_the_others(failure)
        events.emit('failed', reason=failure.reason, message=str(failure))
        return exit_code(failure)


def run(task: Task) -> dict[str, Any]:
    """
    Runs the task. Its module, and with it torch, is imported only here: a refused config is told within milliseconds,
    and wrapping an ONNX file needs no torch.
    """
    # Threads that wait for each other spin for milliseconds by default. On a machine that also does other work the
    # thread waited for may not be running, and training becomes 10 times slower; giving the core away sooner costs
    # little where nothing else runs.
    os.environ.setdefault('GOMP_SPINCOUNT', '5000')
    if isinstance(task, WrapTask):
        from .wrap_onnx import wrap

        return wrap(task)
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise Failure('device', f'PyTorch cannot be loaded by {sys.executable}: {error}. Run `{SET_UP}`.') from error
    if isinstance(task, TrainTask):
        from .train import train

        return train(task)
    if isinstance(task, ExportTask):
        from .export import export

        return export(task)
    if isinstance(task, EvaluateTask):
        from .evaluate import evaluate

        return evaluate(task)
    if isinstance(task, ImportTask):
        from .import_weights import import_weights

        return import_weights(task)
    if isinstance(task, QuantiseTask):
        from .quantise import quantise

        return quantise(task)
    if isinstance(task, SpeedTask):
        from .speed import speed

        return speed(task)
    from .device import probe

    return probe(task)


def leave_the_others(failure: Failure) -> NoReturn:
    """
    Says why one of several processes ends, and ends it at once: an orderly end would wait for what a GPU expects of the
    others.
    """
    print(f'Process {ranks.rank()}: {failure}', file=sys.stderr, flush=True)
    if failure.reason == 'process-lost':
        os._exit(EXIT_LOST)
    events.emit('failed', reason=failure.reason, message=str(failure))
    os._exit(exit_code(failure))


sys.exit(main(sys.argv[1:]))
