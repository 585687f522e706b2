"""Starts a process, and tells the memory and the CPU time of it and all that it started."""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
SECONDS_BETWEEN_LOOKS = 0.2
# utime and stime, then cutime and cstime, which are those of children that ended.
CPU_FIELDS = range(11, 15)


class Watched:
    """A process that runs."""

    def __init__(self, process: subprocess.Popen[str]):
        assert process.stdout is not None
        self.process = process
        self.output: IO[str] = process.stdout
        self._most = 0

    def look(self) -> None:
        self._most = max(self._most, sum(map(_resident, _tree(self.process.pid))))

    def forget(self) -> None:
        """The most so far: from now on only what comes counts."""
        self._most = 0

    @property
    def peak_mb(self) -> float | None:
        """
        The most that its processes held resident at once; pages that they share count once. None where the system does
        not tell.
        """
        return self._most / 1e6 if self._most else None

    @property
    def cpu_seconds(self) -> float | None:
        """
        User and system time so far, also of those of its processes that ended. None where the system does not tell.
        """
        return sum(_cpu_seconds(f'{pid}/stat', CPU_FIELDS) for pid in _tree(self.process.pid)) or None

    @property
    def main_thread_seconds(self) -> float | None:
        """
        Of the CPU time so far, that of the first thread of each of its processes. None where the system does not tell.
        """
        return sum(_cpu_seconds(f'{pid}/task/{pid}/stat', CPU_FIELDS[:2]) for pid in _tree(self.process.pid)) or None


@contextmanager
def started(command: list[str]) -> Iterator[Watched]:
    """The process, until the end of the block, which kills what is left of it. Its log is shown if something fails."""
    with (
        tempfile.TemporaryFile('w+') as log,
        # A group of its own, so that it ends with all that it started.
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        ) as process,
    ):
        watched, over = Watched(process), threading.Event()

        def watch() -> None:
            while not over.wait(SECONDS_BETWEEN_LOOKS):
                watched.look()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield watched
        except (SystemExit, ValueError) as error:
            log.seek(0)
            raise SystemExit(f'{" ".join(command)}\n{log.read()}\n{error}') from error
        finally:
            over.set()
            watcher.join()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _tree(pid: int) -> Iterator[int]:
    """A process and those that it started, as far as they are still there."""
    yield pid
    with suppress(OSError):
        for task in Path(f'/proc/{pid}/task').iterdir():
            for child in (task / 'children').read_text().split():
                yield from _tree(int(child))


def _resident(pid: int) -> int:
    """Bytes, by the kernel's proportional count."""
    with suppress(OSError):
        lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith('Pss:')), 0)
    return 0


def _cpu_seconds(stat: str, fields: range) -> float:
    """The sum of these fields of a `stat` file below /proc; 0 once it is gone."""
    with suppress(OSError):
        # The name before them may hold anything but is the last in parentheses.
        values = Path('/proc', stat).read_text().rpartition(')')[2].split()
        return sum(int(values[field]) for field in fields) / os.sysconf('SC_CLK_TCK')
    return 0
