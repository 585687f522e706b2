"""Reads packs: pictures decoded once by the image worker, gathered here batch by batch."""

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from .errors import Failure

VERSION = 2


@dataclass(frozen=True)
class Pack:
    """
    `images` uint8 [images, size, size, 3]; `samples` int32 [samples, 2], each the row of an image and its label: an
    image may stand under several labels. `answers` are the teacher's where the pack has them: its best classes, int32
    [images, kept], and their natural log-probabilities, float32 [images, kept]. `device` is where batches are wanted;
    the pack may be too large for it and stay on the disk, as `file`. All of it is mapped into memory then, but batches
    are read from the file: pages of a mapping count as this process's memory once they were touched, and a fault can
    bring in a megabyte for a picture of 3 kB.
    """

    images: Tensor
    file: BinaryIO | None
    samples: Tensor
    answers: tuple[Tensor, Tensor] | None
    classes: int
    size: int
    device: torch.device

    def __len__(self) -> int:
        return len(self.samples)


@dataclass
class Room:
    """Bytes that packs may take of a device's memory."""

    left: int

    def take(self, size: int) -> bool:
        fits = size < self.left
        self.left -= size if fits else 0
        return fits


def room_for_packs(device: torch.device) -> Room:
    """
    Half of what is free now; the other half is left to activations. Nothing on a CPU, which reads packs from the
    system's cache.
    """
    return Room(torch.cuda.mem_get_info(device)[0] // 2 if device.type == 'cuda' else 0)


def open_pack(folder: Path, size: int, classes: Sequence[str], device: torch.device, room: Room | None = None) -> Pack:
    """
    Maps a pack whose pictures must have `size` pixels and whose classes must be `classes`, in that order.
    Where `device` is a GPU with room for it, the pack is moved there. Raises Failure('data').
    """
    try:
        about = json.loads((folder / 'pack.json').read_bytes())
        version, images, samples, kept, found_size, found_classes = (
            about[key] for key in ('version', 'images', 'samples', 'kept', 'size', 'classes')
        )
        if not all(isinstance(name, str) for name in found_classes):
            raise TypeError('a class is no text')
        expected_bytes = {'images.u8': images * found_size * found_size * 3, 'samples.i32': samples * 8}
        if kept > 0:
            expected_bytes |= {'classes.i32': images * kept * 4, 'log_prob.f32': images * kept * 4}
        found_bytes = {name: (folder / name).stat().st_size for name in expected_bytes}
    except OSError as error:
        raise Failure(
            'data', f'The pack {folder} cannot be read: {error}. Run the stage that packs it again.'
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Failure(
            'data', f'{folder / "pack.json"} does not describe a pack: {error!r}. Run the stage that packs it again.'
        ) from error
    if version != VERSION:
        raise Failure('data', f'The pack {folder} has version {version}; this trainer reads version {VERSION}.')
    for name, expected in expected_bytes.items():
        if found_bytes[name] != expected:
            raise Failure(
                'data',
                f'{folder / name} has {found_bytes[name]} bytes instead of {expected}. Run the stage that packs it '
                'again.',
            )
    if found_size != size:
        raise Failure('data', f'The pictures in {folder} have {found_size} pixels a side where {size} were expected.')
    if list(found_classes) != list(classes):
        raise Failure(
            'data', f'The pack {folder} has other classes than the model: {_class_difference(found_classes, classes)}.'
        )
    if images == 0 or samples == 0:
        raise Failure('data', f'The pack {folder} holds no sample.')

    pixels = _mapped(folder / 'images.u8', 'u1').view(images, size, size, 3)
    pairs = _mapped(folder / 'samples.i32', '<i4').view(samples, 2)
    if pairs.min() < 0 or pairs[:, 0].max() >= images or pairs[:, 1].max() >= len(classes):
        raise Failure(
            'data',
            f'{folder / "samples.i32"} names an image or a label that is not there. Run the stage that packs it again.',
        )
    answers = None
    if kept > 0:
        best, log_prob = (
            _mapped(folder / name, kind).view(images, kept)
            for name, kind in (('classes.i32', '<i4'), ('log_prob.f32', '<f4'))
        )
        if best.min() < 0 or best.max() >= len(classes) or not log_prob.isfinite().all():
            raise Failure('data', f"{folder} holds teacher's answers that are none. Run the stage that packs it again.")
        answers = (best, log_prob)
    pack = Pack(pixels, (folder / 'images.u8').open('rb', buffering=0), pairs, answers, len(classes), size, device)
    if (room or room_for_packs(device)).take(sum(part.nbytes for part in (pixels, pairs, *(answers or ())))):
        pack = replace(pack, images=pixels.to(device), file=None, samples=pairs.to(device))
        if answers is not None:
            pack = replace(pack, answers=(answers[0].to(device), answers[1].to(device)))
    return pack


def gather(pack: Pack, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """
    The samples with these numbers (int64 [batch]): uint8 pictures [batch, size, size, 3] and int64 labels [batch] on
    the pack's device, and the pictures' rows in the pack, int64 [batch], where the pack lies.
    """
    rows, labels = pack.samples.index_select(0, samples.to(pack.samples.device, non_blocking=True)).long().unbind(1)
    if pack.file is None:
        return pack.images.index_select(0, rows), labels, rows
    images = read(pack, rows, pinned=pack.device.type == 'cuda')
    return images.to(pack.device, non_blocking=True), labels.to(pack.device, non_blocking=True), rows


def read(pack: Pack, rows: Tensor, pinned: bool = False) -> Tensor:
    """
    The pictures in these rows (int64 on the CPU) in main memory, uint8 [rows, size, size, 3]. Memory that is pinned
    lets the copy to a GPU overlap with its work on the batch before. Raises Failure('data') where the file ends too
    early.
    """
    if pack.file is None:
        return pack.images.index_select(0, rows.to(pack.images.device)).cpu()
    images = torch.empty((len(rows), *pack.images.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
    file, length = pack.file.fileno(), pack.images[0].nbytes
    # A microsecond of Python for each picture; what it calls is a copy out of the system's cache.
    places = zip(images.view(-1, length).numpy(), rows.tolist(), strict=True)
    found = sum(os.preadv(file, (place,), row * length) for place, row in places)
    if found != images.nbytes:
        raise Failure('data', f'{pack.file.name} became shorter while it was read. Run the stage that packs it again.')
    return images


def read_ahead(pack: Pack, samples: Tensor) -> None:
    """
    Has the system fetch the pictures of these samples, which are wanted next, all at once and while the device is at
    work.
    """
    if pack.file is None or not hasattr(os, 'posix_fadvise'):
        return
    file, length = pack.file.fileno(), pack.images[0].nbytes
    for row in pack.samples[samples, 0].tolist():
        os.posix_fadvise(file, row * length, length, os.POSIX_FADV_WILLNEED)


def channel_statistics(pack: Pack) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """
    Mean and deviation of the three channels, for pixels in 0..1. Counted in whole numbers, so the same on any machine.
    """
    counts = torch.zeros(3, 256, dtype=torch.int64)
    for rows in spread_rows(pack, pixels=1 << 25).split(256):
        for channel, values in enumerate(read(pack, rows).flatten(0, 2).unbind(1)):
            counts[channel] += torch.bincount(values.int(), minlength=256)
    levels = torch.arange(256, dtype=torch.float64) / 255
    share = counts.double() / counts.sum(1, keepdim=True)
    mean = share @ levels
    deviation = (share @ levels.square() - mean.square()).clamp(min=0).sqrt()
    # A channel that never varies (a set of black pictures) is left unscaled.
    return tuple(mean.tolist()), tuple(value if value > 1e-6 else 1.0 for value in deviation.tolist())


def spread(pack: Pack, pixels: int) -> Tensor:
    """
    Pictures evenly spread over the pack, up to so many pixels in all, in main memory: uint8 [pictures, size, size, 3].
    """
    return read(pack, spread_rows(pack, pixels))


def spread_rows(pack: Pack, pixels: int) -> Tensor:
    count = min(len(pack.images), max(1, pixels // pack.size**2))
    return torch.arange(count) * len(pack.images) // count


def seed_of(*parts: object) -> int:
    """63 well-mixed bits from what names a stream of random numbers."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), 'little') >> 1


def _mapped(file: Path, kind: str) -> Tensor:
    # Read-only: torch.from_file maps privately, which Linux refuses for files larger than the memory. PyTorch has no
    # tensors that cannot be written and warns of it; nothing here writes.
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='The given NumPy array is not writable')
        return torch.from_numpy(np.memmap(file, kind, mode='r'))


def _class_difference(found: Sequence[str], expected: Sequence[str]) -> str:
    missing = [name for name in expected if name not in set(found)]
    extra = [name for name in found if name not in set(expected)]
    if not missing and not extra:
        return 'the same names in another order'
    return '; '.join(
        f'{word} {", ".join(names[:10])}' for word, names in (('missing', missing), ('unexpected', extra)) if names
    )
