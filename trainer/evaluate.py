"""Measures classifiers on a pack."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from . import events, stop
from .classifier import Classifier
from .config import EvaluateTask
from .data import Pack, gather, open_pack
from .device import open_device, use_full_float32
from .errors import Failure
from .model_file import load_model


@dataclass(frozen=True)
class Accuracy:
    """`top1` and `top5` are fractions of all samples; `loss` is the mean cross-entropy, without label smoothing."""

    top1: float
    top5: float
    loss: float


@torch.inference_mode()
def accuracies(classifiers: list[Classifier], pack: Pack, batch_size: int, before_batch: Callable[[int], None]) -> list[Accuracy]:
    """
    The accuracy of each classifier, in evaluation mode, on all samples of a pack, which is read once for all of them.
    `before_batch` hears how many samples are done, and may raise to stop.
    """
    # Sums stay on the device: asking a GPU for each batch's value would make it wait for Python.
    sums = torch.zeros(len(classifiers), 3, dtype=torch.float64, device=pack.device)
    for index in torch.arange(len(pack)).split(batch_size):
        before_batch(int(index[0]))
        images, labels = gather(pack, index)
        for row, classifier in zip(sums, classifiers, strict=True):
            logits = classifier(images)
            hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels.unsqueeze(1)
            row += torch.stack((hits[:, 0].sum(), hits.sum(), F.cross_entropy(logits, labels, reduction='sum'))).double()
    return [Accuracy(*row) for row in (sums / len(pack)).tolist()]


def evaluate(task: EvaluateTask) -> dict[str, Any]:
    """
    The `evaluate` task: every model on the same pack, in float32 also where they were trained in bf16, since these are the
    numbers that get reported.
    """
    device = open_device(task.device, task.threads)
    use_full_float32()
    classifiers = [load_model(named.model).to(device) for named in task.models]
    first = classifiers[0].architecture
    for named, classifier in zip(task.models, classifiers, strict=True):
        if (classifier.architecture.size, classifier.architecture.classes) != (first.size, first.classes):
            raise Failure('model', f'{named.model} has another picture size or other classes than {task.models[0].model}.')
    pack = open_pack(task.pack, first.size, first.classes, device)

    started = reported = time.monotonic()

    def report(done: int) -> None:
        nonlocal reported
        stop.check()
        now = time.monotonic()
        if now - reported >= 1:
            reported = now
            events.emit('progress', done=done, total=len(pack), images_per_second=done / (now - started))

    results = []
    for named, accuracy in zip(task.models, accuracies(classifiers, pack, task.batch_size, report), strict=True):
        if not math.isfinite(accuracy.loss):
            raise Failure('model', f'The model {named.model} answers NaN or infinity on pictures of {task.pack}.')
        results.append({'name': named.name, 'images': len(pack), 'top1': accuracy.top1, 'top5': accuracy.top5})
    return {'models': results}
