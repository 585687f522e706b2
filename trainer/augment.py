"""Random changes of a whole batch in a few tensor operations on its device, decided by (seed, epoch, draw) alone."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .data import seed_of
from .policies import CHANGES, RAND, WIDE, change
from .tasks import Augment

# RandAugment's N: changes a picture, one after the other (arXiv 1909.13719, section 3.1).
RAND_CHANGES = 2


def augment(images: Tensor, draws: Tensor, size: int, settings: Augment, seed: int, epoch: int, fill: Tensor) -> Tensor:
    """
    uint8 [batch, packed size, packed size, 3] to uint8 [batch, size, size, 3]: crop and flip, then the policy's
    changes, then a blanked square of the colour `fill` (uint8 [3]). `draws` int64 [batch] on the CPU name the pictures
    (see batches.py): one is altered in the same way whatever batch it is in, so interruptions change nothing.
    """
    # Made on the CPU: which picture gets which change can then be told without waiting for a GPU.
    random = uniform(draws, 11, seed, epoch)
    images = cropped(images, size, settings, random[:, :5])
    if settings.policy == 'trivial':
        # A strength of 31 steps, as published.
        images = change(images, _choice(random[:, 5]), (random[:, 6] * 31).floor() / 30 * _sign(random[:, 7]), WIDE)
    elif settings.policy == 'rand':
        for turn in range(RAND_CHANGES):
            strength = torch.full((len(draws),), settings.strength / 30) * _sign(random[:, 7 + turn])
            images = change(images, _choice(random[:, 5 + turn]), strength, RAND)
    if settings.cutout > 0:
        images = blanked(
            images, round(settings.cutout * size), random[:, 9:11].to(images.device, non_blocking=True), fill
        )
    return images


def cropped(images: Tensor, size: int, settings: Augment, random: Tensor) -> Tensor:
    """Crop and flip by `random` float32 [batch, 5] in 0..1."""
    if settings.crop == 'none' and not settings.flip:
        return centre(images, size)
    random = random.to(images.device, non_blocking=True)
    flip = random[:, 0:1] < 0.5 if settings.flip else torch.zeros_like(random[:, 0:1], dtype=torch.bool)
    if settings.crop == 'resized':
        return resized_crop(images, size, settings.min_area, flip, random[:, 1:5])
    margin = images.shape[1] - size
    if settings.crop == 'shift':
        # All offsets from `pad` pixels outside the picture on one side to `pad` outside on the other are equally
        # likely.
        offsets = (random[:, 1:3] * (margin + 2 * settings.pad + 1)).long() - settings.pad
    else:
        offsets = torch.full_like(random[:, 1:3], margin // 2, dtype=torch.int64)
    return shifted_crop(images, size, flip, offsets)


def blanked(images: Tensor, side: int, random: Tensor, fill: Tensor) -> Tensor:
    """
    Cutout (DeVries and Taylor, arXiv 1708.04552): a square of `side` pixels, its centre anywhere in the picture by
    `random` float32 [batch, 2] in 0..1, takes the colour `fill` (uint8 [3]); part of it may lie outside.
    """
    size = images.shape[1]
    line = torch.arange(size, device=images.device)
    first = (random * size).long() - side // 2
    down, right = (((line >= first[:, axis, None]) & (line < first[:, axis, None] + side)).byte() for axis in (0, 1))
    # Products and sums on rows of bytes, not torch.where on pixels of three: a CPU is several times as fast at that.
    inside = down.unsqueeze(2) * right.repeat_interleave(3, 1).unsqueeze(1)
    return (images.flatten(2) * (1 - inside) + fill.repeat(size) * inside).view_as(images)


def _choice(random: Tensor) -> Tensor:
    return (random * len(CHANGES)).long()


def _sign(random: Tensor) -> Tensor:
    return torch.where(random < 0.5, -1.0, 1.0)


def centre(images: Tensor, size: int) -> Tensor:
    """The centre [batch, size, size, 3] of uint8 pictures."""
    offset = (images.shape[1] - size) // 2
    return images[:, offset : offset + size, offset : offset + size]


def shifted_crop(images: Tensor, size: int, flip: Tensor, offsets: Tensor) -> Tensor:
    """
    Cuts [batch, size, size, 3] out at `offsets` int64 [batch, 2] (down, right), reflected where it leaves the picture,
    and mirrors where `flip` bool [batch, 1]: one gather of whole pixels.
    """
    batch, side = images.shape[:2]
    # 32 bits reach for 2 ** 31 pixels, and are written and read in half the time.
    offsets = offsets.int()
    line = torch.arange(size, dtype=torch.int32, device=images.device)
    y = _reflected(offsets[:, 0:1] + line, side)
    x = _reflected(offsets[:, 1:2] + torch.where(flip, size - 1 - line, line), side)
    picture = torch.arange(batch, dtype=torch.int32, device=images.device).view(-1, 1)
    pixels = ((picture * side + y) * side).unsqueeze(2) + x.unsqueeze(1)
    return images.reshape(-1, 3).index_select(0, pixels.view(-1)).view(batch, size, size, 3)


def resized_crop(images: Tensor, size: int, min_area: float, flip: Tensor, random: Tensor) -> Tensor:
    """
    Scales a random part of each picture, of `min_area` to all of its area and of 3:4 to 4:3 in shape, to [batch, size,
    size, 3] (RandomResizedCrop of Szegedy et al., arXiv 1409.4842), bilinear. `random` float [batch, 4] in 0..1. Packs
    hold pictures only a little larger than `size`, so nothing has to be smoothed before it shrinks.
    """
    area = min_area + (1 - min_area) * random[:, 0]
    shape = (4 / 3) ** (2 * random[:, 1] - 1)
    width, height = (area * shape).sqrt().clamp(max=1), (area / shape).sqrt().clamp(max=1)
    # In the coordinates of grid_sample a picture reaches from -1 to 1.
    right, down = (1 - width) * (2 * random[:, 2] - 1), (1 - height) * (2 * random[:, 3] - 1)
    line = (torch.arange(size, device=images.device) * 2 + 1) / size - 1
    x = right.unsqueeze(1) + width.unsqueeze(1) * torch.where(flip, -line, line)
    y = down.unsqueeze(1) + height.unsqueeze(1) * line
    grid = torch.stack(torch.broadcast_tensors(x.unsqueeze(1), y.unsqueeze(2)), dim=3)
    pixels = F.grid_sample(
        images.permute(0, 3, 1, 2).float(), grid, mode='bilinear', padding_mode='border', align_corners=False
    )
    return pixels.round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def uniform(draws: Tensor, numbers: int, seed: int, epoch: int) -> Tensor:
    """
    Random numbers in [0, 1), float32 [batch, numbers], each a hash of (seed, epoch, draw, number) and so independent of
    everything else. The hash is a 32-bit integer mixer applied three times; products stay within 64 bits, and only
    their low half is kept.
    """
    key = seed_of('augment', seed, epoch)
    number = torch.arange(numbers, device=draws.device) * 0x9E3779B9
    mixed = _mixed(_mixed(draws.unsqueeze(1) ^ (key & 0xFFFFFFFF)) ^ draws.unsqueeze(1) >> 32)
    mixed = _mixed(mixed + number ^ (key >> 32))
    return (mixed >> 8).float() / (1 << 24)


def _mixed(bits: Tensor) -> Tensor:
    # Chris Wellons' lowbias32 (nullprogram.com/blog/2018/07/31, public domain).
    bits = bits & 0xFFFFFFFF
    bits = (bits ^ bits >> 16) * 0x7FEB352D & 0xFFFFFFFF
    bits = (bits ^ bits >> 15) * 0x846CA68B & 0xFFFFFFFF
    return bits ^ bits >> 16


def _reflected(index: Tensor, side: int) -> Tensor:
    # -1 is 1, and `side` is side - 2: the outermost pixel itself is not repeated.
    return side - 1 - (side - 1 - index.abs()).abs()
