"""
What a training has come to: weights, optimizer, position, and what validation said of it. All of it is in a checkpoint.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from . import checkpoint, events
from .classifier import Classifier
from .data import Pack, channel_statistics, spread
from .errors import Failure
from .model_file import load_model
from .models.cifarnet import CifarNet, whitening_filters
from .processes import Processes
from .sgd import Sgd
from .tasks import TrainTask

Reading = dict[str, Any]


@dataclass
class TrainingState:
    """
    `batch` batches of epoch `epoch` (both from 0) are done. What is drawn, and how it is altered, are functions of
    seed, epoch and step, so nothing else has to be remembered about the data.
    """

    classifier: Classifier
    # The moving average of its weights, where that is what is measured and kept.
    averaged: AveragedModel | None
    optimizer: Sgd
    batch_size: int
    steps_an_epoch: int
    # Of this attempt, by the monotonic clock.
    started: float
    epoch: int = 0
    batch: int = 0
    # Those of earlier attempts.
    seconds_before: float = 0.0
    # What validation said, epoch by epoch, and the weights of the best of them.
    history: list[Reading] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """How many steps are done."""
        return self.epoch * self.steps_an_epoch + self.batch

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    @property
    def measured(self) -> Classifier:
        """What is measured and kept: the network as trained, or the moving average of it."""
        if self.averaged is None:
            return self.classifier
        assert isinstance(self.averaged.module, Classifier)
        return self.averaged.module

    def is_finite(self) -> bool:
        return all(bool(parameter.isfinite().all()) for parameter in self.classifier.net.parameters())

    def save(self, task: TrainTask) -> None:
        saved = {
            'fingerprint': task.fingerprint,
            'batch_size': self.batch_size,
            'epoch': self.epoch,
            'batch': self.batch,
            'seconds': self.seconds,
            'network': self.classifier.net.state_dict(),
            'averaged': {} if self.averaged is None else self.averaged.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'random': torch.get_rng_state(),
            'history': self.history,
            'best_weights': self.best_weights,
        }
        checkpoint.save(task.checkpoint, saved)
        events.emit('checkpoint', epoch=self.epoch, path=str(task.checkpoint))

    def go_on_from(self, saved: dict[str, Any]) -> None:
        """Takes over what `save` wrote."""
        self.classifier.net.load_state_dict(saved['network'])
        self.optimizer.load_state_dict(saved['optimizer'])
        if self.averaged is not None:
            self.averaged.load_state_dict(saved['averaged'])
        torch.set_rng_state(saved['random'])
        self.epoch, self.batch, self.seconds_before = saved['epoch'], saved['batch'], saved['seconds']
        self.history, self.best_weights = saved['history'], saved['best_weights']

    def take_reading(self, reading: Reading, validation_images: int) -> None:
        """Adds what validation said of the weights as they are, and keeps a copy where they are the best so far."""
        self.history.append(reading)
        if best_of(self.history, validation_images) is reading:
            self.best_weights = {
                name: tensor.detach().to('cpu', copy=True) for name, tensor in self.measured.net.state_dict().items()
            }


def first_weights(task: TrainTask, training: Pack) -> Classifier:
    """
    Fresh weights, normalised by the training pictures' statistics, or those of `task.init` with the normalisation they
    know.
    """
    torch.manual_seed(task.seed)
    if task.init is not None:
        classifier = load_model(task.init)
        if classifier.architecture != task.architecture:
            raise Failure(
                'model',
                f'The weights in {task.init} are of another network, or for other classes, than this training asks '
                'for.',
            )
        return classifier
    classifier = Classifier(task.architecture, *channel_statistics(training))
    if isinstance(classifier.net, CifarNet):
        classifier.net.whiten.weight.data.copy_(
            whitening_filters(classifier.normalised(spread(training, pixels=5_000 * 32**2)))
        )
    return classifier


def saved_state(task: TrainTask, processes: Processes) -> dict[str, Any] | None:
    """What an interrupted attempt with the same settings and data left; None where there is none."""
    saved = checkpoint.load(task.checkpoint, task.fingerprint)
    if not processes.alike((-1, -1) if saved is None else (saved['epoch'], saved['batch'])):
        raise Failure(
            'data', f'The hosts of this training see different files at {task.checkpoint}: they must share that folder.'
        )
    return saved


Tensors = tuple[Tensor, ...] | list[Tensor]


def moving_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """
    The update of averaged weights: each step they keep `decay` of themselves, less at the beginning (Polyak and
    Juditsky, 1992, with the warm-up of TensorFlow's ExponentialMovingAverage), so that a short training is not held
    back by its random start.
    """

    def update(averages: Tensors, weights: Tensors, updates: Tensor | int) -> None:
        done = int(updates)
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + done) / (10 + done)))
        else:
            torch._foreach_copy_(averages, weights)

    return update


def best_of(history: list[Reading], validation_images: int) -> Reading:
    """
    The evaluation whose weights are kept: the latest one whose top-1 is within one standard error of the highest.

    The rule of one standard error (Breiman et al., 1984; Hastie et al., The Elements of Statistical Learning, section
    7.10), with the longest training as the simplest model: the learning rate falls to 0, so of weights that validation
    cannot tell apart the later are the better bet. With 50 validation images one error is 7 points, and the highest of
    many noisy readings is luck.
    """
    highest = max(entry['top1'] for entry in history)
    standard_error = math.sqrt(highest * (1 - highest) / validation_images)
    return [entry for entry in history if entry['top1'] >= highest - standard_error][-1]
