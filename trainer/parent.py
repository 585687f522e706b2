"""Ends a process soon after its parent, which may die without a word to its children."""

import os
import threading
import time

from .errors import EXIT_INTERRUPTED

SECONDS_BETWEEN_LOOKS = 0.5


def die_with_parent() -> None:
    """Starts the watch. One of several ends with launch.py, and that with its own parent: two looks at most."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(EXIT_INTERRUPTED)
