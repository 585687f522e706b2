"""
Named places at which the trainer can be made to end, as by a kill, so that every one of them is tried (test/torture).
"""

import os
import signal
import sys
from pathlib import Path
from typing import Literal, get_args

# All there are in Python; those of the other processes are in src/files/fail-point.ts, which tells what the variables
# mean.
FailPoint = Literal[
    'trainer.publish.before-fsync',
    'trainer.publish.before-rename',
    'trainer.publish.after-rename',
    'trainer.publish.after-folder-fsync',
    'trainer.checkpoint.before',
    'trainer.checkpoint.after',
]
FAIL_POINTS: tuple[FailPoint, ...] = get_args(FailPoint)

_OURS = ' '.join(sys.argv[1:])
_PASSAGES = os.environ.get('PUPIL_POINTS_PASSED')
_NAME, _NUMBER, _SIGNAL, _PROCESS = (*os.environ.get('PUPIL_FAIL_POINT', '').split(':', 3), '', '', '', '')[:4]
_left = int(_NUMBER or 1) if _PROCESS in _OURS else 0


def passed(point: FailPoint) -> None:
    """Marks a place. Without those variables it does nothing."""
    global _left
    if _PASSAGES is not None:
        with Path(_PASSAGES).open('a') as file:
            file.write(f'{point} {_OURS}\n')
    if point == _NAME:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.Signals[_SIGNAL or 'SIGKILL'])
