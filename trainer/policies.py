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
# Of red, green and blue, as in Pillow.
LUMINANCE = torch.tensor([[0.299], [0.587], [0.114]])

CHANGES = ('identity', *GEOMETRY, *COLOURS)


def change(images: Tensor, chosen: Tensor, strength: Tensor, limits: Limits) -> Tensor:
    """
    Applies to each picture of uint8 [n, size, size, 3] the change at `chosen` (int64 [n], an index into CHANGES) with
    `strength` (float32 [n], -1 to 1; changes without a direction go by its size). Both lie on the CPU, so that a GPU
    need not be waited for.
    """
    # In the order of their changes, so that those of one change lie together.
    order = chosen.argsort(stable=True)
    chosen, strength = chosen[order], strength[order]
    identity, *numbers = torch.bincount(chosen, minlength=len(CHANGES)).tolist()
    bends = sum(numbers[: len(GEOMETRY)])
    arranged = images.index_select(0, order.to(images.device, non_blocking=True))
    unchanged, bending, *recoloured = arranged.split([identity, bends, *numbers[len(GEOMETRY) :]])
    parts = [unchanged]
    if bends > 0:
        matrix = affine(chosen[identity : identity + bends], strength[identity : identity + bends], limits)
        parts.append(bent(bending, matrix.to(images.device, non_blocking=True)))
    amounts = (
        strength.to(images.device, non_blocking=True)
        .view(-1, 1, 1, 1)[identity + bends :]
        .split(numbers[len(GEOMETRY) :])
    )
    parts += [
        _recolour(name, some, amount, limits)
        for name, some, amount in zip(COLOURS, recoloured, amounts, strict=True)
        if len(some) > 0
    ]
    return torch.cat(parts).index_select(0, order.argsort().to(images.device, non_blocking=True))


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
        grey = pixels @ LUMINANCE.to(pixels.device, non_blocking=True)
        without = grey if name == 'saturation' else grey.mean((1, 2), keepdim=True)
    return _pixels(torch.lerp(without, pixels, 1 + strength * limits.enhancement))


def _smoothed(pixels: Tensor) -> Tensor:
    # Pillow's SMOOTH filter, which leaves the border alone: the sum of 3x3 pixels, that in the middle five times.
    rows = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    smooth = pixels.clone()
    smooth[:, 1:-1, 1:-1] = (sums + 4 * pixels[:, 1:-1, 1:-1]) / 13
    return smooth


def _stretched(images: Tensor) -> Tensor:
    """Each channel scaled to reach from 0 to 255; one without contrast stays."""
    low, high = (images.amin((1, 2), keepdim=True).float(), images.amax((1, 2), keepdim=True).float())
    varies = high > low
    return _pixels((images - low * varies) * torch.where(varies, 255 / (high - low), 1.0))


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
