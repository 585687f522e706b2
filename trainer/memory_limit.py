"""Bounds the memory that a file from elsewhere may fill while it is taken in."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from .errors import Failure, is_out_of_memory

# Far above what reading, checking and copying a model takes: only what inflates is stopped.
LEAST_BYTES = 4_000_000_000
TIMES_THE_FILE = 10


@contextlib.contextmanager
def limited_memory(path: Path, size: int, least: int = LEAST_BYTES) -> Iterator[None]:
    """
    Within it the process may take so much more memory as files of `size` bytes need, where the system can limit it
    (Linux can). Raises Failure('model') for what needs more. `least` is for tests.
    """
    if sys.platform != 'linux':
        yield
        return
    import resource

    allowed = least + TIMES_THE_FILE * size
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    wanted = pages * resource.getpagesize() + allowed
    ceiling = min((limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY), default=wanted)
    resource.setrlimit(resource.RLIMIT_AS, (min(wanted, ceiling), hard))
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error) and not isinstance(error.__cause__, MemoryError):
            raise
        raise Failure(
            'model',
            f'{path} holds {size / 1e6:.1f} MB, and fills more than {allowed / 1e9:.1f} GB of memory when it is '
            'opened: no model does. '
            'Fetch or export it again.',
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
