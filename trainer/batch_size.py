"""Finds the largest batch that a device has room for."""

import gc

import torch
from torch.nn import functional as F

from . import events
from .classifier import Classifier
from .errors import Failure
from .sgd import Sgd
from .tasks import Architecture

LARGEST_ON_GPU = 1024
# Beyond these a CPU gains nothing, and its memory cannot be tried out: Linux kills whoever asks for too much.
SMALL_PICTURES_ON_CPU, LARGE_PICTURES_ON_CPU = 128, 32
# Left to what a step needs beyond the tries: augmentation, the next batch, fragments.
SHARE_OF_MEMORY = 0.85


def fitting_batch_size(
    architecture: Architecture, samples: int, bf16: bool, device: torch.device, processes: int
) -> int:
    """
    For each of `processes` a power of two: the largest with which a whole step fits, at most `samples` in all. Raises
    Failure('out-of-memory') where 2 do not fit.
    """
    samples //= processes
    if device.type == 'cpu':
        wanted = SMALL_PICTURES_ON_CPU if architecture.size <= 64 else LARGE_PICTURES_ON_CPU
        found = min(wanted, 1 << (samples.bit_length() - 1))
    else:
        found = 0
        size = 2
        while size <= min(LARGEST_ON_GPU, samples) and _fits(architecture, size, bf16, device):
            found, size = size, size * 2
        if found == 0:
            advice = 'Free its memory, or take a smaller model or image.size.'
            raise Failure('out-of-memory', f'Not even 2 pictures fit on {device} with a {architecture.name}. {advice}')
    shared = '' if processes == 1 else f': {found} for each of {processes} processes'
    events.note(f'A batch size of {found * processes} was found for {device}{shared}.')
    return found * processes


def _fits(architecture: Architecture, size: int, bf16: bool, device: torch.device) -> bool:
    """Whether one step of training with a batch of `size` stays within SHARE_OF_MEMORY of what is free."""
    gc.collect()
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    try:
        classifier = Classifier(architecture, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).to(device)
        optimizer = Sgd(classifier.net, momentum=0.9, weight_decay=0.0)
        images = torch.zeros(size, architecture.size, architecture.size, 3, dtype=torch.uint8, device=device)
        labels = torch.zeros(size, dtype=torch.int64, device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = classifier(images)
        F.cross_entropy(logits, labels).backward()
        optimizer.step(0.0)
        return torch.cuda.max_memory_allocated(device) - before < SHARE_OF_MEMORY * free
    except torch.OutOfMemoryError:
        return False
