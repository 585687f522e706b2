"""
Measures how fast pupil scores a pool, beside what the machine allows and the scripts that people write instead: `npm run bench:score`.

On the same pictures and the same weights (drawn at random), in turn and several times over, each in a process of its own:
    decode              pupil's decoder alone, on all cores
    model               pupil's onnxruntime session alone
    pupil               the whole score stage: the image worker as the pipeline starts it, shards in, Parquet files out
    torch_*             PyTorch behind a DataLoader with workers (peers/score_torch.py)
    onnxruntime_python  onnxruntime behind a pool of threads (peers/score_onnxruntime.py)
    openvino_*          the anchor on CPUs (peers/score_openvino.py)
    pupil_odd           pupil with broken and odd files strewn among the pictures, if a folder of them is given
How pupil shares the machine out is found by its trial, as in a run whose pool takes minutes. The bound is what decode and model allow
together: on a CPU they share its cores, 1 / (1 / decode + 1 / model); a GPU leaves the slower of the two. Figures are medians. Other
work on the machine hits all contenders alike, since they take turns.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from itertools import cycle, islice
from math import lcm
from pathlib import Path
from statistics import median
from typing import Any, Literal, get_args

import onnx
import PIL
import torch
from torch import nn

from bench.pictures import write_arrays
from bench.pool import Job, decoded_batches
from bench.sources import Source, find_pictures, odd_files
from bench.watch import ROOT, started
from trainer.classifier import Classifier
from trainer.config import PROTOCOL, Architecture, ModelName, QuantiseTask
from trainer.device import device_name, open_device
from trainer.export import Ranker, onnx_bytes
from trainer.import_weights import IMAGENET_MEAN, IMAGENET_STD
from trainer.model_file import save_model
from trainer.quantise import moved, quantise

# Of all contenders.
BATCH_SIZES = {'cpu': 32, 'cuda': 256}
# Of pupil.
PRECISIONS = {'cpu': ('fp32', 'int8'), 'cuda': ('fp32', 'fp16')}
# Of one of pupil's shards, and the classes that it keeps of an image: the defaults of src/config.ts.
SHARD_IMAGES, KEPT = 4096, 10
# As many as src/stages/score.ts takes.
TRIAL_IMAGES = 512
# Random weights have little to lose by few.
CALIBRATION_IMAGES = 64
OURS = ('decode', 'model', 'pupil')
ODD = 'pupil_odd'
FP32_PEERS = ('torch_fp32', 'onnxruntime_python')


def ours(part: str) -> list[str]:
    return ['node', 'bench/score-ours.mjs', part]


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """The contenders, and how each is started; the file of its job comes last."""
    import onnxruntime  # Once main() has told it to send nothing.

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
        table |= {f'openvino_{one}': peer('openvino', one) for one in dict.fromkeys(('fp32', 'bf16', options.precision))}
    return table


@dataclass(frozen=True)
class Measured:
    rate: float
    """Images a second."""
    cpu_seconds: float | None
    """Of 1,000 images, all its processes together. None where the system does not tell."""
    main_thread_seconds: float | None
    """Those of them that the main threads of its processes took; decoders and networks run in others."""
    peak_mb: float | None
    """The most that its processes held resident at once; pages that they share count once. None where the system does not tell."""


@dataclass(frozen=True)
class Result:
    machine: str
    images: int
    """Different ones."""
    job: Job
    options: argparse.Namespace
    measured: dict[str, Measured]

    @property
    def anchors(self) -> list[str]:
        return [name for name in self.measured if name.startswith('openvino')]

    @property
    def peers(self) -> list[str]:
        return [name for name in self.measured if name not in (*OURS, ODD, *self.anchors)]

    @property
    def outside(self) -> float | None:
        """The share of pupil's CPU time that went neither into decoding nor into the network. None where the system does not tell."""
        pupil = self.measured['pupil']
        return pupil.main_thread_seconds / pupil.cpu_seconds if pupil.main_thread_seconds and pupil.cpu_seconds else None

    @property
    def bound(self) -> float:
        decode, model = self.measured['decode'].rate, self.measured['model'].rate
        return 1 / (1 / decode + 1 / model) if self.options.device == 'cpu' else min(decode, model)

    def against(self) -> dict[str, float]:
        """The rates that pupil's is compared with."""
        best = {'best_fp32_peer': [name for name in self.peers if name in FP32_PEERS], 'best_peer': self.peers}
        return {
            'bound': self.bound,
            **{title: max(self.measured[name].rate for name in names) for title, names in best.items()},
            **{name: self.measured[name].rate for name in self.anchors},
        }


def main() -> None:
    options, source = read_options()
    # Threads that wait give their core away sooner, as trainer/__main__.py has it: for all contenders alike.
    os.environ.setdefault('GOMP_SPINCOUNT', '5000')
    # As pupil sets it for its own: onnxruntime sends what it is used for to its makers.
    os.environ['ORT_DISABLE_TELEMETRY'] = '1'
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    device = open_device('cuda:0' if options.device == 'cuda' else 'cpu', options.threads)
    machine = f'{device_name(device)}, {os.cpu_count()} CPU cores'
    print(f'{machine}, {options.threads} threads, load {os.getloadavg()[0]:.1f} at the start\n{versions(options.device)}', file=sys.stderr)
    table = commands(options)
    with tempfile.TemporaryDirectory(prefix='pupil-bench-') as folder:
        job = with_round(with_layout(prepare(options, source, str(device), Path(folder)), source), source, options.seconds)
        job = replace(job, odd=list(odd_files(options.odd)) if options.odd else [])
        distinct = len({image['place'] for image in job.images})
        pool = f'{distinct:,} of {source.count:,} pictures in {options.images}, {len(job.images):,} in a round'
        print(f'{pool}{", repeated" if distinct < len(job.images) else ""}; batches of {job.batch_size}', file=sys.stderr)
        print(f'pupil by its trial: {", ".join(f"{key} {value}" for key, value in job.layout.items())}\n', file=sys.stderr)
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
    parser = argparse.ArgumentParser(prog='npm run bench:score --', description='Images a second of scoring, beside its peers.')
    parser.add_argument('--images', required=True, help='a folder of pictures, or cifar10:FOLDER or cifar100:FOLDER')
    parser.add_argument('--odd', type=Path, metavar='DIR', help='also score with these broken and odd files among the pictures')
    parser.add_argument('--model', choices=get_args(ModelName), default='resnet50')
    parser.add_argument('--size', type=int, default=224, help='side of the pictures as the network takes them')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--precision', choices=('fp32', 'int8', 'fp16'), default='fp32', help='of pupil: int8 on a CPU, fp16 on a GPU')
    parser.add_argument('--model-file', type=Path, help='score with this file of an export; --model and --size are then its own')
    parser.add_argument('--compile', action='store_true', help='also torch.compile')
    parser.add_argument('--json', action='store_true', help='one line of JSON instead of a table')
    parser.add_argument('--threads', type=int, default=os.cpu_count(), help='CPU cores that each contender has')
    parser.add_argument('--turns', type=int, default=3, help='measurements of each contender')
    parser.add_argument('--seconds', type=float, default=10, help='of one measurement')
    options = parser.parse_args()
    if options.seconds <= 0 or min(options.size, options.threads, options.turns) < 1:
        parser.error('--seconds, --size, --threads and --turns must be above 0')
    if options.precision not in PRECISIONS[options.device]:
        parser.error(f'--precision on {options.device}: expected {" or ".join(PRECISIONS[options.device])}, found {options.precision}')
    if options.odd and not any(odd_files(options.odd)):
        parser.error(f'argument --odd: expected a folder with files, found none in {options.odd}')
    try:
        return options, find_pictures(options.images)
    except ValueError as error:
        parser.error(f'argument --images: {error}')


def versions(device: str) -> str:
    import onnxruntime  # As above.

    packages = json.loads((ROOT / 'package.json').read_text())['dependencies']
    node = subprocess.run(['node', '--version'], capture_output=True, text=True, check=True).stdout.strip().removeprefix('v')
    ours = f'Node {node}, onnxruntime-node {packages["onnxruntime-node"]}, sharp {packages["sharp"]}'
    peers = f'Python {platform.python_version()}, PyTorch {torch.__version__}, onnxruntime {onnxruntime.__version__}'
    anchor = f'OpenVINO {metadata.version("openvino")}, ' if device == 'cpu' else ''
    return f'{ours}; {peers}, {anchor}Pillow {PIL.__version__}'


def prepare(options: argparse.Namespace, source: Source, device: str, folder: Path) -> Job:
    """The job, its models written, without pictures."""
    say('exporting the model ...')
    about = described(options.model_file) if options.model_file else {}
    size = about.get('size', options.size)
    architecture = Architecture(
        name=about.get('model', options.model),
        stem='small' if size <= 64 else 'imagenet',
        size=size,
        resize=about.get('resize', size if size <= 64 else round(size * 8 / 7)),
        classes=tuple(about.get('classes', [f'class{number}' for number in range(source.classes)])),
    )
    classifier = with_random_weights(architecture)
    save_model(folder / 'weights.safetensors', classifier, classifier.net.state_dict())
    (folder / 'fp32.onnx').write_bytes(onnx_bytes(Ranker(classifier, KEPT, 1).eval()))
    files = {'fp32': str(folder / 'fp32.onnx')}
    if options.model_file:
        files[options.precision] = str(options.model_file.absolute())
    job = Job(
        network=architecture.name,
        images=[],
        record_bytes=source.record_bytes,
        weights=str(folder / 'weights.safetensors'),
        onnx=files,
        model=files.get(options.precision, files['fp32']),
        size=architecture.size,
        resize=architecture.resize,
        classes=list(architecture.classes),
        kept=KEPT,
        batch_size=BATCH_SIZES[options.device],
        device=device,
        threads=options.threads,
        python=sys.executable,
        folder=str(folder),
    )
    if options.precision not in files:
        say(f'quantising to {options.precision} ...')
        file = quantised(job, source, options.precision)
        job = replace(job, onnx={**files, options.precision: for_anchor(file)}, model=file)
    return job


def quantised(job: Job, source: Source, precision: Literal['int8', 'fp16']) -> str:
    """A form of the exported file as the export stage makes it, calibrated on pictures of the pool."""
    some = list(islice(cycle(islice(source.images(), CALIBRATION_IMAGES)), CALIBRATION_IMAGES))
    pixels = next(iter(decoded_batches(replace(job, images=some, batch_size=CALIBRATION_IMAGES))))
    pack, output = Path(job.folder) / 'calibration', Path(job.folder) / f'{precision}.onnx'
    write_arrays(pack, pixels, job.classes)
    quantise(QuantiseTask(PROTOCOL, 'quantise', 'cpu', Path(job.model), precision, False, tuple(job.classes), pack, output))
    return str(output)


def for_anchor(file: str) -> str:
    """The same network as OpenVINO has kernels for it: weights that were moved for onnxruntime's sake are moved back."""
    model = moved(onnx.load(file), 1)
    onnx.save(model, f'{file}.anchor')
    return f'{file}.anchor'


def described(file: Path) -> dict[str, Any]:
    """What an ONNX file says of itself in its metadata."""
    properties = onnx.load(str(file), load_external_data=False).metadata_props
    return json.loads(next(entry.value for entry in properties if entry.key == 'pupil'))


def with_random_weights(architecture: Architecture) -> Classifier:
    torch.manual_seed(0)
    classifier = Classifier(architecture, IMAGENET_MEAN, IMAGENET_STD)
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Residual blocks begin at zero, and a convolution with a zero is one that somebody could skip.
            nn.init.uniform_(module.weight, 0.1, 0.5)
    return classifier


def with_layout(job: Job, source: Source) -> Job:
    say('a trial of layouts ...')
    file = Path(job.folder) / 'job.json'
    file.write_text(json.dumps(asdict(replace(job, images=list(islice(source.images(), TRIAL_IMAGES))))))
    found = subprocess.run([*ours('layout'), str(file)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return replace(job, layout=json.loads(found.stdout))


def with_round(job: Job, source: Source, seconds: float) -> Job:
    """
    The job with so many pictures that the slower of decoder and network takes `seconds` for them, a shard at most: all contenders
    then do the same work, however fast they are.
    """
    say('a first look ...')
    first = replace(job, images=list(islice(source.images(), job.batch_size)))
    rate = min(measure(ours(part), first, min(2, seconds)).rate for part in ('decode', 'model'))
    whole = lcm(job.batch_size, job.layout['batch_size'])
    images = whole * max(1, round(min(SHARD_IMAGES, rate * seconds) / whole))
    distinct = list(islice(source.images(), images))
    return replace(job, images=list(islice(cycle(distinct), images)))


def measure(command: list[str], job: Job, seconds: float) -> Measured:
    """From the end of its warm-up to the end of a round, `seconds` or more later."""
    file = Path(job.folder) / 'job.json'
    file.write_text(json.dumps(asdict(job)))
    with started([*command, str(file)]) as contender:
        begun: tuple[float, float | None, float | None, int] | None = None
        for line in contender.output:
            now, images = time.monotonic(), int(json.loads(line)['images'])
            cpu, main = contender.cpu_seconds, contender.main_thread_seconds
            if begun is None:
                begun = now, cpu, main, images
            elif now - begun[0] >= seconds:
                images -= begun[3]
                contender.look()
                return Measured(
                    images / (now - begun[0]), of_1000(images, begun[1], cpu), of_1000(images, begun[2], main), contender.peak_mb
                )
        raise SystemExit('It ended early.')


def of_1000(images: int, begun: float | None, ended: float | None) -> float | None:
    return None if begun is None or ended is None else (ended - begun) * 1000 / images


def middle(several: list[Measured]) -> Measured:
    """Medians, and the most memory of all."""

    def known(values: Iterable[float | None], what: Callable[[list[float]], float]) -> float | None:
        told = [value for value in values if value is not None]
        return what(told) if told else None

    return Measured(
        rate=median(one.rate for one in several),
        cpu_seconds=known((one.cpu_seconds for one in several), median),
        main_thread_seconds=known((one.main_thread_seconds for one in several), median),
        peak_mb=known((one.peak_mb for one in several), max),
    )


def as_json(result: Result) -> dict[str, Any]:
    measured, options, job = result.measured, result.options, result.job
    return {
        'machine': result.machine,
        'images': result.images,
        'model': job.network,
        'size': job.size,
        'device': options.device,
        'precision': options.precision,
        'rates': {name: round(measured[name].rate, 2) for name in OURS},
        'peers': {name: round(measured[name].rate, 2) for name in result.peers},
        'anchors': {name: round(measured[name].rate, 2) for name in result.anchors},
        'bound': round(result.bound, 2),
        'ratios': {name: round(measured['pupil'].rate / rate, 3) for name, rate in result.against().items()},
        'odd': {'files': len(job.odd), 'rate': round(measured[ODD].rate, 2)} if job.odd else None,
        'outside_decoder_and_network': result.outside and round(result.outside, 4),
        'cpu_seconds_per_1000': {name: one.cpu_seconds and round(one.cpu_seconds, 2) for name, one in measured.items()},
        'peak_rss_mb': {name: one.peak_mb and round(one.peak_mb) for name, one in measured.items()},
    }


def print_table(result: Result) -> None:
    job, options = result.job, result.options
    title = f'{job.network}, {job.size} px, {options.precision}'
    print(f'{title:28} {"images/s":>9} {"CPU s / 1,000":>14} {"peak MB":>8} {"pupil / it":>11}')
    for title, names in (('', OURS), ('peers', result.peers), ('anchors', result.anchors)):
        if title and names:
            print(title)
        for name in names:
            one = result.measured[name]
            cpu_seconds = '-' if one.cpu_seconds is None else f'{one.cpu_seconds:.2f}'
            peak = '-' if one.peak_mb is None else f'{one.peak_mb:,.0f}'
            ratio = f'{result.measured["pupil"].rate / one.rate:.3f}' if name not in OURS else ''
            print(f'  {name:26} {one.rate:9,.1f} {cpu_seconds:>14} {peak:>8} {ratio:>11}')
    print(f'{"bound":28} {result.bound:9,.1f} {"":>14} {"":>8} {result.measured["pupil"].rate / result.bound:11.3f}')
    if job.odd:
        rate, without = result.measured[ODD].rate, result.measured['pupil'].rate
        among = f'With {len(job.odd):,} odd files among {len(job.images):,} pictures'
        print(f'{among} pupil scored {rate:,.1f} images/s, {rate / without:.3f} of what it did without.')
    if result.outside is not None:
        print(f'Of the CPU time of pupil {result.outside:.1%} went neither into its decoder nor into its network.')


def say(what: str) -> None:
    if sys.stderr.isatty():
        print(f'\r{what:78}\r', end='', file=sys.stderr, flush=True)


if __name__ == '__main__':
    main()
