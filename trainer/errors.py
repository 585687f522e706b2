"""The ways in which a task ends other than well, and the words and exit code for each."""

import errno
import shutil
import sys
from pathlib import Path
from typing import Literal

from . import ranks

Reason = Literal[
    'config', 'data', 'model', 'out-of-memory', 'diverged', 'device', 'disk-full', 'process-lost', 'gate', 'bug'
]

EXIT_FINISHED = 0
EXIT_CONFIG = 64
EXIT_DATA = 65
EXIT_OTHER = 70
EXIT_INTERRUPTED = 75
# Of one of several processes that only saw the others go: trainer/launch.py, which started them, knows more.
EXIT_LOST = 76

# What sets this environment up, as scripts/setup/places.mjs tells it: a published package holds no sources.
SET_UP = 'npm run setup' if (Path(__file__).parents[1] / 'src').is_dir() else 'npx pupil setup'


class Failure(Exception):
    """
    Something a person can mend. The message says what was found, what was expected, and what to do; it is shown without
    a stack.
    """

    def __init__(self, reason: Reason, message: str):
        super().__init__(message)
        self.reason: Reason = reason


class Interrupted(Exception):
    """A stop that was asked for. What was done so far is saved, and the same task goes on from there."""


def exit_code(failure: Failure) -> int:
    """The process's exit code; the `failed` event carries the exact reason."""
    if failure.reason == 'config':
        return EXIT_CONFIG
    return EXIT_DATA if failure.reason in ('data', 'model', 'gate') else EXIT_OTHER


def explain(error: Exception) -> Failure:
    """
    Names the cause of anything that was raised: full memory and full disks by what to do about them, the rest as a bug.
    """
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(
            'disk-full',
            f'No room left on the disk{_place_and_space(error)}. Free some space and run the same command again.',
        )
    if is_out_of_memory(error):
        return out_of_memory(error, batch_size=None)
    if ranks.is_one_of_several() and _is_lost_connection(error):
        return Failure('process-lost', f'The other processes of this training are gone: {str(error).splitlines()[0]}')
    return Failure('bug', f'{type(error).__name__}: {error}')


def out_of_memory(error: Exception, batch_size: int | None, was_found: bool = False) -> Failure:
    """`batch_size`: of the training that ran out, and whether it was found here; None where it was something else."""
    first_line = (str(error) or type(error).__name__).splitlines()[0].rstrip('.')
    if batch_size is None:
        advice = 'Lower train.batch_size or score.batch_size; half of it is a good try.'
        return Failure('out-of-memory', f'Out of memory: {first_line}. {advice}')
    or_auto = '' if was_found else ', or to auto: the largest that fits is then found'
    advice = f"Set train.batch_size (or the step's own) to half of it, {batch_size // 2}{or_auto}."
    if batch_size < 4:
        # Batch normalisation needs 2 pictures or more.
        advice = 'Take a smaller model or image.size.'
    return Failure('out-of-memory', f'Out of memory with batches of {batch_size} pictures: {first_line}. {advice}')


def _place_and_space(error: OSError) -> str:
    if error.filename is None:
        return ''
    free = shutil.disk_usage(Path(error.filename).parent).free
    return f' for {error.filename}, where {free / 1e6:.0f} MB are free'


def is_out_of_memory(error: Exception) -> bool:
    # torch is looked up, not imported: errors are explained also where it could not be imported.
    torch = sys.modules.get('torch')
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _is_lost_connection(error: Exception) -> bool:
    # NCCL and the store have errors of their own; gloo's are only known by their words.
    torch = sys.modules.get('torch')
    if torch is not None and isinstance(error, torch.distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and ('gloo' in str(error) or 'Connection closed by peer' in str(error))
