"""
Measures how fast pupil trains, beside what the machine allows and the loop that most people write: `npm run
bench:train`.

For each case, in turn and several times over, each in a process of its own:
    pupil       the trainer as the pipeline starts it, on a pack, with the default augmentation, and validation and
                checkpoints at their default share of the time (a tenth of the labelled set is measured in every fifth
                epoch)
    + trivial   the same with TrivialAugment and Cutout
    limit       the same network and optimiser on one batch that lies normalised on the device (peers/synthetic.py)
    usual       DataLoader, Pillow, one picture at a time (peers/usual_loop.py); neither validation nor checkpoints
The figures are medians in images/s. Other work on the machine hits all contenders alike, since they take turns; `--busy
N` adds some: N processes that only keep a core busy. The limit's threads stay where the system puts them, so the ratio
to it tells what trainer/crowding.py is worth.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import PIL
import torch

from bench.case import Case
from bench.contenders import Measured, measure_peer, measure_pupil
from bench.pictures import write_pictures
from bench.progress import say
from trainer.device import device_name, open_device, trains_in_bf16

# Batches on a CPU and on a GPU.
CASES = {
    'cifarnet-32': ('cifarnet', 32, 128, 128),
    'resnet50-32': ('resnet50', 32, 128, 128),
    'resnet50-224': ('resnet50', 224, 32, 128),
}


@dataclass(frozen=True)
class Result:
    case: Case
    rates: dict[str, float]
    peak_mb: dict[str, float | None]


def main() -> None:
    options = read_options()
    # Threads that wait give their core away sooner, as trainer/__main__.py has it: for all contenders alike.
    os.environ.setdefault('GOMP_SPINCOUNT', '5000')
    device = open_device('cuda:0' if options.device == 'cuda' else 'cpu', options.threads)
    machine = f'{device_name(device)}, {os.cpu_count()} CPU cores'
    load = f'load {os.getloadavg()[0]:.1f} at the start, {options.busy} processes beside'
    versions = f'Python {platform.python_version()}, PyTorch {torch.__version__}, Pillow {PIL.__version__}'
    print(f'{machine}, {options.threads} threads, {load}\n{versions}\n', file=sys.stderr)
    results = []
    others = [
        subprocess.Popen([sys.executable, '-c', 'while True: pass'], start_new_session=True)
        for _ in range(options.busy)
    ]
    try:
        for name in options.cases:
            model, size, on_cpu, on_gpu = CASES[name]
            batch_size = on_cpu if device.type == 'cpu' else on_gpu
            with tempfile.TemporaryDirectory(prefix='pupil-bench-') as pictures:
                bf16 = trains_in_bf16('auto', device)
                case = Case(
                    model,
                    size,
                    batch_size,
                    str(device),
                    options.threads,
                    bf16,
                    pictures,
                    options.seconds,
                    options.compile,
                )
                results.append(run(case, options.turns))
    finally:
        for other in others:
            other.kill()
    if options.json:
        print(json.dumps({'machine': machine, 'cases': [as_json(result) for result in results]}))
    else:
        print_table(results)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='npm run bench:train --', description='Images a second of training, beside its peers.'
    )
    parser.add_argument('--json', action='store_true', help='one line of JSON instead of a table')
    parser.add_argument(
        '--cases', type=lambda text: text.split(','), default=list(CASES), help=f'some of {",".join(CASES)}'
    )
    parser.add_argument(
        '--compile', action='store_true', help='all of them with torch.compile, as train.compile has it'
    )
    parser.add_argument('--seconds', type=float, default=6, help='of one measurement')
    parser.add_argument('--turns', type=int, default=3, help='measurements of each contender')
    parser.add_argument(
        '--threads', type=int, default=os.cpu_count(), help='CPU threads, and workers of the usual loop'
    )
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--busy', type=int, default=0, help='processes that keep as many cores busy meanwhile')
    options = parser.parse_args()
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f'argument --cases: expected some of {",".join(CASES)}, found {",".join(unknown)}')
    if options.seconds <= 0 or min(options.threads, options.turns) < 1:
        parser.error('--seconds, --threads and --turns must be above 0')
    return options


def run(case: Case, turns: int) -> Result:
    say(f'{case.name}: drawing pictures ...')
    write_pictures(case)
    # The first look tells how many samples make an epoch of a third of the time.
    first = measure_peer('synthetic', replace(case, seconds=min(2, case.seconds)))
    contenders = {
        'pupil': lambda: measure_pupil(case, first.rate, augmented=False),
        'synthetic': lambda: measure_peer('synthetic', case),
        'usual_loop': lambda: measure_peer('usual_loop', case),
        'trivial': lambda: measure_pupil(case, first.rate, augmented=True),
    }
    measured: dict[str, list[Measured]] = {name: [] for name in contenders}
    for turn in range(turns):
        for name, measure in contenders.items():
            say(f'{case.name}: {turn + 1} of {turns}, {name} ...')
            measured[name].append(measure())
    say('')
    peaks = {name: [one.peak_mb for one in several if one.peak_mb is not None] for name, several in measured.items()}
    return Result(
        case,
        {name: median(one.rate for one in several) for name, several in measured.items()},
        {name: max(several) if several else None for name, several in peaks.items()},
    )


def as_json(result: Result) -> dict[str, Any]:
    rates = {name: round(result.rates[name], 1) for name in ('pupil', 'synthetic', 'usual_loop')}
    ratios = {name: round(result.rates['pupil'] / result.rates[name], 3) for name in ('synthetic', 'usual_loop')}
    case = result.case
    return {'model': case.model, 'size': case.size, 'precision': precision(case), 'rates': rates, 'ratios': ratios}


def print_table(results: list[Result]) -> None:
    print(
        f'{"images/s":20} {"batch":>5} {"pupil":>8} {"+ trivial":>9} {"limit":>8} {"usual":>8} {"/ limit":>8} '
        f'{"/ usual":>8}'
    )
    for result in results:
        case, rates = result.case, result.rates
        figures = (
            f'{rates["pupil"]:8,.0f} {rates["trivial"]:9,.0f} {rates["synthetic"]:8,.0f} {rates["usual_loop"]:8,.0f}'
        )
        ratios = f'{rates["pupil"] / rates["synthetic"]:8.3f} {rates["pupil"] / rates["usual_loop"]:8.2f}'
        print(f'{case.name + ", " + precision(case):20} {case.batch_size:5} {figures} {ratios}')
    if all(peak is not None for result in results for peak in result.peak_mb.values()):
        print('\nmost memory resident at once, in MB, all processes together')
        for result in results:
            mb = ' '.join(f'{result.peak_mb[name] or 0:{width},.0f}' for name, width in COLUMNS)
            print(f'{result.case.name:26} {mb}')


COLUMNS = (('pupil', 8), ('trivial', 9), ('synthetic', 8), ('usual_loop', 8))


def precision(case: Case) -> str:
    return 'bf16' if case.bf16 else 'fp32'


if __name__ == '__main__':
    main()
