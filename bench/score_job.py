"""
Prepares what all contenders of bench:score have alike: the network's files, pupil's layout on this machine, the
pictures of a round.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from itertools import cycle, islice
from math import lcm
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from torch import nn

from bench.pictures import write_arrays
from bench.pool import Job, decoded_batches, write_job
from bench.progress import say
from bench.score_measured import measure
from bench.sources import Source, odd_files
from bench.watch import ROOT
from trainer.classifier import Classifier
from trainer.export import Ranker, onnx_bytes
from trainer.imagenet import IMAGENET_MEAN, IMAGENET_STD
from trainer.kinds import PROTOCOL
from trainer.model_file import save_model
from trainer.quantise import moved, quantise
from trainer.tasks import Architecture, QuantiseTask

# Of all contenders.
BATCH_SIZES = {'cpu': 32, 'cuda': 256}
# Of one of pupil's shards, and the classes that it keeps of an image: the defaults of src/config/schema.ts.
SHARD_IMAGES, KEPT = 4096, 10
# As many as src/stages/score.ts takes.
TRIAL_IMAGES = 512
# Random weights have little to lose by few.
CALIBRATION_IMAGES = 64


def prepare(options: argparse.Namespace, source: Source, device: str, folder: Path) -> Job:
    job = with_round(with_layout(with_models(options, source, device, folder), source), source, options.seconds)
    return replace(job, odd=list(odd_files(options.odd)) if options.odd else [])


def ours(part: str) -> list[str]:
    return ['node', 'bench/score-ours.mjs', part]


def with_models(options: argparse.Namespace, source: Source, device: str, folder: Path) -> Job:
    """The job without pictures; writes its models."""
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
    quantise(
        QuantiseTask(
            protocol=PROTOCOL,
            device='cpu',
            task='quantise',
            model=Path(job.model),
            precision=precision,
            ends_in_float=False,
            classes=tuple(job.classes),
            calibration_pack=pack,
            output=output,
        )
    )
    return str(output)


def for_anchor(file: str) -> str:
    """
    The same network as OpenVINO has kernels for it: weights that were moved for onnxruntime's sake are moved back.
    """
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
    first = replace(job, images=list(islice(source.images(), TRIAL_IMAGES)))
    found = subprocess.run([*ours('layout'), write_job(first)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return replace(job, layout=json.loads(found.stdout))


def with_round(job: Job, source: Source, seconds: float) -> Job:
    """
    The job with so many pictures that the slower of decoder and network takes `seconds` for them, a shard at most: all
    contenders then do the same work, however fast they are.
    """
    say('a first look ...')
    first = replace(job, images=list(islice(source.images(), job.batch_size)))
    rate = min(measure(ours(part), first, min(2, seconds)).rate for part in ('decode', 'model'))
    whole = lcm(job.batch_size, job.layout['batch_size'])
    images = whole * max(1, round(min(SHARD_IMAGES, rate * seconds) / whole))
    distinct = list(islice(source.images(), images))
    return replace(job, images=list(islice(cycle(distinct), images)))
