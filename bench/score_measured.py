"""Measures one contender of bench:score: how many images a second, with how much CPU time and memory."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from bench.pool import Job, write_job
from bench.watch import started


@dataclass(frozen=True)
class Measured:
    rate: float
    """Images a second."""
    cpu_seconds: float | None
    """Of 1,000 images, all its processes together. None where the system does not tell."""
    main_thread_seconds: float | None
    """Those of them that the main threads of its processes took; decoders and networks run in others."""
    peak_mb: float | None
    """
    The most that its processes held resident at once; pages that they share count once. None where the system does not
    tell.
    """


def measure(command: list[str], job: Job, seconds: float) -> Measured:
    """From the end of its warm-up to the end of a round, `seconds` or more later."""
    with started([*command, write_job(job)]) as contender:
        begun: tuple[float, float | None, float | None, int] | None = None
        for line in contender.output:
            now, images = time.monotonic(), int(json.loads(line)['images'])
            cpu, main = contender.cpu_seconds, contender.main_thread_seconds
            if begun is None:
                begun = now, cpu, main, images
            elif now - begun[0] >= seconds:
                images -= begun[3]
                contender.look()
                return Measured(
                    images / (now - begun[0]),
                    of_1000(images, begun[1], cpu),
                    of_1000(images, begun[2], main),
                    contender.peak_mb,
                )
        raise SystemExit('It ended early.')


def of_1000(images: int, begun: float | None, ended: float | None) -> float | None:
    return None if begun is None or ended is None else (ended - begun) * 1000 / images


def middle(several: list[Measured]) -> Measured:
    """Medians, and the most memory of all."""

    def known(values: Iterable[float | None], what: Callable[[list[float]], float]) -> float | None:
        told = [value for value in values if value is not None]
        return what(told) if told else None

    return Measured(
        rate=median(one.rate for one in several),
        cpu_seconds=known((one.cpu_seconds for one in several), median),
        main_thread_seconds=known((one.main_thread_seconds for one in several), median),
        peak_mb=known((one.peak_mb for one in several), max),
    )
