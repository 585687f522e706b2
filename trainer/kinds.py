"""The kinds of values that a task is told: their types, and what a value must be beyond its type."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

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


def between(least: float, most: float) -> Rule:
    """For a number."""
    return Rule(f'a number from {least:g} to {most:g}', lambda value: least <= value <= most)


def at_least(count: int) -> Rule:
    """For a list."""
    return Rule(f'a list of at least {count}', lambda value: len(value) >= count)
