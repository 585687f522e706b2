"""Crops and flips, compared with numpy, and their independence of batches."""

import numpy as np
import pytest
import torch
from conftest import AUGMENT

from trainer.augment import augment, resized_crop, shifted_crop, uniform
from trainer.tasks import Augment

BLACK = torch.zeros(3, dtype=torch.uint8)


def settings_of(**keys) -> Augment:
    return Augment(**{**AUGMENT, **keys})


pictures = torch.randint(0, 256, (12, 20, 20, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('policy', ['none', 'trivial', 'rand'])
@pytest.mark.parametrize('crop', ['none', 'shift', 'resized'])
def test_a_sample_is_altered_in_the_same_way_whatever_batch_it_is_in(crop, policy):
    settings = settings_of(flip=True, crop=crop, pad=3, min_area=0.3, policy=policy, cutout=0.5)
    samples = torch.arange(100, 112)
    whole = augment(pictures, samples, 16, settings, seed=1, epoch=2, fill=BLACK)
    order = torch.tensor([7, 0, 11, 3])
    assert whole.shape == (12, 16, 16, 3)
    assert torch.equal(
        augment(pictures[order], samples[order], 16, settings, seed=1, epoch=2, fill=BLACK), whole[order]
    )


@pytest.mark.parametrize('crop', ['shift', 'resized'])
def test_another_epoch_or_seed_alters_it_in_another_way(crop):
    settings = settings_of(flip=True, crop=crop, pad=3, min_area=0.3)
    versions = [
        augment(pictures, torch.arange(12), 16, settings, seed, epoch, BLACK)
        for seed, epoch in [(0, 0), (0, 1), (1, 0)]
    ]
    assert not torch.equal(versions[0], versions[1])
    assert not torch.equal(versions[0], versions[2])


def test_a_shifted_crop_is_a_crop_of_the_reflected_picture():
    random = np.random.default_rng(0)
    offsets = random.integers(-3, 8, (12, 2))
    flip = random.random(12) < 0.5
    cropped = shifted_crop(pictures, 16, torch.tensor(flip).view(-1, 1), torch.tensor(offsets))
    for picture, (down, right), mirrored, found in zip(pictures.numpy(), offsets, flip, cropped.numpy(), strict=True):
        padded = np.pad(picture, ((3, 3), (3, 3), (0, 0)), mode='reflect')
        expected = padded[down + 3 : down + 19, right + 3 : right + 19]
        assert np.array_equal(found, expected[:, ::-1] if mirrored else expected)


def test_shifts_reach_every_offset():
    # Each pixel's value is its own place, so that the corner tells the offset.
    place = torch.arange(10, dtype=torch.uint8)
    picture = torch.stack(
        torch.broadcast_tensors(place.view(-1, 1), place.view(1, -1), torch.tensor(0, dtype=torch.uint8)), dim=2
    )
    settings = settings_of(flip=False, crop='shift', pad=1, min_area=1)
    centres = augment(picture.expand(2000, 10, 10, 3), torch.arange(2000), 8, settings, seed=0, epoch=0, fill=BLACK)[
        :, 4, 4, :2
    ]
    found, counts = torch.unique(centres, dim=0, return_counts=True)
    assert found.tolist() == [[y, x] for y in range(3, 8) for x in range(3, 8)]
    assert counts.min() > 40


def test_without_a_crop_the_centre_is_taken_and_about_half_are_mirrored():
    batch = pictures[:1].expand(400, 20, 20, 3)
    centre = pictures[0, 2:18, 2:18]
    kept = augment(
        batch,
        torch.arange(400),
        16,
        settings_of(flip=False, crop='none', pad=0, min_area=1),
        seed=0,
        epoch=0,
        fill=BLACK,
    )
    assert torch.equal(kept[0], centre)
    mirrored = augment(
        batch,
        torch.arange(400),
        16,
        settings_of(flip=True, crop='none', pad=0, min_area=1),
        seed=0,
        epoch=0,
        fill=BLACK,
    )
    is_same = (mirrored == centre).flatten(1).all(1)
    is_mirrored = (mirrored == centre.flip(1)).flatten(1).all(1)
    assert (is_same | is_mirrored).all()
    assert 150 < is_mirrored.sum() < 250


def test_a_resized_crop_of_everything_is_the_picture_itself():
    whole = torch.tensor([[1.0, 0.5, 0.5, 0.5]]).expand(12, 4)
    flip = torch.arange(12).view(-1, 1) % 2 == 1
    found = resized_crop(pictures, 20, 0.3, flip, whole)
    assert torch.equal(found, torch.where(flip.view(-1, 1, 1, 1), pictures.flip(2), pictures))


def test_a_resized_crop_keeps_the_asked_for_share_of_the_area_inside_the_picture():
    # Brightness grows from left to right, so that a crop's first and last column tell where it lies.
    ramp = torch.arange(0, 256, 4, dtype=torch.uint8).view(1, 1, 64, 1).expand(500, 64, 64, 3)
    settings = settings_of(flip=False, crop='resized', pad=0, min_area=0.5)
    found = augment(ramp, torch.arange(500), 64, settings, seed=0, epoch=0, fill=BLACK).float()
    width = (found[:, 0, -1, 0] - found[:, 0, 0, 0]) / 252
    assert width.max() <= 1
    # The narrowest: half the area, in the shape 3:4.
    assert 0.58 < width.min() < 0.7


def test_cutout_blanks_a_square_that_may_reach_over_the_border():
    white = torch.full((400, 16, 16, 3), 255, dtype=torch.uint8)
    settings = settings_of(flip=False, crop='none', cutout=0.5)
    found = augment(
        white, torch.arange(400), 16, settings, seed=0, epoch=0, fill=torch.tensor([1, 2, 3], dtype=torch.uint8)
    )
    blank = (found != 255).all(3)
    assert torch.equal(found[blank].unique(dim=0), torch.tensor([[1, 2, 3]], dtype=torch.uint8))
    height, width = blank.any(2).sum(1), blank.any(1).sum(1)
    assert torch.equal(height * width, blank.sum((1, 2)))
    assert (height.min(), height.max(), width.min(), width.max()) == (4, 8, 4, 8)


def test_random_numbers_are_uniform_and_independent():
    numbers = uniform(torch.arange(20_000), 4, seed=3, epoch=5)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert torch.allclose(numbers.mean(0), torch.tensor(0.5), atol=0.01)
    correlation = torch.corrcoef(torch.cat((numbers.T, numbers[:, :1].T.roll(1, 1))))
    assert (correlation - torch.eye(5)).abs().max() < 0.03
    counts = torch.histc(numbers, 64)
    assert (counts - counts.mean()).abs().max() < 6 * counts.mean().sqrt()
