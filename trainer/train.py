"""
Trains one classifier; the teacher, the baseline and both steps of the student are this loop under different settings.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from . import events, stop, tensorboard
from .batch_size import fitting_batch_size
from .batches import Plan, Source, batches, batches_at_once, plan_epoch
from .classifier import Classifier
from .crowding import watch_crowding
from .data import Pack, open_pack, room_for_packs
from .device import memory_used, open_device, trains_in_bf16
from .errors import Failure, Interrupted, is_out_of_memory, out_of_memory
from .evaluate import accuracies
from .model_file import save_model
from .pace import Readings, Saves
from .processes import Processes, join_processes
from .schedule import evaluation_epochs, learning_rate
from .sgd import Sgd
from .state import TrainingState, best_of, first_weights, moving_average, saved_state
from .tasks import TrainTask

# Learning rates belong to a batch of this size where the batch size is found here.
REFERENCE_BATCH = 256
# Guessing among a million classes costs 14; a loss beyond this has exploded.
LARGEST_LOSS = 1e4


def train(task: TrainTask) -> dict[str, Any]:
    """
    The `train` task. Leaves the weights of the best epoch by validation at `task.output`. Started again after an
    interruption it goes on from `task.checkpoint`; on one CPU machine the weights then equal those of an uninterrupted
    run byte for byte.
    """
    started = time.monotonic()
    processes = join_processes(task.device)
    device = open_device(processes.device, processes.threads(task.threads))
    packs = open_packs(task, device, processes)
    classifier = first_weights(task, packs.training).to(device).train()
    processes.synchronise_norms(classifier)
    saved = saved_state(task, processes)
    training = set_up(task, processes, device, packs, classifier, saved)
    state = TrainingState(
        classifier,
        AveragedModel(classifier, multi_avg_fn=moving_average(task.ema), use_buffers=True) if task.ema > 0 else None,
        Sgd(classifier.net, task.momentum, task.weight_decay),
        training.batch_size,
        training.plan.steps,
        started,
    )
    if saved is not None:
        state.go_on_from(saved)
        events.note(f'Going on after step {state.step} of {training.total_steps}.')
    # What an earlier attempt told of later steps no longer holds.
    events.emit('begun', step=state.step, epoch=state.epoch)
    # What validation said so far: whoever listened may have been killed between the checkpoint and writing it down.
    for entry in state.history:
        events.emit('evaluated', **entry)

    log = tensorboard.Log(task.tensorboard if processes.is_first else None, steps_done=state.step)
    try:
        learn(training, state, log)
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(error, training.batch_size, was_found=task.batch_size is None) from error
        raise
    finally:
        log.close()

    if processes.is_first:
        save_model(task.output, classifier, state.best_weights)
    best = best_of(state.history, len(packs.validation))
    return {
        'epochs': task.epochs,
        'best_epoch': best['epoch'],
        'steps': training.total_steps,
        'batch_size': training.batch_size,
        'top1': best['top1'],
        'top5': best['top5'],
        'seconds': state.seconds,
    }


def learn(training: Training, state: TrainingState, log: tensorboard.Log) -> None:
    """Takes all steps that are left. Raises Interrupted, with what is done saved, where a stop was asked for."""
    task, processes = training.task, training.processes
    forward: Callable[[Tensor], Tensor] = processes.averaging_gradients(state.classifier)
    if task.compile:
        forward = compiled(forward, training.device)
    evaluated_epochs = evaluation_epochs(task.epochs, task.evaluations)
    readings, saves = Readings(), Saves(task.checkpoint_minutes)
    crowding = watch_crowding(task.threads, training.device) if processes.count == 1 else None
    try:
        if task.init is not None and not state.history:
            # What it starts from is a candidate, too: a training that only takes away leaves it as it was.
            validate(training, state, log, epochs_done=0)
        while state.epoch < task.epochs:
            for images, targets, whole in batches(
                training.source, training.plan, training.at_once, state.epoch, first=state.batch
            ):
                if processes.any(stop.requested()):
                    raise Interrupted
                with training.autocast:
                    logits = forward(images)
                loss = F.cross_entropy(logits, targets)
                state.optimizer.zero_grad()
                (loss * processes.weight(len(images), whole)).backward()
                state.optimizer.step(training.rate_at(state.step))
                if state.averaged is not None:
                    state.averaged.update_parameters(state.classifier)
                state.batch += 1

                readings.add(loss.detach(), whole)
                if crowding is not None:
                    crowding.step_done(whole)
                if readings.are_due():
                    report(training, state, readings, log)
                if saves.is_due():
                    save(training, state, readings, saves)

            ended = time.monotonic()
            # What diverged is neither measured nor saved.
            take_losses(training, state, readings)
            if state.epoch + 1 in evaluated_epochs:
                validate(training, state, log, epochs_done=state.epoch + 1)
            state.epoch, state.batch = state.epoch + 1, 0
            if state.epoch == task.epochs or saves.is_cheap():
                save(training, state, readings, saves)
            readings.pause(time.monotonic() - ended)
            if crowding is not None:
                crowding.begin()
    except Interrupted as interrupted:
        save(training, state, readings, saves)
        what = f'Stopped after step {state.step} of {training.total_steps}; the same command goes on from there.'
        raise Interrupted(what) from interrupted


# ---------------------------------------------------------------- beside the steps


def take_losses(training: Training, state: TrainingState, readings: Readings) -> list[float]:
    """Those of the steps since the last call. Raises where one exploded, naming the step."""
    values = readings.take_losses()
    for step, value in enumerate(values, start=state.step - len(values)):
        if not value < LARGEST_LOSS:
            what = f'The loss became {value:.4g} at step {step + 1} of {training.total_steps}'
            raise diverged(what, training.rate_at(step), training.task)
    return values


def report(training: Training, state: TrainingState, readings: Readings, log: tensorboard.Log) -> None:
    """Tells how it goes, after a step."""
    losses = take_losses(training, state, readings)
    figures = {
        'loss': sum(losses) / len(losses),
        'lr': training.rate_at(state.step - 1),
        'images_per_second': readings.take_rate(),
        'memory_bytes': memory_used(training.device),
    }
    events.emit('step', step=state.step, total_steps=training.total_steps, epoch=state.epoch + 1, **figures)
    log.write(state.step, figures)


def save(training: Training, state: TrainingState, readings: Readings, saves: Saves) -> None:
    began = time.monotonic()
    take_losses(training, state, readings)
    if training.processes.is_first:
        if not state.is_finite():
            what = f'A weight stopped being finite by step {state.step} of {training.total_steps}'
            raise diverged(what, training.rate_at(max(0, state.step - 1)), training.task)
        state.save(training.task)
    saves.done(began)


def validate(training: Training, state: TrainingState, log: tensorboard.Log, epochs_done: int) -> None:
    """Measures the weights as they are, and keeps a copy where they are the best so far."""
    state.measured.eval()
    with training.autocast:
        (accuracy,) = accuracies(
            [state.measured], training.packs.validation, training.validation_batch, training.processes
        )
    state.classifier.train()
    if not math.isfinite(accuracy.loss):
        raise diverged(
            f'The validation loss became {accuracy.loss} after epoch {epochs_done}', training.peak_rate, training.task
        )
    figures = {'top1': accuracy.top1, 'top5': accuracy.top5, 'loss': accuracy.loss}
    events.emit('evaluated', epoch=epochs_done, **figures)
    log.write(state.step, {f'validation/{name}': value for name, value in figures.items()})
    state.take_reading({'epoch': epochs_done, **figures}, len(training.packs.validation))


# ---------------------------------------------------------------- what stays the same from the first step to the last


@dataclass(frozen=True)
class Packs:
    training: Pack
    labelled: Pack | None
    validation: Pack


def open_packs(task: TrainTask, device: torch.device, processes: Processes) -> Packs:
    """
    The pictures that are learned from and measured on. Raises Failure('data') where there are too few, or soft targets
    lack answers.
    """
    open_one = partial(open_pack, classes=task.architecture.classes, device=device, room=room_for_packs(device))
    training = open_one(task.train_pack, task.architecture.resize)
    labelled = None if task.labelled_pack is None else open_one(task.labelled_pack, task.architecture.resize)
    validation = open_one(task.validation_pack, task.architecture.size)
    if len(training) < 2 * processes.count:
        raise Failure('data', too_few_samples(task, len(training), processes.count))
    if task.targets == 'soft' and training.answers is None:
        raise Failure('data', f"The pack {task.train_pack} holds no teacher's answers, which soft targets are made of.")
    return Packs(training, labelled, validation)


@dataclass(frozen=True)
class Training:
    """What a training's steps need, and none of them changes."""

    task: TrainTask
    processes: Processes
    device: torch.device
    packs: Packs
    source: Source
    batch_size: int
    plan: Plan
    at_once: int
    autocast: torch.autocast
    validation_batch: int
    peak_rate: float

    @property
    def total_steps(self) -> int:
        return self.plan.steps * self.task.epochs

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return learning_rate(step, self.total_steps, self.peak_rate, self.task.warmup, self.task.schedule)


def set_up(
    task: TrainTask,
    processes: Processes,
    device: torch.device,
    packs: Packs,
    classifier: Classifier,
    saved: dict[str, Any] | None,
) -> Training:
    """Finds the batch size, unless it is given or an earlier attempt did, and what follows from it."""
    bf16 = trains_in_bf16(task.precision, device)
    if saved is not None:
        batch_size = saved['batch_size']
    else:
        batch_size = task.batch_size or processes.agreed(
            lambda: fitting_batch_size(task.architecture, len(packs.training), bf16, device, processes.count)
        )
    plan = plan_epoch(packs.training, batch_size, task.labelled_share, task.balanced)
    if plan.samples // plan.steps + plan.labelled < processes.count:
        raise Failure(
            'data', f'{processes.count} processes cannot share batches of {batch_size}. Lower train.processes.'
        )
    fill = torch.tensor(classifier.mean, device=device).mul(255).round().to(torch.uint8)
    return Training(
        task=task,
        processes=processes,
        device=device,
        packs=packs,
        source=Source(packs.training, packs.labelled, task, processes.part, fill),
        batch_size=batch_size,
        plan=plan,
        at_once=batches_at_once(packs.training, packs.labelled, batch_size),
        autocast=torch.autocast(device.type, torch.bfloat16, enabled=bf16),
        # Without gradients four times a process's part takes no more memory, and a GPU wants it; a CPU is faster while
        # a batch fits its cache.
        validation_batch=max(1, batch_size // processes.count) * (4 if device.type == 'cuda' else 1),
        peak_rate=task.learning_rate * (1 if task.batch_size else batch_size / REFERENCE_BATCH),
    )


def compiled(
    forward: Callable[[torch.Tensor], torch.Tensor], device: torch.device
) -> Callable[[torch.Tensor], torch.Tensor]:
    """
    `forward` through torch.compile; on a GPU with CUDA graphs: the kernels of a step are then launched as one. Batches
    have two sizes at most, and code made for each is faster than code for any.
    """
    return torch.compile(forward, dynamic=False, mode='reduce-overhead' if device.type == 'cuda' else 'default')


def too_few_samples(task: TrainTask, samples: int, processes: int) -> str:
    found = f'The pack {task.train_pack} holds {samples} sample{"" if samples == 1 else "s"}'
    if processes == 1:
        return f'{found}; batch normalisation needs 2 or more.'
    return f'{found}; {processes} processes need {2 * processes} or more. Lower train.processes.'


def diverged(what: str, learning_rate: float, task: TrainTask) -> Failure:
    third = f'{task.learning_rate / 3:.2g}, a third of what it is, is worth a try'
    keys = f"Lower the step's learning_rate (teacher, pretrain or finetune; {third}), or raise train.warmup."
    kept = (
        f' The last good checkpoint is kept: {task.checkpoint}; other settings begin anew.'
        if task.checkpoint.exists()
        else ''
    )
    return Failure('diverged', f'{what}, with a learning rate of {learning_rate:.3g}. {keys}{kept}')
