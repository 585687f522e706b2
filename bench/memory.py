"""
Measures how much memory it takes to score a small and a large pool: `npm run bench:memory`.

Each pool is made here, of records that differ, and goes through `pupil orchestrate` with a tiny network as a ready-made
teacher: listed, cut into shards, scored. What is counted is the most that all processes hold resident at once in each
stage.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from bench.pool import PIXEL_BYTES
from bench.watch import started
from trainer.classifier import Classifier
from trainer.export import Ranker, onnx_bytes
from trainer.imagenet import IMAGENET_MEAN, IMAGENET_STD
from trainer.tasks import Architecture

CLASSES = tuple(f'class{number}' for number in range(10))
LABELLED_PER_CLASS, SIDE, KEPT = 20, 32, 10
RECORDS_AT_A_TIME = 10_000
STAGES = ('prepare', 'score')


@dataclass(frozen=True)
class Measured:
    images: int
    peak_mb: dict[str, float]
    """Of each stage."""
    seconds: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog='npm run bench:memory --', description='Memory of scoring, for a small and a large pool.'
    )
    parser.add_argument('--images', type=sizes, default='50000,1000000', help='of the pools (default: %(default)s)')
    parser.add_argument('--json', action='store_true', help='one line of JSON instead of a table')
    options = parser.parse_args()
    if min(options.images) < 1:
        parser.error('--images: expected numbers of 1 or more')
    with tempfile.TemporaryDirectory(prefix='pupil-bench-') as folder:
        write_labelled(Path(folder))
        (Path(folder) / 'teacher.onnx').write_bytes(tiny_teacher())
        measured = [measure(Path(folder), images) for images in options.images]
    first, last = measured[0].peak_mb['score'], measured[-1].peak_mb['score']
    if options.json:
        pools = [{'images': one.images, 'peak_mb': one.peak_mb, 'seconds': one.seconds} for one in measured]
        print(
            json.dumps({'machine': f'{os.cpu_count()} CPU cores', 'pools': pools, 'growth_mb': round(last - first, 1)})
        )
        return
    print(f'{"images":>10}' + ''.join(f'{stage + ", MB":>14}{"seconds":>9}' for stage in STAGES))
    for one in measured:
        print(
            f'{one.images:10,}' + ''.join(f'{one.peak_mb[stage]:14,.0f}{one.seconds[stage]:9.0f}' for stage in STAGES)
        )
    print(f'\nscoring {measured[-1].images / measured[0].images:.0f} times as many images took {last - first:+,.0f} MB')


def sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(',')]


def write_labelled(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name in CLASSES:
        (folder / 'labelled' / name).mkdir(parents=True)
        for number in range(LABELLED_PER_CLASS):
            pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / 'labelled' / name / f'{number}.png')


def tiny_teacher() -> bytes:
    """An export of a network that takes next to no time."""
    torch.manual_seed(0)
    classifier = Classifier(Architecture('cifarnet', 'small', SIDE, SIDE, CLASSES), IMAGENET_MEAN, IMAGENET_STD)
    classifier.net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(3 * (SIDE // 8) ** 2, len(CLASSES)))
    return onnx_bytes(Ranker(classifier, KEPT, 1).eval())


def measure(folder: Path, images: int) -> Measured:
    """Of a pool of so many records in the binary version of CIFAR-10, which is removed afterwards."""
    pool = folder / f'pool{images}'
    write_records(pool, images)
    command = [
        'node',
        'dist/main.js',
        'orchestrate',
        '--json',
        '--home',
        str(folder / f'home{images}'),
        '--until',
        'score',
    ]
    command += [
        '--labelled',
        str(folder / 'labelled'),
        '--unlabelled',
        f'cifar10:{pool}',
        '--teacher',
        str(folder / 'teacher.onnx'),
    ]
    # The search for a layout takes memory for a while, and as much whatever the pool.
    settings = {'image.size': SIDE, 'score.batch_size': 32, 'score.decode_threads': 2, 'score.network_threads': 2}
    command += [f'--set={key}={value}' for key, value in settings.items()]
    peaks, seconds, begun = {}, {}, 0.0
    with started([*command, '--python', sys.executable]) as pupil:
        for line in pupil.output:
            event = json.loads(line)
            if event['type'] == 'stage_started':
                pupil.forget()
                begun = time.monotonic()
            elif event['type'] == 'stage_finished':
                pupil.look()
                peaks[event['stage']], seconds[event['stage']] = (
                    round(pupil.peak_mb or 0, 1),
                    round(time.monotonic() - begun, 1),
                )
            elif event['type'] == 'failed':
                raise SystemExit(f'pupil failed: {event["message"]}')
    for file in pool.iterdir():
        file.unlink()
    if 'score' not in peaks:
        raise SystemExit('pupil ended early.')
    return Measured(images, {stage: peaks[stage] for stage in STAGES}, {stage: seconds[stage] for stage in STAGES})


def write_records(pool: Path, images: int) -> None:
    """Random pixels, so that no two pictures are the same one."""
    pool.mkdir()
    random = np.random.default_rng(images)
    for number in range(1, 6):
        (pool / f'data_batch_{number}.bin').touch()
    (pool / 'test_batch.bin').touch()
    with (pool / 'data_batch_1.bin').open('wb') as file:
        for done in range(0, images, RECORDS_AT_A_TIME):
            file.write(random.bytes(min(RECORDS_AT_A_TIME, images - done) * (1 + PIXEL_BYTES)))


if __name__ == '__main__':
    main()
