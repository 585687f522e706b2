"""Renames what other code bases call the parameters of our networks; names only, whatever they stand for."""

import re
from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar('Value')

# A pattern, and our name for what it matches. Applied in this order; what no pattern knows stays as it is. torchvision's and timm's
# ResNets and ResNeXts, chenyaofo/pytorch-cifar-models and bearpaw/pytorch-classification have our names already.
RULES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        # weiaicunzai/pytorch-cifar100: a stem and blocks that are sequences, so that their parts have numbers.
        (r'^conv1\.0\.', 'conv1.'),
        (r'^conv1\.1\.', 'bn1.'),
        *((rf'^conv{index + 1}_x\.', f'layer{index}.') for index in range(1, 5)),
        *(
            (rf'\.residual_function\.{number}\.', f'.{ours}.')
            for number, ours in ((0, 'conv1'), (1, 'bn1'), (3, 'conv2'), (4, 'bn2'), (6, 'conv3'), (7, 'bn3'))
        ),
        # The same, kuangliu/pytorch-cifar, and akamaster/pytorch_resnet_cifar10 with its option B.
        (r'\.shortcut\.([01])\.', r'.downsample.\1.'),
        # xternalz/WideResNet-pytorch, and what came of it.
        (r'^block([1-3])\.layer\.', r'layer\1.'),
        (r'\.convShortcut\.', '.downsample.'),
        # Everybody's name for the last layer.
        (r'^(linear|classifier|last_linear|head)\.', 'fc.'),
    )
)


def to_our_names(weights: Mapping[str, Value]) -> dict[str, Value]:
    """The same values under our names. Where two of them would get the same name, all keep those they have."""
    inner = without_shared_front(weights)
    renamed = {_rename(name): value for name, value in inner.items()}
    return renamed if len(renamed) == len(inner) else inner


def without_shared_front(weights: Mapping[str, Value]) -> dict[str, Value]:
    """Drops what all names begin with: `module.` of DistributedDataParallel, `model.` of Lightning, `_orig_mod.` of torch.compile."""
    inner = dict(weights)
    while inner and len({name.partition('.')[0] for name in inner}) == 1 and all('.' in name for name in inner):
        inner = {name.partition('.')[2]: value for name, value in inner.items()}
    return inner


def _rename(name: str) -> str:
    for pattern, ours in RULES:
        name = pattern.sub(ours, name)
    return name
