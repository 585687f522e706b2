"""What each task of the trainer is told. Written by scripts/protocol.mjs from src/children/protocol/."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from .kinds import (
    AboveZero,
    BelowOne,
    Channels,
    Classes,
    Count,
    Deviations,
    Device,
    Fraction,
    NonNegative,
    Positive,
    Protocol,
    Text,
    at_least,
    between,
)

ModelName = Literal[
    'cifarnet',
    'resnet18',
    'resnet34',
    'resnet50',
    'resnet101',
    'resnet152',
    'resnext50_32x4d',
    'resnext101_32x4d',
    'resnext101_32x8d',
    'resnext101_32x16d',
    'resnext101_32x32d',
    'resnext101_32x48d',
    'wrn-28-2',
    'wrn-28-8',
    'wrn-28-10',
    'resnet20',
    'resnet32',
    'resnet44',
    'resnet56',
    'resnet110',
]


@dataclass(frozen=True)
class Architecture:
    name: ModelName
    stem: Literal['small', 'imagenet']
    size: Positive
    resize: Positive
    classes: Classes


@dataclass(frozen=True)
class Augment:
    flip: bool
    crop: Literal['none', 'shift', 'resized']
    pad: Count
    min_area: Fraction
    policy: Literal['none', 'trivial', 'rand']
    strength: Annotated[float, between(0, 30)]
    cutout: Fraction
    mix: Literal['none', 'mixup', 'cutmix']
    mix_alpha: AboveZero


@dataclass(frozen=True)
class NamedModel:
    name: str
    model: Path
    temperature: AboveZero


@dataclass(frozen=True)
class TrainTask:
    protocol: Protocol
    device: Device
    threads: Positive
    seed: Count
    task: Literal['train']
    fingerprint: Text
    architecture: Architecture
    train_pack: Path
    targets: Literal['hard', 'soft']
    temperature: AboveZero
    rest: Literal['spread', 'drop']
    balanced: bool
    labelled_pack: Path | None
    labelled_share: BelowOne
    validation_pack: Path
    init: Path | None
    epochs: Positive
    evaluations: Positive
    batch_size: Positive | None
    learning_rate: AboveZero
    warmup: Fraction
    schedule: Literal['cosine', 'linear']
    momentum: Fraction
    weight_decay: NonNegative
    label_smoothing: Fraction
    precision: Literal['auto', 'fp32', 'bf16']
    augment: Augment
    ema: BelowOne
    compile: bool
    checkpoint: Path
    checkpoint_minutes: AboveZero
    tensorboard: Path | None
    output: Path


@dataclass(frozen=True)
class ExportTask:
    protocol: Protocol
    device: Device
    threads: Positive
    seed: Count
    task: Literal['export']
    model: Path
    temperature: AboveZero | None
    kept: Positive
    batch_size: Positive
    validation_pack: Path
    output: Path
    reference: Path


@dataclass(frozen=True)
class EvaluateTask:
    protocol: Protocol
    device: Device
    threads: Positive
    seed: Count
    task: Literal['evaluate']
    models: Annotated[tuple[NamedModel, ...], at_least(1)]
    pack: Path
    batch_size: Positive
    flip: bool


@dataclass(frozen=True)
class ImportTask:
    protocol: Protocol
    device: Device
    threads: Positive
    seed: Count
    task: Literal['import']
    file: Path
    architecture: Architecture
    file_classes: tuple[str, ...] | None
    mean: Channels | None
    std: Deviations | None
    output: Path


@dataclass(frozen=True)
class WrapTask:
    protocol: Protocol
    device: Device
    threads: Positive
    seed: Count
    task: Literal['wrap']
    file: Path
    size: Positive
    resize: Positive
    classes: Classes
    file_classes: tuple[str, ...] | None
    mean: Channels | None
    std: Deviations | None
    input: Literal['auto', 'uint8_nhwc', 'uint8_nchw', 'float_nhwc', 'float_nchw']
    answer: Literal['auto', 'logits', 'probabilities', 'log_probabilities']
    temperature: AboveZero
    kept: Positive
    output: Path


@dataclass(frozen=True)
class QuantiseTask:
    protocol: Protocol
    device: Device
    task: Literal['quantise']
    model: Path
    precision: Literal['int8', 'fp16']
    ends_in_float: bool
    classes: Classes
    calibration_pack: Path
    output: Path


@dataclass(frozen=True)
class SpeedTask:
    protocol: Protocol
    device: Device
    threads: Positive
    seed: Count
    task: Literal['speed']
    architecture: Architecture
    batch_size: Positive | None
    precision: Literal['auto', 'fp32', 'bf16']


@dataclass(frozen=True)
class ProbeTask:
    protocol: Protocol
    task: Literal['probe']
    device: str


Task = TrainTask | ExportTask | EvaluateTask | ImportTask | WrapTask | QuantiseTask | SpeedTask | ProbeTask
TASKS: dict[str, type] = {
    'train': TrainTask,
    'export': ExportTask,
    'evaluate': EvaluateTask,
    'import': ImportTask,
    'wrap': WrapTask,
    'quantise': QuantiseTask,
    'speed': SpeedTask,
    'probe': ProbeTask,
}
