"""Turns a checkpoint from elsewhere into a model file: safe to open, of the right network, its outputs matched to the classes by name."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from . import events
from .classifier import Classifier
from .config import ImportTask
from .errors import Failure
from .model_file import save_model

# What torchvision's checkpoints, and most others, were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def import_weights(task: ImportTask) -> dict[str, Any]:
    """The `import` task. Raises Failure('model') for whatever is wrong with the file."""
    weights, metadata = read_checkpoint(task.file)
    try:
        mean, std = (
            given or (json.loads(metadata[key]) if key in metadata else imagenet)
            for key, given, imagenet in (('mean', task.mean, IMAGENET_MEAN), ('std', task.std, IMAGENET_STD))
        )
        file_classes = task.file_classes if 'classes' not in metadata or task.file_classes is not None else json.loads(metadata['classes'])
        classifier = Classifier(task.architecture, mean, std)
    except (KeyError, ValueError, TypeError) as error:
        raise Failure('model', f'The metadata of {task.file} cannot be understood: {error!r}.') from error
    if file_classes is None:
        raise Failure(
            'model', f'{task.file} does not name the classes of its outputs. Name them, in its order, with the key teacher.classes.'
        )

    if 'mean' not in metadata:
        events.note(f"{task.file} does not say how its pictures were normalised: taking ImageNet's mean and deviation.")

    wanted = classifier.net.state_dict()
    for name, tensor in wanted.items():
        # Checkpoints older than PyTorch 0.4.1 lack these counters, which nothing here reads.
        if name.endswith('.num_batches_tracked'):
            weights.setdefault(name, tensor)
    rows = output_order(task.file, file_classes, task.architecture.classes)
    for name in ('fc.weight', 'fc.bias'):
        if name in weights and name in wanted:
            if len(weights[name]) != len(file_classes):
                raise Failure('model', f'{task.file} has {len(weights[name])} outputs, but names for {len(file_classes)} of them.')
            weights[name] = weights[name][rows]
    differences = [f'{name} is missing' for name in wanted if name not in weights]
    differences += [f'{name} is unexpected' for name in weights if name not in wanted]
    differences += [
        f'{name} has the shape {list(weights[name].shape)} instead of {list(tensor.shape)}'
        for name, tensor in wanted.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if differences:
        more = f', and {len(differences) - 5} more differences' if len(differences) > 5 else ''
        network = f'{task.architecture.name} with the {task.architecture.stem} stem'
        raise Failure('model', f'{task.file} does not fit a {network}: {"; ".join(differences[:5])}{more}.')
    weights = {name: weights[name].to(tensor.dtype) for name, tensor in wanted.items()}
    broken = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if broken:
        raise Failure('model', f'{task.file} holds NaN or infinity in {", ".join(broken[:5])}.')
    save_model(task.output, classifier, weights)
    return {'parameters': sum(parameter.numel() for parameter in classifier.net.parameters())}


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Names and tensors of a .safetensors, .pt or .pth file, and its metadata (empty for the latter two). Runs no code from the file."""
    try:
        if path.suffix.lower() == '.safetensors':
            with safetensors.safe_open(path, 'pt') as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise Failure(
            'model', f'{path} is no PyTorch checkpoint, or holds Python code, which is never run: expected a state dict.'
        ) from error
    except Exception as error:
        # Damaged files make the readers raise nearly anything.
        raise Failure('model', f'{path} cannot be read as a checkpoint: {(str(error) or repr(error)).splitlines()[0]}') from error
    for key in ('state_dict', 'model'):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    named = isinstance(content, dict) and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    if not named or not content:
        raise Failure('model', f'{path} holds no state dict: expected names and tensors, alone or under the key state_dict or model.')
    # DistributedDataParallel puts this in front of every name.
    return {name.removeprefix('module.'): tensor for name, tensor in content.items()}, {}


def output_order(path: Path, found: Sequence[str], expected: Sequence[str]) -> list[int]:
    """For each expected class its row in the file's last layer. Raises where the names differ: outputs are never renumbered."""
    if len(set(found)) < len(found):
        repeated = sorted({name for name in found if list(found).count(name) > 1})
        raise Failure('model', f'The class names of {path} repeat themselves: {", ".join(repeated[:10])}.')
    missing = [name for name in expected if name not in set(found)]
    extra = [name for name in found if name not in set(expected)]
    if missing or extra:
        lists = (('missing', missing), ('not among the labels', extra))
        parts = [f'{len(names)} {word} ({", ".join(names[:10])})' for word, names in lists if names]
        raise Failure('model', f'The classes of {path} are not those of the labelled pictures: {"; ".join(parts)}.')
    position = {name: row for row, name in enumerate(found)}
    return [position[name] for name in expected]
