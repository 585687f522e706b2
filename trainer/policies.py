"""The random changes of TrivialAugment and RandAugment, a whole batch at a time on its device."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Limits:
    """How far each change goes at full strength."""

    shear: float
    """Tangent of the angle."""
    shift: float
    """Share of the side."""
    degrees: float
    enhancement: float
    bits: int
    """Taken away from each channel by posterize."""


# Cubuk et al., arXiv 1909.13719, and the "wide" ones of Müller and Hutter, arXiv 2103.10158.
RAND = Limits(shear=0.3, shift=150 / 331, degrees=30, enhancement=0.9, bits=4)
WIDE = Limits(shear=0.99, shift=150 / 331, degrees=135, enhancement=0.99, bits=6)

GEOMETRY = ('shear_x', 'shear_y', 'shift_x', 'shift_y', 'rotate')
COLOURS = ('brightness', 'saturation', 'contrast', 'sharpness', 'posterize', 'solarize', 'autocontrast', 'equalize')
CHANGES = ('identity', *GEOMETRY, *COLOURS)


def change(images: Tensor, chosen: Tensor, strength: Tensor, limits: Limits) -> Tensor:
    """
    Applies to each picture of uint8 [n, size, size, 3] the change at `chosen` (int64 [n], an index into CHANGES) with `strength` (float32
    [n], -1 to 1; changes without a direction go by its size). Both lie on the CPU, so that a GPU need not be waited for.
    """
    images = images.clone()
    bends = (chosen >= 1) & (chosen <= len(GEOMETRY))
    if bends.any():
        rows = bends.nonzero().squeeze(1)
        there = rows.to(images.device)
        images[there] = bent(images[there], affine(chosen[rows], strength[rows], limits).to(images.device))
    for number, name in enumerate(COLOURS, start=1 + len(GEOMETRY)):
        rows = (chosen == number).nonzero().squeeze(1)
        if len(rows) > 0:
            there = rows.to(images.device)
            images[there] = _recolour(name, images[there], strength[rows].to(images.device).view(-1, 1, 1, 1), limits)
    return images


def affine(chosen: Tensor, strength: Tensor, limits: Limits) -> Tensor:
    """The matrices float32 [n, 2, 3] of geometric changes, for coordinates in which a picture reaches from -1 to 1."""

    def amount(name: str, largest: float) -> Tensor:
        return torch.where(chosen == CHANGES.index(name), strength * largest, 0.0)

    angle = amount('rotate', math.radians(limits.degrees))
    matrix = torch.stack(
        (
            angle.cos(), amount('shear_x', limits.shear) - angle.sin(), amount('shift_x', 2 * limits.shift),
            amount('shear_y', limits.shear) + angle.sin(), angle.cos(), amount('shift_y', 2 * limits.shift),
        ),
        dim=1,
    )  # fmt: skip
    return matrix.view(-1, 2, 3)


def bent(images: Tensor, matrix: Tensor) -> Tensor:
    """Pictures seen through `matrix`, bilinear; what comes from outside is mid-grey."""
    pixels = images.permute(0, 3, 1, 2).float() - 128
    grid = F.affine_grid(matrix, list(pixels.shape), align_corners=False)
    seen = F.grid_sample(pixels, grid, mode='bilinear', padding_mode='zeros', align_corners=False)
    return _pixels(seen.permute(0, 2, 3, 1) + 128)


def _recolour(name: str, images: Tensor, strength: Tensor, limits: Limits) -> Tensor:
    if name == 'posterize':
        kept = 8 - (strength.abs() * limits.bits).round().to(torch.uint8)
        return images >> (8 - kept) << (8 - kept)
    if name == 'solarize':
        return torch.where(images >= 256 - strength.abs() * 256, 255 - images, images)
    if name == 'autocontrast':
        return _stretched(images)
    if name == 'equalize':
        return _equalized(images)
    # The others move pixels away from, or towards, a picture that lacks what they are named for.
    pixels = images.float()
    if name == 'brightness':
        without = torch.zeros_like(pixels)
    elif name == 'sharpness':
        without = _smoothed(pixels)
    else:
        grey = pixels @ pixels.new_tensor([0.299, 0.587, 0.114]).unsqueeze(1)
        without = grey if name == 'saturation' else grey.mean((1, 2), keepdim=True)
    return _pixels(without + (1 + strength * limits.enhancement) * (pixels - without))


def _smoothed(pixels: Tensor) -> Tensor:
    # Pillow's SMOOTH filter, which leaves the border alone.
    kernel = (torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]], device=pixels.device) / 13).expand(3, 1, 3, 3)
    smooth = pixels.clone()
    smooth[:, 1:-1, 1:-1] = F.conv2d(pixels.permute(0, 3, 1, 2), kernel, groups=3).permute(0, 2, 3, 1)
    return smooth


def _stretched(images: Tensor) -> Tensor:
    """Each channel scaled to reach from 0 to 255; one without contrast stays."""
    low, high = (images.amin((1, 2), keepdim=True).float(), images.amax((1, 2), keepdim=True).float())
    stretched = (images - low) * 255 / (high - low).clamp(min=1)
    return torch.where(high > low, _pixels(stretched), images)


def _equalized(images: Tensor) -> Tensor:
    """Each channel's histogram made even, by Pillow's rule."""
    values = images.permute(0, 3, 1, 2).flatten(2).long()
    counts = values.new_zeros(*values.shape[:2], 256).scatter_add_(2, values, torch.ones_like(values))
    last = counts.gather(2, values.amax(2, keepdim=True))
    width = (counts.sum(2, keepdim=True) - last) // 255
    table = ((counts.cumsum(2) - counts + width // 2) // width.clamp(min=1)).clamp(max=255)
    even = torch.where(width > 0, table.gather(2, values), values)
    return even.to(torch.uint8).view(images.shape[0], 3, *images.shape[1:3]).permute(0, 2, 3, 1)


def _pixels(values: Tensor) -> Tensor:
    return values.clamp(0, 255).round_().to(torch.uint8)
