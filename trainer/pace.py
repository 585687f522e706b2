"""When a training is read and when it is saved: both cost time, which is held to a small share of all."""

import time

import torch
from torch import Tensor

SECONDS_BETWEEN_READINGS = 1.0
# Epochs of a small set take less time than a checkpoint: after an epoch, saving is held to about a hundredth of the
# time.
TIMES_A_SAVE = 100


class Readings:
    """
    The losses and the speed of the steps since the last reading. Asking a GPU for each loss would make it wait for
    Python.
    """

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.since, self.images = time.monotonic(), 0

    def add(self, loss: Tensor, images: int) -> None:
        self.losses.append(loss)
        self.images += images

    def are_due(self) -> bool:
        return time.monotonic() - self.since >= SECONDS_BETWEEN_READINGS

    def take_losses(self) -> list[float]:
        """Those that were added since the last call."""
        values: list[float] = torch.stack(self.losses).tolist() if self.losses else []
        self.losses.clear()
        return values

    def take_rate(self) -> float:
        """Images a second since the last call, less the pauses."""
        now = time.monotonic()
        rate = self.images / (now - self.since)
        self.since, self.images = now, 0
        return rate

    def pause(self, seconds: float) -> None:
        """What went to other things than steps counts for no speed."""
        self.since += seconds


class Saves:
    """Every so many minutes, and after an epoch where that costs little."""

    def __init__(self, minutes: float):
        self.interval = 60 * minutes
        self.last, self.took = time.monotonic(), 0.0

    def is_due(self) -> bool:
        return time.monotonic() - self.last >= self.interval

    def is_cheap(self) -> bool:
        return time.monotonic() - self.last >= TIMES_A_SAVE * self.took

    def done(self, began: float) -> None:
        """`began`: when the save that is done now did, by the monotonic clock."""
        self.last = time.monotonic()
        self.took = self.last - began
