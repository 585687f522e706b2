"""Measures classifiers on a pack."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from . import events, stop
from .calibration import calibration_error, reliability
from .classifier import Classifier
from .data import Pack, gather, open_pack
from .device import open_device, use_full_float32
from .errors import Failure
from .model_file import load_model
from .processes import ALONE, Processes
from .tasks import EvaluateTask, NamedModel


@dataclass(frozen=True)
class Accuracy:
    """`top1` and `top5` are fractions of all samples; `loss` is the mean cross-entropy, without label smoothing."""

    top1: float
    top5: float
    loss: float


@torch.inference_mode()
def accuracies(
    classifiers: list[Classifier], pack: Pack, batch_size: int, processes: Processes = ALONE
) -> list[Accuracy]:
    """
    The accuracy of each classifier, in evaluation mode, on all samples of a pack, which is read once for all of them.
    """
    # Sums stay on the device: asking a GPU for each batch's value would make it wait for Python.
    sums = torch.zeros(len(classifiers), 3, dtype=torch.float64, device=pack.device)
    for samples in torch.arange(len(pack))[processes.part(len(pack))].split(batch_size):
        # Several processes stop between two steps only, where they do it together.
        if processes.count == 1:
            stop.check()
        images, labels, _ = gather(pack, samples)
        for row, classifier in zip(sums, classifiers, strict=True):
            logits = classifier(images)
            hits = hits_of(logits, labels)
            row += torch.stack(
                (hits[:, 0].sum(), hits.sum(), F.cross_entropy(logits, labels, reduction='sum'))
            ).double()
    return [Accuracy(*row) for row in (processes.total(sums) / len(pack)).tolist()]


def hits_of(logits: Tensor, labels: Tensor) -> Tensor:
    """bool [batch, 5 or fewer]: whether the label is the best class, the second best, and so on."""
    return logits.topk(min(5, logits.shape[1]), dim=1).indices == labels.unsqueeze(1)


@torch.inference_mode()
def evaluate(task: EvaluateTask) -> dict[str, Any]:
    """
    The `evaluate` task: every model on the same pack, in float32 also where they were trained in bf16, since these are
    the numbers that get reported. With `flip` also the mean probability of a picture and its mirror image, as figures
    of their own.
    """
    device = open_device(task.device, task.threads)
    use_full_float32()
    classifiers = [load_model(named.model).to(device) for named in task.models]
    first = classifiers[0].architecture
    for named, classifier in zip(task.models, classifiers, strict=True):
        if (classifier.architecture.size, classifier.architecture.classes) != (first.size, first.classes):
            raise Failure(
                'model', f'{named.model} has another picture size or other classes than {task.models[0].model}.'
            )
    pack = open_pack(task.pack, first.size, first.classes, device)

    # Test sets and their logits fit in memory: 50,000 pictures of 1,000 classes take 200 MB a model.
    logits: list[list[Tensor]] = [[] for _ in classifiers]
    mirrored: list[list[Tensor]] = [[] for _ in classifiers]
    started = reported = time.monotonic()
    for samples in torch.arange(len(pack)).split(task.batch_size):
        stop.check()
        images, _, _ = gather(pack, samples)
        for classifier, own, flipped in zip(classifiers, logits, mirrored, strict=True):
            own.append(classifier(images).cpu())
            if task.flip:
                flipped.append(classifier(images.flip(2)).cpu())
        now = time.monotonic()
        if now - reported >= 1:
            reported, done = now, int(samples[-1]) + 1
            events.emit('progress', done=done, total=len(pack), images_per_second=done / (now - started))

    labels = pack.samples[:, 1].long().cpu()
    return {
        'models': [
            {
                'name': named.name,
                **figures(named, torch.cat(own), torch.cat(flipped) if flipped else None, labels, task.pack),
            }
            for named, own, flipped in zip(task.models, logits, mirrored, strict=True)
        ]
    }


def figures(named: NamedModel, logits: Tensor, mirrored: Tensor | None, labels: Tensor, pack: Path) -> dict[str, Any]:
    """
    Accuracies of logits [images, classes], and how well they are calibrated as trained and at the model's temperature.
    """
    if not logits.isfinite().all():
        raise Failure('model', f'The model {named.model} answers NaN or infinity on pictures of {pack}.')

    def accuracy(scores: Tensor) -> dict[str, float]:
        hits = hits_of(scores, labels).double()
        return {'top1': hits[:, 0].mean().item(), 'top5': hits.sum(1).mean().item()}

    calibrated = logits / named.temperature
    return {
        'images': len(labels),
        **accuracy(logits),
        'ece_before': calibration_error(logits, labels),
        'ece_after': calibration_error(calibrated, labels),
        'bins': {'before': bins(logits, labels), 'after': bins(calibrated, labels)},
        'flipped': None
        if mirrored is None
        else accuracy(calibrated.softmax(1) + (mirrored / named.temperature).softmax(1)),
    }


def bins(logits: Tensor, labels: Tensor) -> list[dict[str, float]]:
    return [
        {'images': int(images), 'probability': probability, 'accuracy': accuracy}
        for images, probability, accuracy in reliability(logits, labels).tolist()
    ]
