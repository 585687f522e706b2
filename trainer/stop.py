"""Remembers that the process was asked to stop, so that loops can end between two steps."""

from .errors import Interrupted

_requested = False


def request(*_: object) -> None:
    """The handler of SIGTERM."""
    global _requested
    _requested = True


def requested() -> bool:
    return _requested


def check() -> None:
    """Raises Interrupted where a stop was asked for. For tasks that have nothing to save."""
    if _requested:
        raise Interrupted('Stopped; nothing was written. The same command starts this step again.')
