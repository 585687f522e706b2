"""The benchmark of training, in its shortest form: what it measures is not looked at, only that it does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-m', 'bench.train', *arguments], cwd=ROOT, capture_output=True, text=True)


def test_it_measures_pupil_beside_the_limit_and_the_usual_loop():
    finished = bench(
        '--json', '--cases', 'cifarnet-32', '--seconds', '0.1', '--turns', '1', '--threads', '1', '--device', 'cpu'
    )
    assert finished.returncode == 0, finished.stderr
    (case,) = json.loads(finished.stdout)['cases']
    assert (case['model'], case['size']) == ('cifarnet', 32)
    assert case['precision'] in ('fp32', 'bf16')
    assert min(case['rates'].values()) > 0
    for peer in ('synthetic', 'usual_loop'):
        assert case['ratios'][peer] == pytest.approx(case['rates']['pupil'] / case['rates'][peer], rel=0.01)


def test_an_unknown_case_is_named_beside_the_known_ones():
    finished = bench('--cases', 'vgg-32')
    assert finished.returncode == 2
    assert 'expected some of cifarnet-32,resnet50-32,resnet50-224, found vgg-32' in finished.stderr
