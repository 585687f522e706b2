"""Fixtures of the trainer's tests: small packs drawn in numpy, tasks with every key filled in, and ways to run them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer import events, stop

# As pupil sets it: onnxruntime would send what it is used for to its makers.
os.environ['ORT_DISABLE_TELEMETRY'] = '1'

ROOT = Path(__file__).parents[2]
# How fast the machine is today is no matter of a test; this is for what hangs.
PATIENCE_SECONDS = 1800
CLASSES = ['red', 'green', 'blue', 'grey']
AUGMENT: dict[str, Any] = {
    'flip': True,
    'crop': 'shift',
    'pad': 2,
    'min_area': 0.35,
    'policy': 'none',
    'strength': 9,
    'cutout': 0,
    'mix': 'none',
    'mix_alpha': 1,
}


def write_pack(
    folder: Path,
    images: np.ndarray,
    samples: Sequence[tuple[int, int]],
    classes: Sequence[str] = CLASSES,
    answers: tuple[np.ndarray, np.ndarray] | None = None,
) -> Path:
    """
    Writes a pack as the image worker does. `images` uint8 [images, size, size, 3]; `samples` pairs of (image row,
    label); `answers` the teacher's best classes and their log-probabilities, both [images, kept].
    """
    folder.mkdir(parents=True)
    images.tofile(folder / 'images.u8')
    np.array(samples, '<i4').tofile(folder / 'samples.i32')
    (folder / 'ids.txt').write_text(''.join(f'{row:024x}\n' for row in range(len(images))))
    kept = 0
    if answers is not None:
        kept = answers[0].shape[1]
        answers[0].astype('<i4').tofile(folder / 'classes.i32')
        answers[1].astype('<f4').tofile(folder / 'log_prob.f32')
    about = {
        'version': 2,
        'images': len(images),
        'samples': len(samples),
        'kept': kept,
        'size': images.shape[1],
        'classes': list(classes),
    }
    (folder / 'pack.json').write_text(json.dumps(about))
    return folder


def draw(count: int, size: int, seed: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """`count` noisy pictures, each with a square in the colour of its class."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 160, (count, size, size, 3), dtype=np.uint8)
    samples = []
    for row in range(count):
        label = row % len(CLASSES)
        y, x = random.integers(0, size // 2, 2)
        patch = images[row, y : y + size // 2, x : x + size // 2]
        patch[..., label if label < 3 else slice(None)] |= 96
        samples.append((row, label))
    return images, samples


def wait_until(holds: Callable[[], bool], seconds_between_looks: float = 0.005) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(seconds_between_looks)


def wait_for(events_file: Path, text: str, count: int = 1) -> None:
    """Until a trainer has said a text `count` times, such as `"type":"checkpoint"`."""
    wait_until(lambda: events_file.exists() and events_file.read_text().count(text) >= count)


@dataclass(frozen=True)
class Run:
    """A trainer process that ended."""

    code: int
    events: list[dict[str, Any]]
    log: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event['type'] == kind]


@pytest.fixture(scope='session')
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packs `train` (400 pictures), `validation` (80) and `test` (80), all 32 pixels."""
    folder = tmp_path_factory.mktemp('packs')
    for seed, (name, count) in enumerate({'train': 400, 'validation': 80, 'test': 80}.items()):
        write_pack(folder / name, *draw(count, 32, seed))
    return folder


@pytest.fixture
def train_task(packs: Path, tmp_path: Path) -> dict[str, Any]:
    """A `train` message: 3 epochs of cifarnet on the small pack, in float32 so that it runs alike on every CPU."""
    return {
        'protocol': 1,
        'task': 'train',
        'device': 'cpu',
        'threads': 1,
        'seed': 0,
        'fingerprint': 'abc',
        'architecture': {'name': 'cifarnet', 'stem': 'small', 'size': 32, 'resize': 32, 'classes': CLASSES},
        'train_pack': str(packs / 'train'),
        'targets': 'hard',
        'temperature': 1.0,
        'rest': 'spread',
        'balanced': False,
        'labelled_pack': None,
        'labelled_share': 0,
        'validation_pack': str(packs / 'validation'),
        'init': None,
        'epochs': 3,
        'evaluations': 3,
        'batch_size': 40,
        'learning_rate': 0.3,
        'warmup': 0.2,
        'schedule': 'linear',
        'momentum': 0.9,
        'weight_decay': 0.001,
        'label_smoothing': 0.1,
        'precision': 'fp32',
        'ema': 0,
        'augment': AUGMENT,
        'compile': False,
        'checkpoint': str(tmp_path / 'run' / 'checkpoint.pt'),
        'checkpoint_minutes': 10,
        'tensorboard': None,
        'output': str(tmp_path / 'run' / 'model.safetensors'),
    }


@pytest.fixture
def emitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Collects the events of tasks that run inside the test's own process; call it for those so far."""
    file = tmp_path / 'emitted.ndjson'
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    monkeypatch.setattr(events, 'DESCRIPTOR', descriptor)
    yield lambda: [json.loads(line) for line in file.read_text().splitlines()]
    os.close(descriptor)


@pytest.fixture(autouse=True)
def restore_process_state():
    """Tasks own their process; tests share one."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    stop._requested = False


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """
    Starts the trainer as the orchestrator does, its events going to `events.ndjson`. Tests end what they start.
    `fail_point` is where it ends itself (see trainer/fail_point.py): however fast the machine is, that is the same
    place.
    """

    def start_trainer(message: dict[str, Any], fail_point: str = '') -> subprocess.Popen[str]:
        config = tmp_path / 'config.json'
        config.write_text(json.dumps(message))
        # Or a test that waits for an event would see those of the trainer before.
        (tmp_path / 'events.ndjson').unlink(missing_ok=True)
        command = [
            'bash',
            '-c',
            'exec "$@" 3>"$0"',
            str(tmp_path / 'events.ndjson'),
            sys.executable,
            '-m',
            'trainer',
            str(config),
        ]
        environment = {**os.environ, 'PUPIL_FAIL_POINT': fail_point}
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start_trainer


@pytest.fixture
def finish(tmp_path: Path) -> Callable[[subprocess.Popen[str]], Run]:
    """Waits for a trainer's end and reads what it said."""

    def finish_trainer(process: subprocess.Popen[str]) -> Run:
        log, _ = process.communicate(timeout=PATIENCE_SECONDS)
        lines = (tmp_path / 'events.ndjson').read_text().splitlines()
        return Run(process.returncode, [json.loads(line) for line in lines], log)

    return finish_trainer
