"""Puts a file in place whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from . import fail_point


def publish(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """
    Lets `write` fill a temporary file beside `path`, then renames it over `path`: temporary, fsync, rename, fsync of
    the folder. Whatever fails on the way, or a kill at any moment, leaves the older file as it was. Where it cannot be
    written the OSError names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + '.tmp')
    try:
        with temporary.open('wb') as file:
            write(file)
            file.flush()
            fail_point.passed('trainer.publish.before-fsync')
            os.fsync(file.fileno())
        fail_point.passed('trainer.publish.before-rename')
        temporary.replace(path)
        fail_point.passed('trainer.publish.after-rename')
    except (OSError, RuntimeError) as error:
        # torch.save answers a failed write with an error of its own, raised while the OSError is handled.
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        if isinstance(cause, OSError):
            cause.filename = cause.filename or str(path)
        raise cause from None
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    fail_point.passed('trainer.publish.after-folder-fsync')
