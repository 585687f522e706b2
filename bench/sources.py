"""
Finds the pictures that bench:score scores, as the image worker takes them: the files of a folder, or the records of
CIFAR.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from bench.pool import PIXEL_BYTES

ENDINGS = ('.jpg', '.jpeg', '.png', '.webp')
# The first record file of each version, the label bytes of a record in it, and its classes.
CIFAR = {'cifar10': ('data_batch_1.bin', 1, 10), 'cifar100': ('train.bin', 2, 100)}
IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Source:
    files: list[Path]
    """One file of records, or all pictures of a folder in an order drawn at random."""
    label_bytes: int | None
    """Of a record; None where each file is a picture."""
    classes: int
    """Of the networks that belong to such pictures."""

    @property
    def record_bytes(self) -> int | None:
        return None if self.label_bytes is None else self.label_bytes + PIXEL_BYTES

    @property
    def count(self) -> int:
        return len(self.files) if self.record_bytes is None else self.files[0].stat().st_size // self.record_bytes

    def images(self) -> Iterator[dict[str, Any]]:
        """Those that Pillow can open, as src/children/protocol.ts describes them."""
        for file in self.files:
            if self.record_bytes is not None:
                yield from records(file, self.record_bytes)
            elif is_picture(file):
                yield image(str(file), file.read_bytes(), None)


def find_pictures(name: str) -> Source:
    """
    `name` is a folder, or `cifar10:FOLDER` or `cifar100:FOLDER`. Raises ValueError where there is nothing to score.
    """
    kind, _, folder = name.partition(':')
    if kind in CIFAR:
        file, label_bytes, classes = CIFAR[kind]
        source = Source([Path(folder).absolute() / file], label_bytes, classes)
        if not source.files[0].is_file():
            raise ValueError(f'expected the unpacked binary version of {kind}, found no {source.files[0]}')
        return source
    files = sorted(file for file in Path(name).absolute().rglob('*') if file.suffix.lower() in ENDINGS)
    random.Random(0).shuffle(files)
    source = Source(files, None, IMAGENET_CLASSES)
    if next(source.images(), None) is None:
        raise ValueError(
            'expected a folder of JPEG, PNG or WebP pictures, or cifar10:FOLDER or cifar100:FOLDER, found none in '
            f'{name}'
        )
    return source


def odd_files(folder: Path) -> Iterator[dict[str, Any]]:
    """Descriptors of all files of a folder, whatever they are."""
    for file in sorted(folder.absolute().rglob('*')):
        if file.is_file():
            yield image(str(file), file.read_bytes(), None)


def records(file: Path, record_bytes: int) -> Iterator[dict[str, Any]]:
    with file.open('rb') as opened:
        while len(record := opened.read(record_bytes)) == record_bytes:
            yield image(str(file), record[-PIXEL_BYTES:], opened.tell() - PIXEL_BYTES)


def image(file: str, pixels: bytes, offset: int | None) -> dict[str, Any]:
    """A descriptor; `offset` is that of a record's pixels."""
    return {
        'id': hashlib.sha256(pixels).hexdigest()[:24],
        'place': file if offset is None else f'{file}#{offset}',
        'file': file,
        'offset': offset,
        'length': None if offset is None else PIXEL_BYTES,
        'encoding': 'encoded' if offset is None else 'cifar',
    }


def is_picture(file: Path) -> bool:
    """Peers end at what Pillow cannot open, so it is left out."""
    try:
        with Image.open(file) as opened:
            opened.load()
        return True
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return False
