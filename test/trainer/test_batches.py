"""
What a step learns from: the order of an epoch, balanced classes, labelled pictures among others, soft targets, parts of
a batch.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import AUGMENT, CLASSES, draw, write_pack

from trainer.batches import Source, batches, draw_batches, epoch_order, plan_epoch, soft_targets, with_labelled
from trainer.config import parse_task
from trainer.data import open_pack
from trainer.tasks import Augment

CPU = torch.device('cpu')
BLACK = torch.zeros(3, dtype=torch.uint8)


@pytest.fixture
def pack(packs):
    return open_pack(packs / 'train', 32, CLASSES, CPU)


@pytest.fixture
def uneven(tmp_path):
    """Classes of 40, 13, 0 and 7 samples."""
    images, _ = draw(60, 32, seed=4)
    labels = [0] * 40 + [1] * 13 + [3] * 7
    return open_pack(write_pack(tmp_path / 'uneven', images, list(enumerate(labels))), 32, CLASSES, CPU)


def draw_batch(draws, pack, task, labelled=None, epoch=0, part=slice(None)):
    (batch,) = draw_batches(Source(pack, labelled, task, lambda _: part, BLACK), [draws], epoch)
    return batch


def test_an_epoch_visits_every_sample_once_in_an_order_of_its_own(pack):
    plan = plan_epoch(pack, 40, 0, balanced=False)
    first, again, second, other_seed = (
        epoch_order(pack, plan, seed, epoch) for seed, epoch in [(0, 0), (0, 0), (0, 1), (1, 0)]
    )
    assert sorted(first.tolist()) == list(range(400))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other_seed)


@pytest.mark.parametrize(
    ('samples', 'batch_size', 'steps'), [(400, 40, 10), (129, 128, 2), (5, 128, 1), (3, 2, 1), (7, 2, 3), (2, 2, 1)]
)
def test_no_batch_is_left_with_a_single_picture(pack, samples, batch_size, steps):
    plan = plan_epoch(replace(pack, samples=pack.samples[:samples]), batch_size, 0, balanced=False)
    assert plan.steps == steps
    sizes = [len(batch) for batch in torch.arange(plan.samples).tensor_split(plan.steps)]
    assert sum(sizes) == samples
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1


def test_balanced_every_class_is_drawn_as_often_as_the_largest_and_no_sample_more_than_once_more_than_its_like(uneven):
    plan = plan_epoch(uneven, 30, 0, balanced=True)
    assert (plan.samples, plan.steps) == (120, 4)
    draws = epoch_order(uneven, plan, seed=0, epoch=0)
    labels = uneven.samples[draws % 60, 1]
    assert torch.bincount(labels, minlength=4).tolist() == [40, 40, 0, 40]
    times = torch.bincount(draws % 60)
    assert times[:40].tolist() == [1] * 40
    assert set(times[40:53].tolist()) == {3, 4}
    assert set(times[53:].tolist()) == {5, 6}
    # A sample that comes again is another draw, and so is altered in another way.
    assert len(set(draws.tolist())) == 120
    assert not torch.equal(draws, epoch_order(uneven, plan, seed=0, epoch=1))


def test_labelled_pictures_take_their_share_of_each_batch_and_all_come_equally_often(pack, uneven):
    plan = plan_epoch(pack, 40, 0.25, balanced=False)
    assert (plan.labelled, plan.steps) == (10, 14)
    seen = []
    for step in range(12):
        draws = with_labelled(torch.arange(30), uneven, plan.labelled, seed=0, step=step)
        assert draws[:30].tolist() == list(range(30))
        assert (draws[30:] < 0).all()
        seen += ((-1 - draws[30:]) % 60).tolist()
    assert np.bincount(seen).tolist() == [2] * 60
    assert seen[:60] != seen[60:]


def test_a_batch_with_labelled_pictures_holds_both_in_the_order_of_the_draws(train_task, packs, pack, uneven):
    task = parse_task({**train_task, 'augment': {**AUGMENT, 'flip': False, 'crop': 'none'}})
    draws = torch.tensor([5, -1 - 47, 399, -1 - 0])
    images, targets = draw_batch(draws, pack, task, labelled=uneven)
    assert torch.equal(images, torch.stack([pack.images[5], uneven.images[47], pack.images[399], uneven.images[0]]))
    assert targets.argmax(1).tolist() == [pack.samples[5, 1], 1, pack.samples[399, 1], 0]


@pytest.mark.parametrize('mix', ['none', 'mixup', 'cutmix'])
@pytest.mark.parametrize('parts', [2, 3])
def test_the_parts_of_a_batch_are_those_of_the_whole(train_task, pack, mix, parts):
    task = parse_task({**train_task, 'augment': {**AUGMENT, 'policy': 'trivial', 'cutout': 0.3, 'mix': mix}})
    draws = epoch_order(pack, plan_epoch(pack, 40, 0, balanced=False), 0, 3)[:41]
    whole = draw_batch(draws, pack, task, epoch=3)
    edges = [41 * part // parts for part in range(parts + 1)]
    pieces = [draw_batch(draws, pack, task, epoch=3, part=slice(*edge)) for edge in pairwise(edges)]
    assert torch.equal(torch.cat([images for images, _ in pieces]), whole[0])
    assert torch.equal(torch.cat([targets for _, targets in pieces]), whole[1])
    assert whole[1].sum(1).allclose(torch.ones(41))


@pytest.mark.parametrize('mix', ['none', 'cutmix'])
def test_batches_that_are_prepared_together_are_those_prepared_one_by_one(train_task, packs, pack, uneven, mix):
    task = parse_task({**train_task, 'augment': {**AUGMENT, 'policy': 'trivial', 'cutout': 0.3, 'mix': mix}})
    source = Source(pack, uneven, task, lambda size: slice(0, size // 2), BLACK)
    plan = plan_epoch(pack, 40, 0.25, balanced=False)
    one_by_one, together = (list(batches(source, plan, at_once, epoch=2, first=3)) for at_once in (1, 4))
    assert len(one_by_one) == len(together) == plan.steps - 3
    for one, other in zip(one_by_one, together, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
        assert one[2] == other[2]


def test_mixed_pictures_bring_both_labels_in_their_shares(train_task, tmp_path):
    images = np.stack([np.full((32, 32, 3), 0, np.uint8), np.full((32, 32, 3), 200, np.uint8)])
    pack = open_pack(write_pack(tmp_path / 'two', images, [(0, 0), (1, 1)]), 32, CLASSES, CPU)
    draws = torch.arange(64)
    for mix in ('mixup', 'cutmix'):
        task = parse_task(
            {**train_task, 'label_smoothing': 0, 'augment': {**AUGMENT, 'flip': False, 'crop': 'none', 'mix': mix}}
        )
        pictures, targets = draw_batch(draws, pack, task)
        assert torch.allclose(pictures.float().mean((1, 2, 3)) / 200, targets[:, 1], atol=0.003)
        assert targets[:, 1].std() > 0.2


def test_soft_targets_are_the_teachers_answers_and_spread_or_drop_the_rest():
    best, log_prob = torch.tensor([[2, 0]]), torch.tensor([[0.6, 0.2]]).log()
    spread = soft_targets(best, log_prob, 4, temperature=1, rest='spread')
    assert torch.allclose(spread, torch.tensor([[0.2, 0.1, 0.6, 0.1]]))
    drop = soft_targets(best, log_prob, 4, temperature=1, rest='drop')
    assert torch.allclose(drop, torch.tensor([[0.25, 0, 0.75, 0]]))
    # Squares: 0.36, 0.04, 0.01, 0.01.
    sharp = soft_targets(best, log_prob, 4, temperature=0.5, rest='spread')
    assert torch.allclose(sharp, torch.tensor([[0.04, 0.01, 0.36, 0.01]]) / 0.42)
    even = soft_targets(best, log_prob, 4, temperature=1e6, rest='spread')
    assert torch.allclose(even, torch.full((1, 4), 0.25), atol=1e-4)


def test_soft_targets_hold_at_any_temperature():
    best, log_prob = torch.tensor([[2, 0]]), torch.tensor([[-5.0, -5.1]])
    for rest in ('spread', 'drop'):
        targets = soft_targets(best, log_prob, 4, temperature=0.01, rest=rest)
        assert targets.isfinite().all()
        assert targets.argmax() == (1 if rest == 'spread' else 2)


def test_soft_targets_are_those_of_the_packs_answers(train_task, tmp_path):
    images, _ = draw(3, 32, seed=1)
    answers = (np.array([[1, 0], [3, 2], [0, 1]]), np.log([[0.9, 0.1], [0.5, 0.5], [0.8, 0.1]]))
    pack = open_pack(
        write_pack(tmp_path / 'answered', images, [(2, 0), (0, 1), (1, 3)], answers=answers), 32, CLASSES, CPU
    )
    plain = Augment(**{**AUGMENT, 'crop': 'none', 'flip': False})
    task = replace(parse_task({**train_task, 'targets': 'soft', 'label_smoothing': 0.1}), augment=plain)
    _, targets = draw_batch(torch.tensor([1, 0, 2]), pack, task)
    # Smoothing is for those that are certain.
    assert torch.allclose(targets, torch.tensor([[0.1, 0.9, 0, 0], [0.8, 0.1, 0.05, 0.05], [0, 0, 0.5, 0.5]]))
    _, targets = draw_batch(torch.tensor([0]), pack, replace(task, targets='hard'))
    assert torch.allclose(targets, torch.tensor([[0.925, 0.025, 0.025, 0.025]]))
