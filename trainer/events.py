"""
Writes the trainer's events, one JSON object a line, to file descriptor 3: libraries print freely, so stdout cannot
carry a protocol.
"""

import json
import os
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

from . import ranks
from .kinds import PROTOCOL

DESCRIPTOR = 3


def connect() -> bool:
    """Whether the parent opened the descriptor. Ask before any file is opened: a free number is handed out again."""
    try:
        os.fstat(DESCRIPTOR)
    except OSError:
        return False
    os.set_inheritable(DESCRIPTOR, False)
    return True


def emit(kind: str, **fields: Any) -> None:
    """Sends one event. `fields` are JSON values, keys in snake_case; a NaN or an infinity raises ValueError."""
    # Of several processes the first tells how the training goes; why it failed is told by whoever knows.
    if kind != 'failed' and ranks.rank() != 0:
        return
    line = (
        json.dumps({'type': kind, **fields}, ensure_ascii=False, allow_nan=False, separators=(',', ':')).encode()
        + b'\n'
    )
    while line:
        line = line[os.write(DESCRIPTOR, line) :]


def runtime() -> str:
    """The versions that decide results, known without importing torch."""
    try:
        torch = f'torch {version("torch").split("+")[0]}'
    except PackageNotFoundError:
        torch = 'no torch'
    return f'{torch}, python {python_version()}'


def hello(device: str) -> None:
    """The first event: which protocol is spoken, by what, and for which device."""
    emit('hello', protocol=PROTOCOL, runtime=runtime(), device=device)


def note(message: str) -> None:
    """Something that the user should know and that stops nothing."""
    emit('note', message=message)
