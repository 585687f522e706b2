"""Logs readings for TensorBoard where that was asked for."""

import sys
from collections.abc import Mapping
from pathlib import Path

from .errors import Failure


class Log:
    """Named readings by step, as event files in `folder`; without one, nothing. Whoever opens it closes it."""

    def __init__(self, folder: Path | None, steps_done: int):
        """
        What earlier files in `folder` hold of steps after `steps_done` is no longer shown: those steps are taken again.
        """
        self._writer = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            what = f'train.tensorboard needs the Python package tensorboard ({error})'
            raise Failure(
                'device', f'{what}. Run {sys.executable} -m pip install tensorboard, or set the key to false.'
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=steps_done + 1, flush_secs=10)

    def write(self, step: int, readings: Mapping[str, float]) -> None:
        if self._writer is not None:
            for name, value in readings.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
