"""One case of bench:train, as it is handed to each contender, and the clock that times the peers."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from trainer.tasks import Architecture


@dataclass(frozen=True)
class Case:
    """A network and the size of its pictures. `batch_size` is what pupil's defaults give on a CPU, or on a GPU."""

    model: str
    size: int
    batch_size: int
    device: str
    threads: int
    bf16: bool
    pictures: str
    """The folder of the pictures: as files, and as a pack."""
    seconds: float
    """How long one measurement takes."""
    compile: bool
    """Whether all networks go through torch.compile."""

    @property
    def name(self) -> str:
        return f'{self.model}-{self.size}'

    @property
    def resize(self) -> int:
        """The side of packed pictures, from which a random part is cut."""
        return self.size if self.size <= 64 else self.size * 8 // 7

    @property
    def architecture(self) -> dict[str, Any]:
        stem, classes = 'small' if self.size <= 64 else 'imagenet', [f'class{n}' for n in range(CLASSES)]
        return {'name': self.model, 'stem': stem, 'size': self.size, 'resize': self.resize, 'classes': classes}

    def network(self) -> Architecture:
        return Architecture(**{**self.architecture, 'classes': tuple(self.architecture['classes'])})


CLASSES = 100
# What is measured, and what warms up; a step of a large network takes a CPU seconds.
FEWEST_STEPS = 4


def print_rate(case: Case, step: Callable[[], int]) -> None:
    """
    Prints the images a second of `step`, which trains a batch and answers its images, after a third of the time to warm
    up.
    """

    def run(seconds: float) -> float:
        _synchronize(case)
        started, steps, images = time.monotonic(), 0, 0
        while steps < FEWEST_STEPS or time.monotonic() - started < seconds:
            images, steps = images + step(), steps + 1
        _synchronize(case)
        return images / (time.monotonic() - started)

    run(case.seconds / 3)
    print(json.dumps(run(case.seconds)), flush=True)


def _synchronize(case: Case) -> None:
    if case.device != 'cpu':
        torch.cuda.synchronize()
