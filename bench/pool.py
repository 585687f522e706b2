"""What bench:score hands to each contender, and how the peers read its pictures and tell how far they are."""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# Of a CIFAR record; its label bytes come first.
PIXEL_BYTES = 3072


@dataclass(frozen=True)
class Job:
    """A pool to score over and over."""

    network: str
    images: list[dict[str, Any]]
    """As the image worker takes them; whole batches of all contenders."""
    record_bytes: int | None
    """Of a pool of CIFAR records, all in one file from its beginning on."""
    weights: str
    onnx: dict[str, str]
    """A file for each precision."""
    model: str
    """The one of them that pupil takes."""
    size: int
    resize: int
    classes: list[str]
    kept: int
    batch_size: int
    device: str
    threads: int
    python: str
    folder: str
    """For what they write."""
    layout: dict[str, int] = field(default_factory=dict)
    """How pupil shares the machine out."""
    odd: list[dict[str, Any]] = field(default_factory=list)
    """Files that are strewn among the images for pupil_odd."""
    warm_up_batches: int = 2
    """Until decoders are ahead and buffers have their size."""


def write_job(job: Job) -> str:
    """Where it lies now, in its own folder."""
    file = Path(job.folder) / 'job.json'
    file.write_text(json.dumps(asdict(job)))
    return str(file)


def read_job(path: str) -> Job:
    return Job(**json.loads(Path(path).read_text()))


def print_rounds(job: Job, scored: Iterable[int]) -> None:
    """
    Prints how many images are done after the warm-up, and whenever the pool is done once more. `scored` tells them
    batch by batch.
    """
    done, due = 0, job.warm_up_batches * job.batch_size
    for images in scored:
        done += images
        if done >= due:
            print(json.dumps({'images': done}), flush=True)
            due += len(job.images)


def decoded(file: str, size: int, resize: int) -> np.ndarray:
    """What torchvision's Resize(resize, antialias) and CenterCrop(size) make of a picture."""
    with Image.open(file) as opened:
        picture = opened.convert('RGB')
    short = min(picture.size)
    width, height = (resize if side == short else int(resize * side / short) for side in picture.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
    return np.array(picture)


def record_batches(job: Job, record_bytes: int) -> Iterator[np.ndarray]:
    """Batches of CIFAR records without end, uint8 [batch, 32, 32, 3]: slices of the mapped file."""
    records = np.memmap(job.images[0]['file'], np.uint8, 'r', shape=(len(job.images), record_bytes))
    planes = records[:, -PIXEL_BYTES:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    for start in cycle(range(0, len(planes), job.batch_size)):
        yield np.ascontiguousarray(planes[start : start + job.batch_size])


def decoded_batches(job: Job) -> Iterator[np.ndarray]:
    """
    Batches without end, uint8 [batch, size, size, 3]. Threads decode ahead: Pillow lets other threads run meanwhile.
    """
    if job.record_bytes is not None:
        yield from record_batches(job, job.record_bytes)
    files = cycle([image['file'] for image in job.images])
    with ThreadPoolExecutor(job.threads) as pool:
        ahead = deque(pool.submit(decoded, next(files), job.size, job.resize) for _ in range(2 * job.batch_size))
        while True:
            batch = []
            for _ in range(job.batch_size):
                batch.append(ahead.popleft().result())
                ahead.append(pool.submit(decoded, next(files), job.size, job.resize))
            yield np.stack(batch)
