"""Saves and restores a training run: everything without which the next step would differ."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from . import events, fail_point
from .errors import is_out_of_memory
from .publish import publish


def save(path: Path, state: dict[str, Any]) -> None:
    """
    Replaces the checkpoint at `path` by `state` (tensors and plain values); a kill or a full disk leaves the older one
    whole.
    """
    fail_point.passed('trainer.checkpoint.before')
    publish(path, lambda file: torch.save(state, file))
    fail_point.passed('trainer.checkpoint.after')


def load(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """
    The state saved at `path`, its tensors on the CPU, where it carries `fingerprint`; else None, and a note tells why.
    Checksums are compared, and nothing but tensors and plain values is unpickled.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f'{damaged} does not match its checksum')
        state = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        # Damaged files make the readers raise nearly anything.
        if is_out_of_memory(error):
            raise
        reason = (str(error) or repr(error)).splitlines()[0]
        events.note(f'The checkpoint {path} is damaged ({reason}); training starts again from the first epoch.')
        return None
    if not isinstance(state, dict) or state.get('fingerprint') != fingerprint:
        events.note(
            f'The checkpoint {path} belongs to other settings or data; training starts again from the first epoch.'
        )
        return None
    return state
