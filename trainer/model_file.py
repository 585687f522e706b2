"""Reads and writes model files: safetensors weights, with all that is needed to use them in the metadata."""

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from .classifier import Classifier
from .errors import Failure
from .publish import publish
from .tasks import Architecture


def save_model(path: Path, classifier: Classifier, weights: Mapping[str, Tensor]) -> None:
    """
    Publishes `weights` (a state dict of `classifier.net`) with the classifier's metadata. Equal weights make equal
    bytes.
    """
    architecture = classifier.architecture
    metadata = {
        'model': architecture.name,
        'stem': architecture.stem,
        'size': str(architecture.size),
        'resize': str(architecture.resize),
        'classes': json.dumps(architecture.classes, ensure_ascii=False),
        'mean': json.dumps(classifier.mean),
        'std': json.dumps(classifier.std),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    publish(path, lambda file: file.write(_with_sorted_header(safetensors.torch.save(tensors, metadata))))


def load_model(path: Path) -> Classifier:
    """The classifier in a model file, on the CPU, in evaluation mode. Raises Failure('model')."""
    try:
        with safetensors.safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, safetensors.SafetensorError) as error:
        raise Failure(
            'model', f'The model {path} cannot be read: {error}. Run the stage that makes it again.'
        ) from error
    try:
        architecture = Architecture(
            name=metadata['model'],
            stem=metadata['stem'],
            size=int(metadata['size']),
            resize=int(metadata['resize']),
            classes=tuple(json.loads(metadata['classes'])),
        )
        classifier = Classifier(architecture, json.loads(metadata['mean']), json.loads(metadata['std']))
        classifier.net.load_state_dict(weights)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise Failure('model', f'The model {path} was not written by this trainer, or is damaged: {error}') from error
    return classifier.eval()


def _with_sorted_header(data: bytes) -> bytes:
    # safetensors writes metadata in the order of a randomly seeded hash map; sorted, the file is a function of its
    # content.
    length = int.from_bytes(data[:8], 'little')
    header = json.dumps(
        json.loads(data[8 : 8 + length]), sort_keys=True, separators=(',', ':'), ensure_ascii=False
    ).encode()
    header += b' ' * (-len(header) % 8)
    return len(header).to_bytes(8, 'little') + header + data[8 + length :]
