"""
The changes of TrivialAugment and RandAugment: each does what its name says, to the pictures it was chosen for and to no
others.
"""

import numpy as np
import pytest
import torch

from trainer.policies import CHANGES, RAND, WIDE, change

random = np.random.default_rng(0)
pictures = torch.from_numpy(random.integers(20, 220, (6, 24, 24, 3), dtype=np.uint8))


def changed(name: str, strength: float, limits=RAND, images: torch.Tensor = pictures) -> torch.Tensor:
    count = len(images)
    return change(images, torch.full((count,), CHANGES.index(name)), torch.full((count,), strength), limits)


@pytest.mark.parametrize('limits', [RAND, WIDE])
@pytest.mark.parametrize('name', CHANGES)
def test_a_change_reaches_the_chosen_pictures_alone_and_not_the_original(name, limits):
    before = pictures.clone()
    chosen = torch.tensor([0, CHANGES.index(name), 0, CHANGES.index(name), 0, 0])
    found = change(pictures, chosen, torch.full((6,), 0.8), limits)
    assert torch.equal(pictures, before)
    assert torch.equal(found[[0, 2, 4, 5]], pictures[[0, 2, 4, 5]])
    assert torch.equal(found[[1, 3]], changed(name, 0.8, limits)[[1, 3]])
    assert (name == 'identity') == torch.equal(found, pictures)


@pytest.mark.parametrize(
    'name', ['shear_x', 'shear_y', 'shift_x', 'shift_y', 'rotate', 'brightness', 'saturation', 'contrast', 'sharpness']
)
def test_without_strength_nothing_happens(name):
    assert (changed(name, 0.0).int() - pictures.int()).abs().max() <= 1


def test_a_shift_moves_the_picture_and_leaves_grey_behind():
    # 12 of 24 pixels.
    strength = 0.5 / RAND.shift
    found = changed('shift_x', strength)
    assert (found[:, :, :12].int() - pictures[:, :, 12:].int()).abs().max() <= 1
    assert (found[:, :, 12:] == 128).all()
    assert (changed('shift_y', -strength)[:, 12:].int() - pictures[:, :12].int()).abs().max() <= 1


def test_a_turn_by_90_degrees_is_a_turn():
    found = changed('rotate', 90 / WIDE.degrees, WIDE)
    turned = [(found.int() - pictures.rot90(quarter, (1, 2)).int()).abs().max() for quarter in (1, -1)]
    assert min(turned) <= 1


def test_enhancements_move_away_from_what_lacks_them():
    assert torch.equal(changed('brightness', -0.5), (pictures.float() * (1 - 0.45)).round().to(torch.uint8))
    grey = changed('saturation', -1 / 0.99, WIDE).float()
    assert (grey.amax(3) - grey.amin(3)).max() <= 5
    assert changed('contrast', 1.0).float().std() > pictures.float().std() > changed('contrast', -1.0).float().std()

    def roughness(images: torch.Tensor) -> torch.Tensor:
        return images.float().diff(dim=2).abs().mean()

    assert roughness(changed('sharpness', 1.0)) > roughness(pictures) > roughness(changed('sharpness', -1.0))


def test_posterize_keeps_the_high_bits_and_solarize_turns_the_bright():
    assert torch.equal(changed('posterize', 1.0), pictures & 0xF0)
    assert torch.equal(changed('posterize', -0.5), pictures & 0xFC)
    assert torch.equal(changed('solarize', 0.5), torch.where(pictures >= 128, 255 - pictures, pictures))
    assert torch.equal(changed('solarize', 0.0), pictures)


def test_autocontrast_reaches_from_black_to_white_in_each_channel_and_leaves_flat_ones():
    found = changed('autocontrast', 0.3)
    assert (found.amin((1, 2)) == 0).all()
    assert (found.amax((1, 2)) == 255).all()
    flat = torch.full((2, 8, 8, 3), 77, dtype=torch.uint8)
    assert torch.equal(changed('autocontrast', 0.3, images=flat), flat)
    assert torch.equal(changed('equalize', 0.3, images=flat), flat)


def test_equalize_makes_histograms_even_by_the_published_rule():
    # Skewed: most pixels are dark.
    skewed = (torch.from_numpy(random.random((3, 32, 32, 3))) ** 3 * 255).to(torch.uint8)
    found = changed('equalize', 0.3, images=skewed)
    for picture, result in zip(skewed.numpy(), found.numpy(), strict=True):
        for channel in range(3):
            histogram = np.bincount(picture[..., channel].ravel(), minlength=256)
            step = (histogram.sum() - histogram[histogram.nonzero()[0][-1]]) // 255
            table = np.minimum((np.cumsum(histogram) - histogram + step // 2) // step, 255)
            assert np.array_equal(result[..., channel], table[picture[..., channel]])
