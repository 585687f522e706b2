"""
Turns a config file into a typed task, refusing whatever is unknown, missing or of the wrong kind; it knows no defaults.
"""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from .errors import Failure
from .kinds import Rule
from .tasks import TASKS, ImportTask, SpeedTask, Task, TrainTask


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
