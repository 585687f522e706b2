"""
Draws what a step learns from: altered pictures and the probabilities of their classes, decided by seed, epoch and step
alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .augment import augment
from .data import Pack, gather, read_ahead, seed_of
from .mix import mix
from .tasks import TrainTask

# On a GPU; 16 batches of 128 pictures of 32 px.
MOST_AT_ONCE, PIXELS_AT_ONCE = 16, 1 << 21


@dataclass(frozen=True)
class Source:
    """
    What batches are drawn from. `part` tells this process's share of a batch of so many, as positions in it; `fill`
    uint8 [3] is the colour of blanked squares.
    """

    training: Pack
    labelled: Pack | None
    task: TrainTask
    part: Callable[[int], slice]
    fill: Tensor


@dataclass(frozen=True)
class Plan:
    """
    How an epoch of `training` is cut into steps. An epoch takes `samples` draws of the set that is learned from; each
    of its `steps` has `labelled` pictures of the labelled set besides.
    """

    samples: int
    steps: int
    labelled: int


def plan_epoch(training: Pack, batch_size: int, labelled_share: float, balanced: bool) -> Plan:
    """
    All samples are used, and batches differ by at most one in size, instead of a small rest: 129 samples at a batch
    size of 128 make 65 and 64, so that no batch norm ever sees a single picture.
    """
    samples = len(training)
    if balanced:
        # Every class that has samples gets as many as the largest.
        counts = torch.bincount(training.samples[:, 1], minlength=training.classes)
        samples = int(counts.max() * counts.count_nonzero())
    labelled = round(labelled_share * batch_size)
    steps = max(1, min(-(-samples // max(1, batch_size - labelled)), samples // 2))
    return Plan(samples, steps, labelled)


def epoch_order(training: Pack, plan: Plan, seed: int, epoch: int) -> Tensor:
    """
    The draws of an epoch in order, int64 [plan.samples] on the CPU: a function of the seed and the epoch. A draw is a
    sample's number, plus the number of samples for each time that the sample was drawn before in this epoch:
    repetitions are altered differently.
    """
    if plan.samples == len(training):
        return permutation(len(training), 'order', seed, epoch)
    shuffled = permutation(len(training), 'balance', seed, epoch)
    labels = training.samples[:, 1].cpu()[shuffled]
    counts = torch.bincount(labels, minlength=training.classes)
    present = counts.nonzero().squeeze(1)
    by_class = shuffled[labels.argsort(stable=True)]
    first = (counts.cumsum(0) - counts)[present]
    turn = torch.arange(int(counts.max()))
    size = counts[present].unsqueeze(1)
    draws = by_class[first.unsqueeze(1) + turn % size] + torch.div(turn, size, rounding_mode='floor') * len(training)
    return draws.flatten()[permutation(plan.samples, 'order', seed, epoch)]


def with_labelled(draws: Tensor, labelled: Pack | None, count: int, seed: int, step: int) -> Tensor:
    """
    The draws of a step with `count` of the labelled set behind them, int64: that set is gone through again and again,
    each time in another order. Its draws count downwards from -1, which tells them from the others.
    """
    if labelled is None:
        return draws
    position = torch.arange(step * count, (step + 1) * count)
    turn, place = position // len(labelled), position % len(labelled)
    more = torch.empty_like(position)
    for number in turn.unique().tolist():
        chosen = turn == number
        more[chosen] = labelled_order(len(labelled), seed, number)[place[chosen]] + number * len(labelled)
    return torch.cat((draws, -1 - more))


# Asked for in every step; those of whole epochs are asked for once, and are large.
@lru_cache(maxsize=2)
def labelled_order(count: int, seed: int, turn: int) -> Tensor:
    return permutation(count, 'labelled', seed, turn)


def permutation(count: int, purpose: str, seed: int, turn: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed_of(purpose, seed, turn)))


def batches(source: Source, plan: Plan, at_once: int, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    """
    The batches of an epoch from number `first` on: pictures uint8 [n, size, size, 3] and the probabilities of their
    classes float32 [n, classes] of this process's part of each, and the size of the whole batch. `at_once` of them are
    prepared together, which changes nothing but the time: see `batches_at_once`.
    """
    seed = source.task.seed
    draws = epoch_order(source.training, plan, seed, epoch).tensor_split(plan.steps)

    def group(start: int) -> list[Tensor]:
        numbers = range(start, min(start + at_once, plan.steps))
        return [
            with_labelled(draws[number], source.labelled, plan.labelled, seed, epoch * plan.steps + number)
            for number in numbers
        ]

    following = group(first)
    for start in range(first, plan.steps, at_once):
        wholes, following = following, group(start + at_once)
        for whole in following:
            announce(source, whole)
        for whole, (images, targets) in zip(wholes, draw_batches(source, wholes, epoch), strict=True):
            yield images, targets, len(whole)


def batches_at_once(training: Pack, labelled: Pack | None, batch_size: int) -> int:
    """
    How many batches are prepared together. A GPU is done with a kernel on a batch of small pictures before the next is
    launched, so there they are many, as far as all pictures lie on it; a CPU is faster while a batch fits its cache.
    """
    if (
        training.device.type == 'cpu'
        or training.file is not None
        or (labelled is not None and labelled.file is not None)
    ):
        return 1
    return max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // (batch_size * training.size**2)))


def draw_batches(source: Source, wholes: Sequence[Tensor], epoch: int) -> list[tuple[Tensor, Tensor]]:
    """
    The pictures uint8 [n, size, size, 3] and the probabilities of their classes float32 [n, classes] of a part of each
    batch of draws. What a picture becomes depends on its draw and, where pictures are mixed, on the one before it in
    the whole batch, never on the part: several processes that share a batch make of it what one makes.
    """
    task = source.task
    mixes = task.augment.mix != 'none'
    taken = [whole[positions(source, whole, mixes)] for whole in wholes]
    together = torch.cat(taken)
    if source.labelled is None:
        images, targets = answers(source.training, together % len(source.training), task)
    else:
        images, targets = _of_both(source.training, source.labelled, together, task)
    images = augment(images, together, task.architecture.size, task.augment, task.seed, epoch, source.fill)
    sizes = [len(one) for one in taken]
    drawn = zip(images.split(sizes), targets.split(sizes), strict=True)
    return (
        [mixed(source, whole, *one, epoch) for whole, one in zip(wholes, drawn, strict=True)] if mixes else list(drawn)
    )


def positions(source: Source, whole: Tensor, mixes: bool) -> Tensor:
    """
    The places of this process's part of a batch; where pictures are mixed, with one more at the front: the partner of
    the first.
    """
    own = torch.arange(len(whole))[source.part(len(whole))]
    return torch.cat((own[:1] - 1, own)) % len(whole) if mixes else own


def mixed(source: Source, whole: Tensor, images: Tensor, targets: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
    """
    The pictures of a part of a batch, behind the partner of the first, blended in shares that are drawn for the whole
    batch.
    """
    settings = source.task.augment
    random = np.random.default_rng(seed_of('mix', source.task.seed, epoch, int(whole[0])))
    share = torch.from_numpy(random.beta(settings.mix_alpha, settings.mix_alpha, len(whole))).float()
    centre = torch.from_numpy(random.random((len(whole), 2))).float()
    share, centre = (drawn[source.part(len(whole))].to(images.device, non_blocking=True) for drawn in (share, centre))
    return mix(settings.mix, images, targets, share, centre)


def announce(source: Source, whole: Tensor) -> None:
    """Says which batch is wanted next, so that its pictures are read from the disk while the device is at work."""
    draws = whole[source.part(len(whole))]
    own = draws >= 0
    read_ahead(source.training, draws[own] % len(source.training))
    if source.labelled is not None:
        read_ahead(source.labelled, (-1 - draws[~own]) % len(source.labelled))


def answers(pack: Pack, samples: Tensor, task: TrainTask) -> tuple[Tensor, Tensor]:
    """
    Pictures uint8 [n, packed size, packed size, 3] and the probabilities float32 [n, classes] that are learned from a
    pack.
    """
    images, labels, rows = gather(pack, samples)
    if task.targets == 'hard' or pack.answers is None:
        # Label smoothing (Szegedy et al., arXiv 1512.00567, section 7). Soft targets are as certain as the teacher is.
        certain = F.one_hot(labels, pack.classes).float()
        return images, certain * (1 - task.label_smoothing) + task.label_smoothing / pack.classes
    best, log_prob = (part.index_select(0, rows).to(pack.device, non_blocking=True) for part in pack.answers)
    return images, soft_targets(best.long(), log_prob, pack.classes, task.temperature, task.rest)


def soft_targets(best: Tensor, log_prob: Tensor, classes: int, temperature: float, rest: str) -> Tensor:
    """
    The teacher's distribution, evened out by `temperature` (Hinton et al., arXiv 1503.02531): p ** (1 / temperature),
    normalised. `best` int64 and `log_prob` float32 [n, kept] are its best classes and their natural log-probabilities.
    What these leave of 1 is spread evenly over all other classes (`spread`) or dropped (`drop`). Returns float32 [n,
    classes].
    """
    kept = best.shape[1]
    logits = log_prob.new_full((len(best), classes), -torch.inf)
    if rest == 'spread' and kept < classes:
        left = (1 - log_prob.exp().sum(1, keepdim=True)).clamp(min=0) / (classes - kept)
        logits[:] = left.log() / temperature
    # In logarithms: the power of a low temperature would be 0 for all classes.
    return logits.scatter_(1, best, log_prob / temperature).softmax(1)


def _of_both(training: Pack, labelled: Pack, draws: Tensor, task: TrainTask) -> tuple[Tensor, Tensor]:
    own = draws >= 0
    images, targets = answers(training, draws[own] % len(training), task)
    more_images, more_targets = answers(labelled, (-1 - draws[~own]) % len(labelled), task)
    # Both in one, put back into the order of the draws.
    order = torch.cat((own.nonzero(), (~own).nonzero())).squeeze(1).argsort().to(images.device, non_blocking=True)
    return torch.cat((images, more_images))[order], torch.cat((targets, more_targets))[order]
