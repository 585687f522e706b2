"""Draws the pictures of bench:train, and writes them as files for the usual loop and as packs for pupil."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bench.case import Case

# Enough that pictures come from main memory and not from a cache of the processor.
SMALL_PICTURES, LARGE_PICTURES = 5_000, 300


def write_pictures(case: Case) -> None:
    """
    Writes `files/`, of the kind and size that the data sets of these sizes have (PNG of 32x32 with 2 KB; JPEG of
    500x375 with 100 KB), and `SIZE.u8`, the same pictures decoded and brought to the sizes of packs.
    """
    folder = Path(case.pictures)
    (folder / 'files').mkdir(parents=True)
    random = np.random.default_rng(0)
    small = case.size <= 64
    for number in range(SMALL_PICTURES if small else LARGE_PICTURES):
        picture = drawn(random, (case.size, case.size) if small else (500, 375))
        picture.save(folder / 'files' / f'{number:05}.{"png" if small else "jpg"}', quality=90)
        for size in {case.size, case.resize}:
            with (folder / f'{size}.u8').open('ab') as packed:
                packed.write(np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)).tobytes())


def drawn(random: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Noise on all scales, weaker the finer it is, which compresses about as photographs do."""
    pixels = np.full((size[1], size[0], 3), 128, np.float32)
    for level in range(1, 9):
        cells = min(2**level, *size)
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        pixels += (np.asarray(noise.resize(size, Image.Resampling.BICUBIC), np.float32) - 128) * 1.2 / level
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_pack(case: Case, name: str, size: int, samples: int) -> Path:
    """
    A pack of so many samples of the pictures, each as often as it takes: an epoch can be as long as that of a large
    set.
    """
    pictures, pack = Path(case.pictures), Path(case.pictures) / name
    pack.mkdir(exist_ok=True)
    count = (pictures / f'{size}.u8').stat().st_size // (size**2 * 3)
    (pack / 'images.u8').unlink(missing_ok=True)
    (pack / 'images.u8').hardlink_to(pictures / f'{size}.u8')
    _describe(pack, count, samples, size, case.architecture['classes'])
    return pack


def write_arrays(pack: Path, pixels: np.ndarray, classes: Sequence[str]) -> None:
    """A pack of pictures uint8 [pictures, size, size, 3], labelled in turn."""
    pack.mkdir()
    pixels.tofile(pack / 'images.u8')
    _describe(pack, len(pixels), len(pixels), pixels.shape[1], classes)


def _describe(pack: Path, images: int, samples: int, size: int, classes: Sequence[str]) -> None:
    numbers = np.arange(samples)
    np.stack((numbers % images, numbers % len(classes)), 1).astype('<i4').tofile(pack / 'samples.i32')
    about = {'version': 2, 'images': images, 'samples': samples, 'kept': 0, 'size': size, 'classes': list(classes)}
    (pack / 'pack.json').write_text(json.dumps(about))
