"""The process's edge: `python -m trainer CONFIG.json` runs one task and turns its outcome into a last event and an exit code."""

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from . import events, stop
from .config import EvaluateTask, ExportTask, ImportTask, SpeedTask, Task, TrainTask, WrapTask, parse_task, read_message
from .errors import EXIT_CONFIG, EXIT_FINISHED, EXIT_INTERRUPTED, Failure, Interrupted, exit_code, explain


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not events.is_connected():
        print('usage: python -m trainer CONFIG.json 3>EVENTS.ndjson   (events go to file descriptor 3)', file=sys.stderr)
        return EXIT_CONFIG
    # Before torch is imported, which takes seconds: a stop in that time must not kill the process without a word. The terminal sends
    # SIGINT to parent and child alike, and what it means is the parent's to say.
    signal.signal(signal.SIGTERM, stop.request)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=die_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        message = read_message(Path(arguments[0]))
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
        events.emit('failed', reason=failure.reason, message=str(failure))
        return exit_code(failure)


def run(task: Task) -> dict[str, Any]:
    """Runs the task. Its module, and with it torch, is imported only here, so that a refused config is told within milliseconds."""
    # Threads that wait for each other spin for milliseconds by default. On a machine that also does other work the thread waited for
    # may not be running, and training becomes 10 times slower; giving the core away sooner costs little where nothing else runs.
    os.environ.setdefault('GOMP_SPINCOUNT', '5000')
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise Failure('device', f'PyTorch cannot be loaded by {sys.executable}: {error}. Run `npm run setup`.') from error
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
    if isinstance(task, WrapTask):
        from .wrap_onnx import wrap

        return wrap(task)
    if isinstance(task, SpeedTask):
        from .speed import speed

        return speed(task)
    from .device import probe

    return probe(task)


def die_with_parent(parent: int) -> None:
    """Ends the process within about a second of its parent's death, which sends no signal."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(EXIT_INTERRUPTED)


sys.exit(main(sys.argv[1:]))
