"""Times a few real steps on random pixels: how fast this machine trains and scores with a network."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from . import stop
from .classifier import Classifier
from .device import open_device, trains_in_bf16
from .sgd import Sgd
from .tasks import SpeedTask


def speed(task: SpeedTask) -> dict[str, Any]:
    """
    The `speed` task: images a second of training as `train` does it, and of a forward pass in float32 as in scoring.
    """
    device = open_device(task.device, task.threads)
    torch.manual_seed(task.seed)
    size = task.architecture.size
    # A whole batch of large pictures can take a CPU a minute; from a few pictures on, the batch hardly matters there.
    batch_size = (
        (task.batch_size or 256)
        if device.type == 'cuda'
        else min(task.batch_size or 128, max(4, 128 * 32**2 // size**2))
    )
    images = torch.randint(0, 256, (batch_size, size, size, 3), dtype=torch.uint8, device=device)
    labels = torch.randint(0, len(task.architecture.classes), (batch_size,), device=device)
    classifier = Classifier(task.architecture, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).to(device)
    optimizer = Sgd(classifier.net, momentum=0.9, weight_decay=0.0)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=trains_in_bf16(task.precision, device))

    def train_step() -> None:
        with autocast:
            logits = classifier(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(0.0)
        # Reading the value waits for the GPU.
        loss.item()

    @torch.inference_mode()
    def score_step() -> None:
        classifier(images).sum().item()

    classifier.train()
    training = batch_size / seconds_a_call(train_step)
    classifier.eval()
    return {'train_images_per_second': training, 'score_images_per_second': batch_size / seconds_a_call(score_step)}


def seconds_a_call(step: Callable[[], None]) -> float:
    """The mean over two seconds' worth of calls, two at least, after one that warms up."""
    step()
    calls, started = 0, time.monotonic()
    while calls < 2 or time.monotonic() - started < 2:
        stop.check()
        step()
        calls += 1
    return (time.monotonic() - started) / calls
