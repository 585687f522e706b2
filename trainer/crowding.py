"""
Where a training's CPU threads run: each on a core of its own, or in turn on one where other work keeps the cores busy.

Threads meet some hundred times in a step. Where other work holds a core, all wait there for the one thread that it
keeps from running, and training becomes ten to thirty times slower than a single thread's. A single thread would be the
remedy, but adds numbers in another order: other weights. The same threads in turn on one core do about as well, and
compute the same to the last bit, so where they run may change at any step, and no checkpoint knows of it.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from . import events

# What a rate is taken over, at least.
SECONDS, STEPS = 0.5, 2
# Threads on cores of their own that waited this share of the time for one are in somebody's way.
WAITING = 0.2
# Moving pays where it makes training so many times as fast; less may be chance.
GAIN = 1.2
# Trying the other place is held to so small a share of the time.
SHARE_OF_TRIES = 1 / 30
SHORTEST_PAUSE = 10.0


class Crowding:
    """
    Counts pictures and, between steps, moves the threads of this process to where they are faster. Says so where it
    moves them.
    """

    def __init__(self, now: Callable[[], float], waited: Callable[[], float], place: Callable[[bool], None]):
        """
        `now` tells the time and `waited` how long threads have waited for a core, in seconds; `place` gathers them on
        one, or not.
        """
        self.now, self.waited, self.place = now, waited, place
        self.gathered = False
        # Of the place before, while another is tried.
        self.rate_before: float | None = None
        # The first steps are slower than others everywhere.
        self.quiet_until = now() + 2 * SECONDS
        self.begin()

    def begin(self) -> None:
        """Starts to take a rate; called also after other work than steps, such as measuring on validation."""
        self.started, self.waited_before, self.images, self.steps = self.now(), self.waited(), 0, 0

    def step_done(self, images: int) -> None:
        """Called after every step with the number of pictures that it learned from."""
        self.images, self.steps = self.images + images, self.steps + 1
        seconds = self.now() - self.started
        if seconds < SECONDS or self.steps < STEPS:
            return
        rate = self.images / seconds
        if self.rate_before is not None:
            self.judge(rate, self.rate_before, seconds)
        elif self.now() >= self.quiet_until and (
            self.gathered or (self.waited() - self.waited_before) / seconds > WAITING
        ):
            self.rate_before = rate
            self.move()
        self.begin()

    def judge(self, rate: float, before: float, seconds: float) -> None:
        """Stays where the threads were moved to for a try, or goes back."""
        self.rate_before = None
        self.quiet_until = self.now() + max(SHORTEST_PAUSE, seconds / SHARE_OF_TRIES)
        if rate < GAIN * before:
            self.move()
        elif self.gathered:
            figures = f'{rate:.0f} images/s, {before:.0f} on all'
            events.note(
                f'Other work keeps the cores busy: the threads of training take turns on one ({figures}). The result '
                'is the same.'
            )
        else:
            events.note(
                f'The threads of training are on all cores again ({rate:.0f} images/s, {before:.0f} in turn on one).'
            )

    def move(self) -> None:
        self.gathered = not self.gathered
        self.place(self.gathered)


def watch_crowding(threads: int, device: torch.device) -> Crowding | None:
    """None where no threads wait for each other, or the system cannot be told where they run."""
    if device.type != 'cpu' or threads == 1 or sys.platform != 'linux' or not Path('/proc/self/schedstat').exists():
        return None
    cores = os.sched_getaffinity(0)
    # Of all cores, the system has put this thread on one that is less busy than others.
    return Crowding(
        time.monotonic, seconds_waited, lambda gathered: place_threads({current_core()} if gathered else cores)
    )


def place_threads(cores: set[int]) -> None:
    """Has all threads of this process run on these cores, and those that they start."""
    for thread in Path('/proc/self/task').iterdir():
        try:
            os.sched_setaffinity(int(thread.name), cores)
        except ProcessLookupError:
            # It ended in between.
            continue


def current_core() -> int:
    """The core on which the calling thread runs."""
    return int(Path('/proc/thread-self/stat').read_text().rsplit(')', 1)[1].split()[36])


def seconds_waited() -> float:
    """How long the threads of this process, all together, were ready to run while other work had their core."""
    total = 0
    for thread in Path('/proc/self/task').iterdir():
        try:
            total += int((thread / 'schedstat').read_text().split()[1])
        except OSError:
            continue
    return total / 1e9
