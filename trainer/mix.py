"""Blends each picture of a batch with the one before it, and their targets with them: mixup and CutMix."""

import torch
from torch import Tensor


def mix(kind: str, images: Tensor, targets: Tensor, share: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """
    `images` uint8 [n + 1, size, size, 3] and `targets` float32 [n + 1, classes] become n of each: the k-th of the
    result is made of the k-th and the one after it, which keeps `share` float32 [n] of itself.

    `mixup` (Zhang et al., arXiv 1710.09412) blends all pixels. `cutmix` (Yun et al., arXiv 1905.04899) pastes a
    rectangle of the other picture around `centre` float32 [n, 2] in 0..1 (down, right); `share` is then what the
    rectangle, cut at the border, really left.
    """
    other, own = images[:-1], images[1:]
    if kind == 'mixup':
        weight = share.view(-1, 1, 1, 1)
        mixed = (own * weight + other * (1 - weight)).round_().to(torch.uint8)
    else:
        size = images.shape[1]
        half = (1 - share).sqrt().unsqueeze(1) / 2
        edges = (torch.stack((centre - half, centre + half), 2).clamp(0, 1) * size).round().long()
        line = torch.arange(size, device=images.device)
        down, right = ((line >= edges[:, axis, 0:1]) & (line < edges[:, axis, 1:2]) for axis in (0, 1))
        pasted = (down.unsqueeze(2) & right.unsqueeze(1)).unsqueeze(3)
        mixed = torch.where(pasted, other, own)
        share = 1 - pasted.float().mean((1, 2, 3))
    weight = share.unsqueeze(1)
    return mixed, targets[1:] * weight + targets[:-1] * (1 - weight)
