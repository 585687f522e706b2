"""
Turns a config file into a typed task, refusing whatever is unknown, missing or of the wrong kind; it knows no defaults.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from .errors import Failure

PROTOCOL = 1


@dataclass(frozen=True)
class Rule:
    """What a value must be beyond its type, in words and as a test."""

    words: str
    holds: Callable[[Any], object]


Count = Annotated[int, Rule('a whole number of 0 or more', lambda value: value >= 0)]
Positive = Annotated[int, Rule('a whole number of 1 or more', lambda value: value >= 1)]
Fraction = Annotated[float, Rule('a number from 0 to 1', lambda value: 0 <= value <= 1)]
NonNegative = Annotated[float, Rule('a number of 0 or more', lambda value: value >= 0)]
AboveZero = Annotated[float, Rule('a number above 0', lambda value: value > 0)]
BelowOne = Annotated[float, Rule('a number of 0 or more, below 1', lambda value: 0 <= value < 1)]
Text = Annotated[str, Rule('a text that is not empty', bool)]
Device = Annotated[str, Rule("'cpu' or 'cuda:N'", re.compile(r'cpu|cuda:\d+').fullmatch)]
Channels = Annotated[tuple[float, ...], Rule('a list of 3 numbers', lambda value: len(value) == 3)]
Deviations = Annotated[tuple[AboveZero, ...], Rule('a list of 3 numbers above 0', lambda value: len(value) == 3)]
Classes = Annotated[tuple[str, ...], Rule('a list of at least 2 class names', lambda value: len(value) >= 2)]
Protocol = Annotated[
    int, Rule(f'{PROTOCOL}, the only protocol that this trainer speaks', lambda value: value == PROTOCOL)
]


# The same list as modelNames in src/children/protocol.ts.
# fmt: off
ModelName = Literal[
    'cifarnet',
    'resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152',
    'resnext50_32x4d', 'resnext101_32x4d', 'resnext101_32x8d',
    'resnext101_32x16d', 'resnext101_32x32d', 'resnext101_32x48d',
    'wrn-28-2', 'wrn-28-8', 'wrn-28-10',
    'resnet20', 'resnet32', 'resnet44', 'resnet56', 'resnet110',
]
# fmt: on


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
    strength: Annotated[float, Rule('a number from 0 to 30', lambda value: 0 <= value <= 30)]
    cutout: Fraction
    mix: Literal['none', 'mixup', 'cutmix']
    mix_alpha: AboveZero


@dataclass(frozen=True)
class TrainTask:
    protocol: Protocol
    task: Literal['train']
    device: Device
    threads: Positive
    seed: Count
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
    ema: BelowOne
    augment: Augment
    compile: bool
    checkpoint: Path
    checkpoint_minutes: AboveZero
    tensorboard: Path | None
    output: Path


@dataclass(frozen=True)
class ExportTask:
    protocol: Protocol
    task: Literal['export']
    device: Device
    threads: Positive
    seed: Count
    model: Path
    temperature: AboveZero | None
    kept: Positive
    batch_size: Positive
    validation_pack: Path
    output: Path
    reference: Path


@dataclass(frozen=True)
class NamedModel:
    name: str
    model: Path
    temperature: AboveZero


@dataclass(frozen=True)
class EvaluateTask:
    protocol: Protocol
    task: Literal['evaluate']
    device: Device
    threads: Positive
    seed: Count
    models: Annotated[tuple[NamedModel, ...], Rule('a list of at least 1 model', bool)]
    pack: Path
    batch_size: Positive
    flip: bool


@dataclass(frozen=True)
class ImportTask:
    protocol: Protocol
    task: Literal['import']
    device: Device
    threads: Positive
    seed: Count
    file: Path
    architecture: Architecture
    file_classes: tuple[str, ...] | None
    mean: Channels | None
    std: Deviations | None
    output: Path


@dataclass(frozen=True)
class WrapTask:
    protocol: Protocol
    task: Literal['wrap']
    device: Device
    threads: Positive
    seed: Count
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
    task: Literal['quantise']
    device: Device
    model: Path
    precision: Literal['int8', 'fp16']
    ends_in_float: bool
    classes: Classes
    calibration_pack: Path
    output: Path


@dataclass(frozen=True)
class SpeedTask:
    protocol: Protocol
    task: Literal['speed']
    device: Device
    threads: Positive
    seed: Count
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


def read_message(path: Path) -> Any:
    """The JSON value in a config file. Raises Failure where there is none."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise Failure('config', f'The config file {path} cannot be read: {error.strerror}.') from error
    except (ValueError, RecursionError) as error:
        raise Failure('config', f'The config file {path} is not JSON: {error}.') from error


def parse_task(message: Any) -> Task:
    """The task that a config message asks for. Raises Failure naming every key that is wrong."""
    if not isinstance(message, dict):
        raise Failure('config', f'Expected a JSON object with a key task, found {_shown(message)}.')
    name = message.get('task')
    if not isinstance(name, str) or name not in TASKS:
        raise Failure('config', f'task: expected one of {", ".join(TASKS)}, found {_shown(name)}.')
    problems: list[str] = []
    task = _parse(TASKS[name], message, '', problems)
    if not problems:
        problems = _contradictions(task)
    if problems:
        raise Failure('config', '\n'.join(problems))
    return task


def _parse(kind: Any, value: Any, key: str, problems: list[str]) -> Any:
    """`value` as `kind`; what does not fit is told in `problems`, and the result is then of no use."""
    if is_dataclass(kind):
        return _parse_object(kind, value, key, problems)
    if get_origin(kind) in (Union, UnionType):
        if value is None:
            return None
        (kind,) = (option for option in get_args(kind) if option is not NoneType)
    rule: Rule | None = None
    if get_origin(kind) is Annotated:
        kind, rule = get_args(kind)
    found = len(problems)
    parsed = _parse_value(kind, value, key, problems, rule)
    if rule and len(problems) == found and not rule.holds(parsed):
        problems.append(f'{key}: expected {rule.words}, found {_shown(value)}')
    return parsed


def _parse_object(kind: Any, value: Any, key: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f'{key}: expected an object, found {_shown(value)}')
        return None
    prefix = f'{key}.' if key else ''
    kinds = get_type_hints(kind, include_extras=True)
    problems += [f'{prefix}{name}: unknown key' for name in value if name not in kinds]
    problems += [f'{prefix}{field.name}: missing key' for field in fields(kind) if field.name not in value]
    parsed = {
        name: _parse(kinds[name], item, f'{prefix}{name}', problems) for name, item in value.items() if name in kinds
    }
    return None if problems else kind(**parsed)


def _parse_value(kind: Any, value: Any, key: str, problems: list[str], rule: Rule | None) -> Any:
    def refuse(expected: str) -> None:
        problems.append(f'{key}: expected {rule.words if rule else expected}, found {_shown(value)}')

    if get_origin(kind) is Literal:
        options = get_args(kind)
        if not any(type(value) is type(option) and value == option for option in options):
            refuse(' or '.join(map(repr, options)))
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            return refuse('a list')
        return tuple(_parse(get_args(kind)[0], item, f'{key}.{index}', problems) for index, item in enumerate(value))
    if kind is bool:
        return value if isinstance(value, bool) else refuse('true or false')
    if kind is int:
        return value if isinstance(value, int) and not isinstance(value, bool) else refuse('a whole number')
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < float('inf'):
            return refuse('a number')
        return float(value)
    if not isinstance(value, str):
        return refuse('a text')
    if kind is Path:
        return Path(value) if value else refuse('a path')
    return value


def _contradictions(task: Task) -> list[str]:
    """What no single key shows: values that do not go together."""
    problems = []
    if isinstance(task, (TrainTask, ImportTask, SpeedTask)):
        size, resize = task.architecture.size, task.architecture.resize
        if resize < size:
            problems.append(f'architecture.resize: expected at least architecture.size ({size}), found {resize}')
        if task.architecture.name == 'cifarnet' and size < 16:
            problems.append(
                f'architecture.size: cifarnet halves a picture three times and needs 16 pixels or more, found {size}'
            )
    if not isinstance(task, TrainTask):
        return problems
    if task.augment.crop == 'shift' and task.augment.pad >= task.architecture.resize:
        problems.append(f'augment.pad: expected less than architecture.resize, found {task.augment.pad}')
    if task.augment.crop == 'resized' and task.augment.min_area == 0:
        problems.append('augment.min_area: expected a number above 0, found 0')
    if task.batch_size == 1:
        problems.append('batch_size: batch normalisation needs 2 images or more, found 1')
    if (task.labelled_pack is None) != (task.labelled_share == 0):
        problems.append('labelled_share: expected above 0 with a labelled_pack, and 0 without one')
    return problems


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + '...'
