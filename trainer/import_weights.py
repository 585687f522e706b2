"""
Turns a checkpoint from elsewhere into a model file: safe to open, of the right network, its outputs matched to the
classes by name.
"""

import argparse
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args

import numpy as np
import safetensors
import torch
from torch import Tensor, nn

from . import events
from .class_names import output_order
from .classifier import Classifier
from .errors import Failure, is_out_of_memory
from .foreign_names import AVERAGED_FRONTS, fronts_of, is_companion, to_our_names
from .imagenet import IMAGENET_MEAN, IMAGENET_STD
from .memory_limit import limited_memory
from .model_file import save_model
from .models import build_network
from .models.cifar_resnet import CifarResNet, padding_shortcuts
from .tasks import Architecture, ImportTask, ModelName

# Under which keys of a checkpoint the weights lie. Where it has moving averages of them, too, its makers tested with
# those.
AVERAGED = ('state_dict_ema', 'model_ema', 'ema_state_dict', 'ema_model')
PLAIN = ('state_dict', 'model_state_dict', 'model', 'net', 'network')

# Plain values that training programs keep beside the weights: their options, and accuracies that numpy computed.
HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ('float16', 'float32', 'float64', 'int32', 'int64', 'bool')),
    *((np.float64(0).__reduce__()[0], f'{module}.multiarray.scalar') for module in ('numpy.core', 'numpy._core')),
]

# Integers, float8 and the like stand for weights only together with scales; complex numbers would lose half of
# themselves.
PLAIN_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)

DIFFERENCES_SHOWN = 5
# Names of a second network of a training, of another kind than the one that was asked for.
OTHER_NETWORKS = {'teacher', 'student'}
# Compressing weights saves a few per cent; a file of zeros is small whatever it unpacks to.
LEAST_INSIDE, MOST_INFLATION = 256_000_000, 20


def import_weights(task: ImportTask) -> dict[str, Any]:
    """The `import` task. Raises Failure('model') for whatever is wrong with the file."""
    try:
        size = task.file.stat().st_size
    except OSError as error:
        raise Failure(
            'model', f'{task.file} cannot be read as a checkpoint: {error.strerror}. Fetch it again.'
        ) from error
    with limited_memory(task.file, size):
        return import_within_limits(task)


def import_within_limits(task: ImportTask) -> dict[str, Any]:
    weights, metadata = read_checkpoint(task.file)
    if any('block1.layer.0.' in name for name in weights):
        events.note(
            f'{task.file} is taken for a wide ResNet with ReLU, as in its paper. Nets for semi-supervised learning '
            'bear the same names, '
            'and some of those have leaky ReLUs: compare its accuracy on validation with the one you know.'
        )
    try:
        mean, std = (
            told or (json.loads(metadata[key]) if key in metadata else imagenet)
            for key, told, imagenet in (('mean', task.mean, IMAGENET_MEAN), ('std', task.std, IMAGENET_STD))
        )
        file_classes = (
            task.file_classes
            if 'classes' not in metadata or task.file_classes is not None
            else json.loads(metadata['classes'])
        )
        if file_classes is not None and not all(isinstance(name, str) for name in file_classes):
            raise ValueError('classes that are no names')
        classifier = Classifier(task.architecture, mean, std)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise Failure('model', f'The metadata of {task.file} cannot be understood: {error!r}.') from error
    if 'mean' not in metadata and task.mean is None:
        events.note(
            f"{task.file} does not say how its pictures were normalised: taking ImageNet's mean and deviation. "
            'Set teacher.mean and teacher.std where it was trained with others.'
        )

    network = classifier.net
    given = to_our_names(network_in(weights, network, task.file))
    if isinstance(network, CifarResNet) and lacks_shortcuts(given):
        events.note(
            f'{task.file} has no weights for its shortcuts: they pad with zeros on both sides, as in the original '
            'paper.'
        )
    weights = completed(given, network)
    differences = differences_of(weights, network)
    if differences:
        more = len(differences) - DIFFERENCES_SHOWN
        shown = '; '.join(differences[:DIFFERENCES_SHOWN]) + (f', and {more} more differences' if more > 0 else '')
        raise Failure(
            'model',
            f'{task.file} does not fit a {named(task.architecture)}: {shown}. {advice(given, task.architecture)}',
        )
    strange = [
        (name, weights[name].dtype)
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point() and weights[name].dtype not in PLAIN_FLOATS
    ]
    if strange:
        name, dtype = strange[0]
        raise Failure(
            'model',
            f'{task.file} holds {name} as {str(dtype).removeprefix("torch.")}, which means nothing without its scale. '
            'Save the weights as float32, float16 or bfloat16.',
        )
    order = output_order(task.file, len(weights['fc.weight']), file_classes, task.architecture.classes)
    for name in ('fc.weight', 'fc.bias'):
        if name in weights:
            weights[name] = weights[name][order]
    weights = {name: weights[name].to(tensor.dtype) for name, tensor in network.state_dict().items()}
    broken = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if broken:
        raise Failure(
            'model',
            f'{task.file} holds NaN or infinity in {", ".join(broken[:5])}. Take a checkpoint from before that.',
        )
    save_model(task.output, classifier, weights)
    return {'parameters': sum(parameter.numel() for parameter in network.parameters())}


# ---------------------------------------------------------------- the file


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """
    Names and tensors of a .safetensors, .pt or .pth file, and its metadata (empty for the latter two). Runs no code
    from the file.
    """
    try:
        if path.suffix.lower() == '.safetensors':
            with safetensors.safe_open(path, 'pt') as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
        check_inflation(path)
        with torch.serialization.safe_globals(HARMLESS):
            content = torch.load(path, map_location='cpu', weights_only=True)
    except Failure:
        raise
    except pickle.UnpicklingError as error:
        code = re.search(r'GLOBAL (\S+)', str(error))
        found = f' ({code[1]})' if code else ''
        raise Failure(
            'model',
            f'{path} is no PyTorch checkpoint, or holds Python code, which is never run{found}: expected a state dict. '
            "Where it came from, save the weights alone: torch.save(model.state_dict(), 'weights.pt').",
        ) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # Damaged files make the readers raise nearly anything.
        reason = (str(error) or repr(error)).splitlines()[0]
        raise Failure(
            'model', f'{path} cannot be read as a checkpoint: {reason}. Fetch it again; expected a whole file.'
        ) from error
    return state_dict_in(path, content), {}


def check_inflation(path: Path) -> None:
    """Raises Failure('model') for an archive whose parts are far larger than itself: torch.save compresses nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        inside = sum(part.file_size for part in archive.infolist())
    size = path.stat().st_size
    if inside > LEAST_INSIDE + MOST_INFLATION * size:
        raise Failure(
            'model',
            f'{path} holds {size / 1e6:.1f} MB, which unpack to {inside / 1e6:.0f} MB: no checkpoint does. '
            'Fetch it again; expected what torch.save wrote.',
        )


def state_dict_in(path: Path, content: Any) -> dict[str, Tensor]:
    """The names and tensors somewhere in a checkpoint; those of several networks under the name of each."""
    keys: list[str] = []
    while isinstance(content, dict):
        key = next((key for key in (*AVERAGED, *PLAIN) if isinstance(content.get(key), dict)), None)
        if key is None:
            break
        if key in AVERAGED:
            events.note(f'{path} has moving averages of its weights, too: taking those ({key}).')
        content, keys = content[key], [*keys, key]
    named: dict[Any, Any] = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        if (
            isinstance(value, dict)
            and value
            and all(isinstance(inner, str) and isinstance(tensor, Tensor) for inner, tensor in value.items())
        ):
            named |= {f'{name}.{inner}': tensor for inner, tensor in value.items()}
        # What a program notes beside them, such as its epoch: no weight is a plain number or a text.
        elif not isinstance(value, (int, float, str, NoneType)) and not is_state_of_training(name):
            named[name] = value
    if not named or not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in named.items()):
        where = f' under {".".join(keys)}' if keys else ''
        strange = next(
            (
                f' ({name!r} is a {type(value).__name__})'
                for name, value in named.items()
                if not isinstance(value, Tensor)
            ),
            '',
        )
        known = ', '.join((*PLAIN, *AVERAGED))
        raise Failure(
            'model',
            f'{path} holds no state dict{where}{strange}: expected names and tensors, alone or under one of {known}.',
        )
    empty = [
        name for name, value in named.items() if value.layout != torch.strided or value.is_meta or value.is_quantized
    ]
    if empty:
        raise Failure(
            'model',
            f'{path} holds {empty[0]} without plain values (sparse, quantised or on no device). Save it as plain '
            'tensors.',
        )
    return named


def is_state_of_training(name: Any) -> bool:
    """Whether an entry beside the weights is the optimizer's, the schedule's or the like, by its name."""
    words = (
        'optim',
        'sched',
        'scaler',
        'rng',
        'callback',
        'loops',
        'hyper_param',
        'hparams',
        'args',
        'config',
        '_extra_state',
    )
    return (
        isinstance(name, str)
        and '.' not in name.removesuffix('._extra_state')
        and any(word in name.lower() for word in words)
    )


# ---------------------------------------------------------------- the network


def network_in(weights: Mapping[str, Tensor], network: nn.Module, path: Path) -> Mapping[str, Tensor]:
    """
    Of all that lies in a state dict the weights of `network`: without the known companions of a training, and of
    several networks the only one that fits, or its moving averages. All of it where nothing fits, so that the
    differences are told. Raises Failure('model') where it is not clear which network is meant, or something lies beside
    it that nobody knows.
    """
    companions = [name for name in weights if is_companion(name)]
    rest = {name: tensor for name, tensor in weights.items() if name not in set(companions)}
    fitting: dict[str, dict[str, Tensor]] = {}
    for front in fronts_of(rest):
        part = {name.removeprefix(front): tensor for name, tensor in rest.items() if name.startswith(front)}
        is_inside_another = any(front.startswith(other) and len(part) == len(fitting[other]) for other in fitting)
        if not is_inside_another and fits(to_our_names(part), network):
            fitting[front] = part
    if not fitting:
        return rest or weights
    fronts = list(fitting)
    averaged = [front for front in fronts if AVERAGED_FRONTS.search(front.split('.')[0])]
    if len(fronts) > 1 and len(averaged) != 1:
        shown = ', '.join(front.removesuffix('.') for front in fronts)
        raise Failure(
            'model',
            f'{path} holds several networks that fit: {shown}. Save the one that is meant alone: '
            'torch.save(model.state_dict(), ...).',
        )
    taken = averaged[0] if len(fronts) > 1 else fronts[0]
    unknown = [name for name in rest if not name.startswith(tuple(fronts))]
    others = {name.partition('.')[0] for name in unknown}
    if unknown and not (taken and others <= OTHER_NETWORKS):
        shown = ', '.join(unknown[:DIFFERENCES_SHOWN]) + (' ...' if len(unknown) > DIFFERENCES_SHOWN else '')
        raise Failure(
            'model',
            f'{path} holds {shown} beside the network, which is unexpected. Save the network alone: '
            'torch.save(model.state_dict(), ...).',
        )
    if len(fronts) > 1:
        events.note(f'{path} has moving averages of its weights, too: taking those ({taken.removesuffix(".")}).')
    if companions or unknown:
        left = [*companions, *unknown]
        events.note(
            f'{path} holds {len(left)} values beside the network {taken.removesuffix(".")}'.rstrip()
            + f', such as {left[0]}: left out.'
        )
    return fitting[taken]


def fits(weights: Mapping[str, Tensor], network: nn.Module) -> bool:
    return not differences_of(completed(weights, network), network)


def completed(weights: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The weights, with what a checkpoint may leave out of `network`."""
    # Checkpoints older than PyTorch 0.4.1 lack these counters, which nothing here reads.
    counters = {name: tensor for name, tensor in network.state_dict().items() if name.endswith('.num_batches_tracked')}
    shortcuts = padding_shortcuts() if isinstance(network, CifarResNet) and lacks_shortcuts(weights) else {}
    return {**counters, **shortcuts, **weights}


def lacks_shortcuts(weights: Mapping[str, Tensor]) -> bool:
    return not any('.downsample.' in name for name in weights)


def differences_of(weights: Mapping[str, Tensor], network: nn.Module) -> list[str]:
    """How the weights differ from those of `network`, other than in the number of outputs."""
    wanted = network.state_dict()
    differences = [f'{name} is missing' for name in wanted if name not in weights]
    differences += [f'{name} is unexpected' for name in weights if name not in wanted]
    for name, tensor in wanted.items():
        found = weights.get(name, tensor).shape
        first = 1 if name.startswith('fc.') else 0
        if found[first:] != tensor.shape[first:] or len(found) != tensor.ndim:
            differences.append(f'{name} has the shape {list(found)} instead of {list(tensor.shape)}')
    return differences


def advice(weights: Mapping[str, Tensor], asked: Architecture) -> str:
    """What to set where the weights are of another network that we have."""
    stems: tuple[Literal['small', 'imagenet'], ...] = ('small', 'imagenet')
    others = [replace(asked, name=name, stem=stem) for name in get_args(ModelName) for stem in stems]
    with torch.device('meta'):
        fitting = [
            other
            for other in others
            if not differences_of(completed(weights, network := build_network(other)), network)
        ]
    if not fitting:
        return 'It fits none of the networks that teacher.model can name.'
    found = fitting[0]
    if any(other.stem == asked.stem for other in fitting):
        return f'It fits a {found.name}: set teacher.model to that.'
    size = 'to 64 or less' if found.stem == 'small' else 'above 64'
    return f'It fits a {named(found)}: set teacher.model to that, and image.size {size}.'


def named(architecture: Architecture) -> str:
    return f'{architecture.name} with the {architecture.stem} stem'
