"""
Which of the processes of one training this is, as launch.py tells it through the environment: known before torch is
imported.
"""

import os


def is_one_of_several() -> bool:
    return 'WORLD_SIZE' in os.environ


def rank() -> int:
    """From 0; the first process writes files and events. A process alone is the first."""
    return int(os.environ['RANK']) if is_one_of_several() else 0


def count() -> int:
    """Processes on all hosts."""
    return int(os.environ['WORLD_SIZE']) if is_one_of_several() else 1


def local_rank() -> int:
    """The number of the process on its host."""
    return int(os.environ['LOCAL_RANK']) if is_one_of_several() else 0


def local_count() -> int:
    return int(os.environ['LOCAL_WORLD_SIZE']) if is_one_of_several() else 1
