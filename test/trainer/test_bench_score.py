"""The benchmark of scoring, in its shortest form: what it measures is not looked at, only that it does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
pytest.importorskip('onnxruntime', reason='bench/requirements.txt is not installed')
pytest.importorskip('openvino', reason='bench/requirements.txt is not installed')


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-m', 'bench.score', *arguments], cwd=ROOT, capture_output=True, text=True)


def test_it_measures_pupil_beside_its_bound_its_peers_and_the_anchor(tmp_path):
    random = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(random.integers(0, 256, (75, 100, 3), dtype=np.uint8)).save(tmp_path / f'{number}.jpg')
    (tmp_path / 'broken.jpg').write_text('no picture')
    (tmp_path / 'odd').mkdir()
    for number in range(3):
        (tmp_path / 'odd' / f'{number}.txt').write_text(f'no picture {number}')
    arguments = ('--json', '--model', 'cifarnet', '--size', '32', '--device', 'cpu', '--seconds', '0.1', '--turns', '1')
    finished = bench('--images', str(tmp_path), '--odd', str(tmp_path / 'odd'), *arguments)
    assert finished.returncode == 0, finished.stderr
    assert '12 of 13 pictures' in finished.stderr
    found = json.loads(finished.stdout)
    assert (found['images'], found['model'], found['size'], found['precision']) == (12, 'cifarnet', 32, 'fp32')
    assert found['odd']['files'] == 3
    assert found['odd']['rate'] > 0
    assert (found['outside_decoder_and_network'] or 0) < 1
    rates, peers, anchors = found['rates'], found['peers'], found['anchors']
    assert set(rates) == {'decode', 'model', 'pupil'}
    assert set(peers) == {'torch_fp32', 'torch_bf16', 'onnxruntime_python'}
    assert set(anchors) == {'openvino_fp32', 'openvino_bf16'}
    assert min(*rates.values(), *peers.values(), *anchors.values()) > 0
    assert found['bound'] == pytest.approx(1 / (1 / rates['decode'] + 1 / rates['model']), rel=0.01)
    compared = {'bound': found['bound'], 'best_peer': max(peers.values()), **anchors}
    for name, rate in compared.items():
        assert found['ratios'][name] == pytest.approx(rates['pupil'] / rate, rel=0.02)


def test_a_folder_without_pictures_is_refused_and_told_what_was_expected(tmp_path):
    finished = bench('--images', str(tmp_path))
    assert finished.returncode == 2
    assert 'expected a folder of JPEG, PNG or WebP pictures, or cifar10:FOLDER or cifar100:FOLDER' in finished.stderr
