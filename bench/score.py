"""
Measures how fast pupil scores a pool, beside what the machine allows and the scripts that people write instead: `npm
run bench:score`.

On the same pictures and the same weights (drawn at random), in turn and several times over, each in a process of its
own:
    decode              pupil's decoder alone, on all cores
    model               pupil's onnxruntime session alone
    pupil               the whole score stage: the image worker as the pipeline starts it, shards in, Parquet files out
    torch_*             PyTorch behind a DataLoader with workers (peers/score_torch.py)
    onnxruntime_python  onnxruntime behind a pool of threads (peers/score_onnxruntime.py)
    openvino_*          the anchor on CPUs (peers/score_openvino.py)
    pupil_odd           pupil with broken and odd files strewn among the pictures, if a folder of them is given
How pupil shares the machine out is found by its trial, as in a run whose pool takes minutes. The bound is what decode
and model allow together: on a CPU they share its cores, 1 / (1 / decode + 1 / model); a GPU leaves the slower of the
two. Figures are medians. Other work on the machine hits all contenders alike, since they take turns.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import get_args

import onnxruntime
import PIL
import torch

from bench.progress import say
from bench.score_job import ours, prepare
from bench.score_measured import Measured, measure, middle
from bench.score_result import ODD, OURS, Result, as_json, print_table
from bench.sources import Source, find_pictures, odd_files
from bench.watch import ROOT
from trainer.device import device_name, open_device
from trainer.tasks import ModelName

# Of pupil.
PRECISIONS = {'cpu': ('fp32', 'int8'), 'cuda': ('fp32', 'fp16')}


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """The contenders, and how each is started; the file of its job comes last."""

    def peer(script: str, precision: str) -> list[str]:
        return [sys.executable, '-m', f'bench.peers.score_{script}', precision]

    on_cpu = options.device == 'cpu'
    table = {name: ours(name) for name in OURS}
    if options.odd:
        table[ODD] = ours(ODD)
    table |= {'torch_fp32': peer('torch', 'fp32'), 'torch_bf16': peer('torch', 'bf16')}
    if options.compile:
        table['torch_bf16_compiled'] = peer('torch', 'bf16_compiled')
    if on_cpu or 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        table['onnxruntime_python'] = peer('onnxruntime', 'fp32')
    else:
        print('onnxruntime_python is left out: the Python package onnxruntime-gpu is not there.', file=sys.stderr)
    if on_cpu:
        table |= {
            f'openvino_{one}': peer('openvino', one) for one in dict.fromkeys(('fp32', 'bf16', options.precision))
        }
    return table


def main() -> None:
    options, source = read_options()
    # Threads that wait give their core away sooner, as trainer/__main__.py has it: for all contenders alike.
    os.environ.setdefault('GOMP_SPINCOUNT', '5000')
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    device = open_device('cuda:0' if options.device == 'cuda' else 'cpu', options.threads)
    machine = f'{device_name(device)}, {os.cpu_count()} CPU cores'
    print(
        f'{machine}, {options.threads} threads, load {os.getloadavg()[0]:.1f} at the start\n{versions(options.device)}',
        file=sys.stderr,
    )
    table = commands(options)
    with tempfile.TemporaryDirectory(prefix='pupil-bench-') as folder:
        job = prepare(options, source, str(device), Path(folder))
        distinct = len({image['place'] for image in job.images})
        pool = f'{distinct:,} of {source.count:,} pictures in {options.images}, {len(job.images):,} in a round'
        print(
            f'{pool}{", repeated" if distinct < len(job.images) else ""}; batches of {job.batch_size}', file=sys.stderr
        )
        print(
            f'pupil by its trial: {", ".join(f"{key} {value}" for key, value in job.layout.items())}\n', file=sys.stderr
        )
        several: dict[str, list[Measured]] = {name: [] for name in table}
        for turn in range(options.turns):
            for name, command in table.items():
                say(f'{turn + 1} of {options.turns}, {name} ...')
                several[name].append(measure(command, job, options.seconds))
        say('')
    result = Result(machine, distinct, job, options, {name: middle(measured) for name, measured in several.items()})
    if options.json:
        print(json.dumps(as_json(result)))
    else:
        print_table(result)


def read_options() -> tuple[argparse.Namespace, Source]:
    parser = argparse.ArgumentParser(
        prog='npm run bench:score --', description='Images a second of scoring, beside its peers.'
    )
    parser.add_argument('--images', required=True, help='a folder of pictures, or cifar10:FOLDER or cifar100:FOLDER')
    parser.add_argument(
        '--odd', type=Path, metavar='DIR', help='also score with these broken and odd files among the pictures'
    )
    parser.add_argument('--model', choices=get_args(ModelName), default='resnet50')
    parser.add_argument('--size', type=int, default=224, help='side of the pictures as the network takes them')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument(
        '--precision', choices=('fp32', 'int8', 'fp16'), default='fp32', help='of pupil: int8 on a CPU, fp16 on a GPU'
    )
    parser.add_argument(
        '--model-file', type=Path, help='score with this file of an export; --model and --size are then its own'
    )
    parser.add_argument('--compile', action='store_true', help='also torch.compile')
    parser.add_argument('--json', action='store_true', help='one line of JSON instead of a table')
    parser.add_argument('--threads', type=int, default=os.cpu_count(), help='CPU cores that each contender has')
    parser.add_argument('--turns', type=int, default=3, help='measurements of each contender')
    parser.add_argument('--seconds', type=float, default=10, help='of one measurement')
    options = parser.parse_args()
    if options.seconds <= 0 or min(options.size, options.threads, options.turns) < 1:
        parser.error('--seconds, --size, --threads and --turns must be above 0')
    if options.precision not in PRECISIONS[options.device]:
        parser.error(
            f'--precision on {options.device}: expected {" or ".join(PRECISIONS[options.device])}, found '
            f'{options.precision}'
        )
    if options.odd and not any(odd_files(options.odd)):
        parser.error(f'argument --odd: expected a folder with files, found none in {options.odd}')
    try:
        return options, find_pictures(options.images)
    except ValueError as error:
        parser.error(f'argument --images: {error}')


def versions(device: str) -> str:
    package = json.loads((ROOT / 'package.json').read_text())
    packages = {**package['dependencies'], **package['devDependencies']}
    node = (
        subprocess.run(['node', '--version'], capture_output=True, text=True, check=True)
        .stdout.strip()
        .removeprefix('v')
    )
    ours = f'Node {node}, onnxruntime-node {packages["onnxruntime-node"]}, sharp {packages["sharp"]}'
    peers = f'Python {platform.python_version()}, PyTorch {torch.__version__}, onnxruntime {onnxruntime.__version__}'
    anchor = f'OpenVINO {metadata.version("openvino")}, ' if device == 'cpu' else ''
    return f'{ours}; {peers}, {anchor}Pillow {PIL.__version__}'


if __name__ == '__main__':
    main()
