"""Logs readings for TensorBoard where that was asked for."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from .errors import Failure

Log = Callable[[int, Mapping[str, float]], None]


def open_log(folder: Path | None) -> Log:
    """A function of step and named readings, which writes event files into `folder`, or does nothing without one."""
    if folder is None:
        return lambda step, readings: None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise Failure('config', f'train.tensorboard needs the package tensorboard: {sys.executable} -m pip install tensorboard') from error
    writer = SummaryWriter(str(folder), flush_secs=10)

    def log(step: int, readings: Mapping[str, float]) -> None:
        for name, value in readings.items():
            writer.add_scalar(name, value, step)

    return log
