"""Matches the outputs of a teacher from elsewhere to the classes of the labelled pictures: by name, never by number."""

from collections.abc import Sequence
from pathlib import Path

from .errors import Failure

NAMES_SHOWN = 10


def output_order(path: Path, outputs: int, names: Sequence[str] | None, classes: Sequence[str]) -> list[int]:
    """
    For each of `classes` the output of the file at `path` that stands for it. `names` are the file's own, in its order.
    Raises Failure('model') where they are not known, do not fit the outputs, or are not those of the labels.
    """
    if names is None:
        raise Failure(
            'model',
            f'{path} does not name the classes of its {outputs} outputs; the labelled pictures have {len(classes)} '
            'classes. '
            'Name them, in its order, with the key teacher.classes.',
        )
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if list(names).count(name) > 1})
        raise Failure(
            'model', f'The class names of {path} repeat themselves: {_listed(repeated)}. Mend teacher.classes.'
        )
    missing = [name for name in classes if name not in set(names)]
    extra = [name for name in names if name not in set(classes)]
    if missing or extra:
        lists = (('missing', missing), ('not among the labels', extra))
        parts = [f'{len(some)} {word} ({_listed(some)})' for word, some in lists if some]
        raise Failure(
            'model',
            f'The classes of {path} are not those of the labelled pictures: {"; ".join(parts)}. '
            'A teacher must have exactly their classes, under the same names and in any order.',
        )
    if len(names) != outputs:
        raise Failure(
            'model',
            f'{path} has {outputs} outputs, but names for {len(names)} of them. Name each with teacher.classes.',
        )
    position = {name: output for output, name in enumerate(names)}
    return [position[name] for name in classes]


def _listed(names: Sequence[str]) -> str:
    more = f' and {len(names) - NAMES_SHOWN} more' if len(names) > NAMES_SHOWN else ''
    return ', '.join(names[:NAMES_SHOWN]) + more
