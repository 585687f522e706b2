"""One line on the terminal that says what is being measured."""

import sys


def say(what: str) -> None:
    if sys.stderr.isatty():
        print(f'\r{what:78}\r', end='', file=sys.stderr, flush=True)
