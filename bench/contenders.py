"""
Starts a contender of bench:train in a process of its own, and tells its images a second and the most memory that it
took.
"""

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.case import FEWEST_STEPS, Case
from bench.pictures import write_pack
from bench.watch import started

# A tenth of the labelled set is split off, and measured 20 times in the 100 epochs of a teacher: the defaults of
# src/config/schema.ts.
SAMPLES_PER_VALIDATION_IMAGE = 9 * 5


@dataclass(frozen=True)
class Measured:
    rate: float
    """Images a second."""
    peak_mb: float | None
    """
    The most that its processes held resident at once; pages that they share count once. None where the system does not
    tell.
    """


def measure_peer(name: str, case: Case) -> Measured:
    with started([sys.executable, '-m', f'bench.peers.{name}', json.dumps(asdict(case))]) as peer:
        return Measured(float(peer.output.read()), peer.peak_mb)


def measure_pupil(case: Case, expected_rate: float, augmented: bool) -> Measured:
    """
    From the end of the first epoch to the end of a later one, each with its validation, `case.seconds` or more apart.
    """
    steps = max(FEWEST_STEPS, round(expected_rate * case.seconds / 3 / case.batch_size))
    samples = steps * case.batch_size
    with tempfile.TemporaryDirectory(dir=case.pictures) as folder:
        config = Path(folder) / 'config.json'
        config.write_text(json.dumps(train_message(case, samples, augmented, Path(folder))))
        begun, epochs = 0.0, 0
        # Events go to the file descriptor 3, which becomes what is read here.
        command = ['sh', '-c', 'exec "$@" 3>&1 1>&2', 'sh', sys.executable, '-m', 'trainer', str(config)]
        with started(command) as trainer:
            for line in trainer.output:
                now = time.monotonic()
                kind = json.loads(line)['type']
                # Not the first epoch, which warms up, nor its checkpoint: epochs of a real set are far longer than
                # this.
                if kind == 'checkpoint' and begun == 0:
                    begun = now
                elif kind == 'evaluated' and begun > 0:
                    epochs += 1
                    if now - begun >= case.seconds:
                        return Measured(epochs * samples / (now - begun), trainer.peak_mb)
                elif kind == 'failed':
                    raise SystemExit(f'The trainer failed: {line}')
            raise SystemExit('The trainer ended early.')


def train_message(case: Case, samples: int, augmented: bool, folder: Path) -> dict[str, Any]:
    """The task as src/stages/train.ts writes it, with the defaults of src/config/schema.ts."""
    validation = max(1, round(samples / SAMPLES_PER_VALIDATION_IMAGE))
    return {
        'protocol': 1,
        'task': 'train',
        'device': case.device,
        'threads': case.threads,
        'seed': 0,
        'fingerprint': 'bench',
        'architecture': case.architecture,
        'train_pack': str(write_pack(case, 'train', case.resize, samples)),
        'targets': 'hard',
        'temperature': 1,
        'rest': 'spread',
        'balanced': False,
        'labelled_pack': None,
        'labelled_share': 0,
        'validation_pack': str(write_pack(case, 'validation', case.size, validation)),
        'init': None,
        'epochs': 1_000_000,
        'evaluations': 1_000_000,
        'batch_size': case.batch_size,
        # Low: random labels are not to be learned, only not to diverge.
        'learning_rate': 1e-3,
        'warmup': 0,
        'schedule': 'cosine',
        'momentum': 0.9,
        'weight_decay': 5e-4,
        'label_smoothing': 0.1,
        'precision': 'auto',
        'ema': 0,
        'augment': {
            'flip': True,
            'crop': 'shift' if case.size <= 64 else 'resized',
            'pad': 4,
            'min_area': 0.35,
            'policy': 'trivial' if augmented else 'none',
            'strength': 9,
            'cutout': 0.25 if augmented else 0,
            'mix': 'none',
            'mix_alpha': 1,
        },
        'compile': case.compile,
        'checkpoint': str(folder / 'checkpoint.pt'),
        'checkpoint_minutes': 10,
        'tensorboard': None,
        'output': str(folder / 'model.safetensors'),
    }
