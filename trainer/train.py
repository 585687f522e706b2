"""Trains one classifier; the teacher, the pre-trained and the fine-tuned student are this loop under different settings."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from . import checkpoint, events, stop, tensorboard
from .batch_size import fitting_batch_size
from .batches import Source, batches, batches_at_once, plan_epoch
from .classifier import Classifier
from .config import TrainTask
from .crowding import watch_crowding
from .data import channel_statistics, open_pack, room_for_packs, spread
from .device import memory_used, open_device, trains_in_bf16
from .errors import Failure, Interrupted, is_out_of_memory, out_of_memory
from .evaluate import accuracies
from .model_file import load_model, save_model
from .models.cifarnet import CifarNet, whitening_filters
from .processes import join_processes
from .schedule import evaluation_epochs, learning_rate
from .sgd import Sgd

# Learning rates belong to a batch of this size where the batch size is found here.
REFERENCE_BATCH = 256
# Guessing among a million classes costs 14; a loss beyond this has exploded.
LARGEST_LOSS = 1e4
SECONDS_BETWEEN_READINGS = 1.0


def train(task: TrainTask) -> dict[str, Any]:
    """
    The `train` task. Leaves the weights of the best epoch by validation at `task.output`. Started again after an interruption it
    goes on from `task.checkpoint`; on one CPU machine the weights then equal those of an uninterrupted run byte for byte.
    """
    started = time.monotonic()
    processes = join_processes(task.device)
    device = open_device(processes.device, processes.threads(task.threads))
    architecture = task.architecture
    room = room_for_packs(device)
    training = open_pack(task.train_pack, architecture.resize, architecture.classes, device, room)
    labelled = (
        None if task.labelled_pack is None else open_pack(task.labelled_pack, architecture.resize, architecture.classes, device, room)
    )
    validation = open_pack(task.validation_pack, architecture.size, architecture.classes, device, room)
    if len(training) < 2 * processes.count:
        raise Failure('data', too_few_samples(task, len(training), processes.count))
    if task.targets == 'soft' and training.answers is None:
        raise Failure('data', f"The pack {task.train_pack} holds no teacher's answers, which soft targets are made of.")

    # Weights: fresh ones, normalised by the training pictures' statistics, or those of `init` with the normalisation they know.
    torch.manual_seed(task.seed)
    if task.init is None:
        classifier = Classifier(architecture, *channel_statistics(training))
        if isinstance(classifier.net, CifarNet):
            classifier.net.whiten.weight.data.copy_(whitening_filters(classifier.normalised(spread(training, pixels=5_000 * 32**2))))
    else:
        classifier = load_model(task.init)
        if classifier.architecture != architecture:
            raise Failure('model', f'The weights in {task.init} are of another network, or for other classes, than this training asks for.')
    classifier.to(device).train()
    processes.synchronise_norms(classifier)
    network = classifier.net
    # What is measured and kept: the weights as trained, or their moving average.
    averaged = AveragedModel(classifier, multi_avg_fn=moving_average(task.ema), use_buffers=True) if task.ema > 0 else None
    measured = classifier
    if averaged is not None:
        assert isinstance(averaged.module, Classifier)
        measured = averaged.module

    optimizer = Sgd(network, task.momentum, task.weight_decay)
    bf16 = trains_in_bf16(task.precision, device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    forward: Callable[[torch.Tensor], torch.Tensor] = processes.averaging_gradients(classifier)
    if task.compile:
        forward = compiled(forward, device)

    saved = checkpoint.load(task.checkpoint, task.fingerprint)
    if not processes.alike((-1, -1) if saved is None else (saved['epoch'], saved['batch'])):
        raise Failure('data', f'The hosts of this training see different files at {task.checkpoint}: they must share that folder.')
    if saved is not None:
        batch_size = saved['batch_size']
    else:
        batch_size = task.batch_size or processes.agreed(
            lambda: fitting_batch_size(architecture, len(training), bf16, device, processes.count)
        )
    peak_rate = task.learning_rate * (1 if task.batch_size else batch_size / REFERENCE_BATCH)
    plan = plan_epoch(training, batch_size, task.labelled_share, task.balanced)
    if plan.samples // plan.steps + plan.labelled < processes.count:
        raise Failure('data', f'{processes.count} processes cannot share batches of {batch_size}. Lower train.processes.')
    at_once = batches_at_once(training, labelled, batch_size)
    total_steps = plan.steps * task.epochs
    evaluated_epochs = evaluation_epochs(task.epochs, task.evaluations)
    # Without gradients four times a process's part takes no more memory, and a GPU wants it; a CPU is faster while a batch fits its cache.
    validation_batch = max(1, batch_size // processes.count) * (4 if device.type == 'cuda' else 1)
    fill = torch.tensor(classifier.mean, device=device).mul(255).round().to(torch.uint8)
    source = Source(training, labelled, task, processes.part, fill)

    def rate_at(step: int) -> float:
        return learning_rate(step, total_steps, peak_rate, task.warmup, task.schedule)

    # The position: `batch` batches of epoch `epoch` (both from 0) are done. What is drawn, and how it is altered, are functions of
    # seed, epoch and step, so nothing else has to be remembered about the data.
    epoch, batch, seconds_before, history, best_weights = 0, 0, 0.0, [], {}
    if saved is not None:
        network.load_state_dict(saved['network'])
        optimizer.load_state_dict(saved['optimizer'])
        if averaged is not None:
            averaged.load_state_dict(saved['averaged'])
        torch.set_rng_state(saved['random'])
        epoch, batch, seconds_before = saved['epoch'], saved['batch'], saved['seconds']
        history, best_weights = saved['history'], saved['best_weights']
        events.note(f'Going on after step {epoch * plan.steps + batch} of {total_steps}.')
    # What an earlier attempt told of later steps no longer holds.
    events.emit('begun', step=epoch * plan.steps + batch, epoch=epoch)
    # What validation said so far: whoever listened may have been killed between the checkpoint and writing it down.
    for reading in history:
        events.emit('evaluated', **reading)

    losses: list[torch.Tensor] = []

    def read_losses() -> list[float]:
        """Those of the steps since the last call. Raises where one exploded, naming the step."""
        values = torch.stack(losses).tolist() if losses else []
        losses.clear()
        for step, value in enumerate(values, start=epoch * plan.steps + batch - len(values)):
            if not value < LARGEST_LOSS:
                raise diverged(f'The loss became {value:.4g} at step {step + 1} of {total_steps}', rate_at(step), task)
        return values

    def save() -> None:
        if not processes.is_first:
            return
        if not all(parameter.isfinite().all() for parameter in network.parameters()):
            step = epoch * plan.steps + batch
            raise diverged(f'A weight stopped being finite by step {step} of {total_steps}', rate_at(max(0, step - 1)), task)
        state = {
            'fingerprint': task.fingerprint,
            'batch_size': batch_size,
            'epoch': epoch,
            'batch': batch,
            'seconds': seconds_before + time.monotonic() - started,
            'network': network.state_dict(),
            'averaged': {} if averaged is None else averaged.state_dict(),
            'optimizer': optimizer.state_dict(),
            'random': torch.get_rng_state(),
            'history': history,
            'best_weights': best_weights,
        }
        checkpoint.save(task.checkpoint, state)
        events.emit('checkpoint', epoch=epoch, path=str(task.checkpoint))

    log = tensorboard.Log(task.tensorboard if processes.is_first else None, steps_done=epoch * plan.steps + batch)

    def validate(epochs_done: int) -> None:
        """Measures the weights as they are, and keeps a copy where they are the best so far."""
        nonlocal best_weights
        measured.eval()
        with autocast:
            (accuracy,) = accuracies([measured], validation, validation_batch, processes)
        classifier.train()
        if not math.isfinite(accuracy.loss):
            raise diverged(f'The validation loss became {accuracy.loss} after epoch {epochs_done}', peak_rate, task)
        reading = {'top1': accuracy.top1, 'top5': accuracy.top5, 'loss': accuracy.loss}
        events.emit('evaluated', epoch=epochs_done, **reading)
        log.write(epochs_done * plan.steps, {f'validation/{name}': value for name, value in reading.items()})
        history.append({'epoch': epochs_done, **reading})
        if best_of(history, len(validation)) is history[-1]:
            best_weights = {name: tensor.detach().to('cpu', copy=True) for name, tensor in measured.net.state_dict().items()}

    crowding = watch_crowding(task.threads, device) if processes.count == 1 else None
    reported, images_seen = time.monotonic(), 0
    saved_at, seconds_saving = time.monotonic(), 0.0
    try:
        if task.init is not None and not history:
            # What it starts from is a candidate, too: a training that only takes away leaves it as it was.
            validate(0)
        while epoch < task.epochs:
            for images, targets, whole in batches(source, plan, at_once, epoch, first=batch):
                if processes.any(stop.requested()):
                    raise Interrupted
                step = epoch * plan.steps + batch
                with autocast:
                    logits = forward(images)
                loss = F.cross_entropy(logits, targets)
                optimizer.zero_grad()
                (loss * processes.weight(len(images), whole)).backward()
                optimizer.step(rate_at(step))
                if averaged is not None:
                    averaged.update_parameters(classifier)
                batch += 1

                # Losses are read once a second: asking a GPU for each one would make it wait for Python.
                losses.append(loss.detach())
                images_seen += whole
                if crowding is not None:
                    crowding.step_done(whole)
                elapsed = time.monotonic() - reported
                if elapsed >= SECONDS_BETWEEN_READINGS:
                    recent = read_losses()
                    reading = {
                        'loss': sum(recent) / len(recent),
                        'lr': rate_at(step),
                        'images_per_second': images_seen / elapsed,
                        'memory_bytes': memory_used(device),
                    }
                    events.emit('step', step=step + 1, total_steps=total_steps, epoch=epoch + 1, **reading)
                    log.write(step + 1, reading)
                    reported, images_seen = time.monotonic(), 0
                if time.monotonic() - saved_at >= 60 * task.checkpoint_minutes:
                    read_losses()
                    save()
                    saved_at = time.monotonic()

            # What diverged is neither measured nor saved.
            read_losses()
            trained = time.monotonic()
            if epoch + 1 in evaluated_epochs:
                validate(epoch + 1)
            epoch, batch = epoch + 1, 0

            # Epochs of a small set take less time than a checkpoint: saving is held to about a hundredth of the time.
            if epoch == task.epochs or time.monotonic() - saved_at >= 100 * seconds_saving:
                saving = time.monotonic()
                save()
                saved_at = time.monotonic()
                seconds_saving = saved_at - saving
            reported += time.monotonic() - trained
            if crowding is not None:
                crowding.begin()
    except Interrupted as interrupted:
        read_losses()
        save()
        step = epoch * plan.steps + batch
        raise Interrupted(f'Stopped after step {step} of {total_steps}; the same command goes on from there.') from interrupted
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(error, batch_size, was_found=task.batch_size is None) from error
        raise
    finally:
        log.close()

    if processes.is_first:
        save_model(task.output, classifier, best_weights)
    best = best_of(history, len(validation))
    return {
        'epochs': task.epochs,
        'best_epoch': best['epoch'],
        'steps': total_steps,
        'batch_size': batch_size,
        'top1': best['top1'],
        'top5': best['top5'],
        'seconds': seconds_before + time.monotonic() - started,
    }


def compiled(forward: Callable[[torch.Tensor], torch.Tensor], device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """
    `forward` through torch.compile; on a GPU with CUDA graphs: the kernels of a step are then launched as one. Batches have two sizes
    at most, and code made for each is faster than code for any.
    """
    return torch.compile(forward, dynamic=False, mode='reduce-overhead' if device.type == 'cuda' else 'default')


Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def moving_average(decay: float) -> Callable[[Tensors, Tensors, torch.Tensor | int], None]:
    """
    The update of averaged weights: each step they keep `decay` of themselves, less at the beginning (Polyak and Juditsky, 1992, with
    the warm-up of TensorFlow's ExponentialMovingAverage), so that a short training is not held back by its random start.
    """

    def update(averages: Tensors, weights: Tensors, updates: torch.Tensor | int) -> None:
        done = int(updates)
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + done) / (10 + done)))
        else:
            torch._foreach_copy_(averages, weights)

    return update


def best_of(history: list[dict[str, Any]], validation_images: int) -> dict[str, Any]:
    """
    The evaluation whose weights are kept: the latest one whose top-1 is within one standard error of the highest.

    The rule of one standard error (Breiman et al., 1984; Hastie et al., The Elements of Statistical Learning, section 7.10), with
    the longest training as the simplest model: the learning rate falls to 0, so of weights that validation cannot tell apart the
    later are the better bet. With 50 validation images one error is 7 points, and the highest of many noisy readings is luck.
    """
    highest = max(entry['top1'] for entry in history)
    standard_error = math.sqrt(highest * (1 - highest) / validation_images)
    return [entry for entry in history if entry['top1'] >= highest - standard_error][-1]


def too_few_samples(task: TrainTask, samples: int, processes: int) -> str:
    found = f'The pack {task.train_pack} holds {samples} sample{"" if samples == 1 else "s"}'
    if processes == 1:
        return f'{found}; batch normalisation needs 2 or more.'
    return f'{found}; {processes} processes need {2 * processes} or more. Lower train.processes.'


def diverged(what: str, learning_rate: float, task: TrainTask) -> Failure:
    third = f'{task.learning_rate / 3:.2g}, a third of what it is, is worth a try'
    keys = f"Lower the step's learning_rate (teacher, pretrain or finetune; {third}), or raise train.warmup."
    kept = f' The last good checkpoint is kept: {task.checkpoint}; other settings begin anew.' if task.checkpoint.exists() else ''
    return Failure('diverged', f'{what}, with a learning rate of {learning_rate:.3g}. {keys}{kept}')
