"""Trains one classifier; the teacher, the pre-trained and the fine-tuned student are this loop under different settings."""

import math
import time
from dataclasses import asdict
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from . import checkpoint, events, stop
from .augment import augment
from .classifier import Classifier
from .config import TrainTask
from .data import channel_statistics, epoch_order, gather, open_pack, spread, steps_per_epoch
from .device import open_device, trains_in_bf16
from .errors import Failure, Interrupted
from .evaluate import accuracies
from .model_file import load_model, save_model
from .models.cifarnet import CifarNet, whitening_filters
from .schedule import evaluation_epochs, learning_rate


def train(task: TrainTask) -> dict[str, Any]:
    """
    The `train` task. Leaves the weights of the best epoch by validation at `task.output`. Started again after an interruption it
    goes on from `task.checkpoint`; on one CPU machine the weights then equal those of an uninterrupted run byte for byte.
    """
    started = time.monotonic()
    device = open_device(task.device, task.threads)
    architecture = task.architecture
    training = open_pack(task.train_pack, architecture.resize, architecture.classes, device)
    validation = open_pack(task.validation_pack, architecture.size, architecture.classes, device)
    if len(training) < 2:
        raise Failure('data', f'The pack {task.train_pack} holds 1 sample; batch normalisation needs 2 or more.')

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
    network = classifier.net

    optimizer = sgd(network, task.momentum, task.weight_decay)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=trains_in_bf16(task.precision, device))

    steps_an_epoch = steps_per_epoch(len(training), task.batch_size)
    total_steps = steps_an_epoch * task.epochs
    evaluated_epochs = evaluation_epochs(task.epochs, task.evaluations)
    # Without gradients four times the batch takes no more memory, and a GPU wants it; a CPU is faster while a batch fits its cache.
    validation_batch = task.batch_size * (4 if device.type == 'cuda' else 1)

    def rate_at(step: int) -> float:
        return learning_rate(step, total_steps, task.learning_rate, task.warmup, task.schedule)

    # The position: `batch` batches of epoch `epoch` (both from 0) are done. The order of samples and their augmentation are functions
    # of seed, epoch and sample, so nothing else has to be remembered about the data.
    epoch, batch, seconds_before, history, best_weights = 0, 0, 0.0, [], {}
    saved = checkpoint.load(task.checkpoint, task.fingerprint)
    if saved is not None:
        network.load_state_dict(saved['network'])
        optimizer.load_state_dict(saved['optimizer'])
        torch.set_rng_state(saved['random'])
        epoch, batch, seconds_before = saved['epoch'], saved['batch'], saved['seconds']
        history, best_weights = saved['history'], saved['best_weights']
        events.note(f'Going on after step {epoch * steps_an_epoch + batch} of {total_steps}.')

    losses: list[torch.Tensor] = []

    def read_losses() -> list[float]:
        """Those of the steps since the last call. Raises where one is not finite, naming the step."""
        values = torch.stack(losses).tolist() if losses else []
        losses.clear()
        for step, value in enumerate(values, start=epoch * steps_an_epoch + batch - len(values)):
            if not math.isfinite(value):
                raise diverged(f'The loss became {value} at step {step + 1} of {total_steps}', rate_at(step))
        return values

    def save() -> None:
        if not all(parameter.isfinite().all() for parameter in network.parameters()):
            raise diverged(f'A weight stopped being finite by step {epoch * steps_an_epoch + batch} of {total_steps}', task.learning_rate)
        state = {
            'fingerprint': task.fingerprint,
            'epoch': epoch,
            'batch': batch,
            'seconds': seconds_before + time.monotonic() - started,
            'network': network.state_dict(),
            'optimizer': optimizer.state_dict(),
            'random': torch.get_rng_state(),
            'history': history,
            'best_weights': best_weights,
        }
        checkpoint.save(task.checkpoint, state)
        events.emit('checkpoint', epoch=epoch, path=str(task.checkpoint))

    reported, images_seen = time.monotonic(), 0
    saved_at, seconds_saving = -math.inf, 0.0
    try:
        while epoch < task.epochs:
            batches = epoch_order(training, task.seed, epoch).tensor_split(steps_an_epoch)
            while batch < steps_an_epoch:
                stop.check()
                step = epoch * steps_an_epoch + batch
                for group in optimizer.param_groups:
                    group['lr'] = rate_at(step)
                samples = batches[batch]
                images, labels = gather(training, samples)
                with autocast:
                    logits = classifier(augment(images, samples, architecture.size, task.augment, task.seed, epoch))
                loss = F.cross_entropy(logits, labels, label_smoothing=task.label_smoothing)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                batch += 1

                # Losses are read once a second: asking a GPU for each one would make it wait for Python.
                losses.append(loss.detach())
                images_seen += len(samples)
                elapsed = time.monotonic() - reported
                if elapsed >= 1:
                    recent = read_losses()
                    events.emit(
                        'step',
                        step=step + 1,
                        total_steps=total_steps,
                        epoch=epoch + 1,
                        loss=sum(recent) / len(recent),
                        lr=rate_at(step),
                        images_per_second=images_seen / elapsed,
                    )
                    reported, images_seen = time.monotonic(), 0

            # What diverged is neither measured nor saved.
            read_losses()
            trained = time.monotonic()
            if epoch + 1 in evaluated_epochs:
                classifier.eval()
                with autocast:
                    (accuracy,) = accuracies([classifier], validation, validation_batch, before_batch=lambda _: stop.check())
                classifier.train()
                if not math.isfinite(accuracy.loss):
                    raise diverged(f'The validation loss became {accuracy.loss} after epoch {epoch + 1}', task.learning_rate)
                events.emit('evaluated', epoch=epoch + 1, **asdict(accuracy))
                history.append({'epoch': epoch + 1, **asdict(accuracy)})
                if best_of(history, len(validation)) is history[-1]:
                    best_weights = {name: tensor.detach().to('cpu', copy=True) for name, tensor in network.state_dict().items()}
            epoch, batch = epoch + 1, 0

            # Epochs of a small set take less time than a checkpoint: saving is held to about a tenth of the time.
            if epoch == task.epochs or time.monotonic() - saved_at >= 10 * seconds_saving:
                saving = time.monotonic()
                save()
                saved_at = time.monotonic()
                seconds_saving = saved_at - saving
            reported += time.monotonic() - trained
    except Interrupted as interrupted:
        read_losses()
        save()
        step = epoch * steps_an_epoch + batch
        raise Interrupted(f'Stopped after step {step} of {total_steps}; the same command goes on from there.') from interrupted

    save_model(task.output, classifier, best_weights)
    best = best_of(history, len(validation))
    return {
        'epochs': task.epochs,
        'best_epoch': best['epoch'],
        'steps': total_steps,
        'top1': best['top1'],
        'top5': best['top5'],
        'seconds': seconds_before + time.monotonic() - started,
    }


def sgd(network: nn.Module, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """
    SGD with Nesterov momentum. Norms and biases are not decayed: they are few, and shrinking them only shifts activations
    (He et al., arXiv 1812.01187, section 3.1). The learning rate is set before each step.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = {'params': [parameter for parameter in trainable if parameter.ndim > 1], 'weight_decay': weight_decay}
    others = {'params': [parameter for parameter in trainable if parameter.ndim <= 1], 'weight_decay': 0.0}
    return torch.optim.SGD([decayed, others], lr=0.0, momentum=momentum, nesterov=momentum > 0, fused=True)


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


def diverged(what: str, learning_rate: float) -> Failure:
    keys = 'Lower the learning_rate of the step (teacher, pretrain or finetune; a third of it is a good try) or raise train.warmup.'
    return Failure('diverged', f'{what}, with a learning rate of {learning_rate:.3g}. {keys} The checkpoint before it is kept.')
