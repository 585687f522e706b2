"""How much memory stays resident does not depend on how large the training set is."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CLASSES, ROOT, write_pack

# All that training does with a pack, and an epoch of it. Prints the most memory that was resident at once, in kB,
# mapped files included.
READ_A_PACK = f"""
import sys
from pathlib import Path
from trainer.batches import epoch_order, plan_epoch
from trainer.data import channel_statistics, gather, open_pack, read_ahead, spread
from trainer.device import open_device

pack = open_pack(Path(sys.argv[1]), 32, {CLASSES}, open_device('cpu', 1))
channel_statistics(pack)
spread(pack, pixels=5_000 * 32**2)
plan = plan_epoch(pack, 128, 0, balanced=False)
draws = epoch_order(pack, plan, seed=0, epoch=0).tensor_split(plan.steps)
for samples, after in zip(draws, (*draws[1:], draws[0])):
    read_ahead(pack, after)
    gather(pack, samples)
print(next(line.split()[1] for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM')))
"""


def most_resident(folder: Path, pictures: int) -> int:
    pixels = np.random.default_rng(0).integers(0, 256, (pictures, 32, 32, 3), dtype=np.uint8)
    pack = write_pack(folder, pixels, [(row, row % len(CLASSES)) for row in range(pictures)])
    found = subprocess.run(
        [sys.executable, '-c', READ_A_PACK, str(pack)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(found.stdout)


@pytest.mark.skipif(sys.platform != 'linux', reason='other systems count resident memory otherwise')
def test_a_fivefold_training_set_takes_less_than_5_percent_more_memory(tmp_path):
    small, large = (most_resident(tmp_path / str(pictures), pictures) for pictures in (10_000, 50_000))
    # The sets themselves differ by 120 MB.
    assert large < 1.05 * small
