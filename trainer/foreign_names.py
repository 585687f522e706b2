"""Renames what other code bases call the parameters of our networks; names only, whatever they stand for."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

Value = TypeVar('Value')
# `module.model.` and the like have no more.
FRONT_PARTS = 3

# A pattern, and our name for what it matches. Applied in this order; what no pattern knows stays as it is.
# torchvision's and timm's ResNets and ResNeXts, chenyaofo/pytorch-cifar-models and bearpaw/pytorch-classification have
# our names already.
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


# What training programs keep among a network's weights that is none of them: weights of a loss, states of a metric
# (torchmetrics'), how many weights were averaged.
COMPANIONS = re.compile(
    r"""(^|\.)(
        (\w*_)?(criterion|criteria|loss|loss_fn|loss_func|loss_function|loss_fct|lossfn)(_\w+)?\..+
        | (\w*_)?(metrics?|acc|acc1|acc5|accuracy|top1|top5|f1|f1_score|precision|recall|auroc|auc|confusion|confmat)
          (_\w+)?
          \.(.+\.)?(confmat|tp|fp|tn|fn|correct|total|sum_value|mean_value|value|weight|preds|target|measures|\w+_count)
        | n_averaged
    )$""",
    re.VERBOSE,
)
# Fronts under which moving averages of the same weights lie. Makers who keep them test with them.
AVERAGED_FRONTS = re.compile(r'(^|_)(ema|averaged|avg|swa)(_|$)')


def is_companion(name: str) -> bool:
    return COMPANIONS.search(name) is not None


def fronts_of(names: Iterable[str]) -> list[str]:
    """All that a name begins with up to one of its dots, and nothing; the shortest first."""
    fronts = {''}
    for name in names:
        parts = name.split('.')
        fronts |= {'.'.join(parts[:count]) + '.' for count in range(1, min(len(parts), FRONT_PARTS + 1))}
    return sorted(fronts, key=lambda front: (front.count('.'), front))


def to_our_names(weights: Mapping[str, Value]) -> dict[str, Value]:
    """The same values under our names. Where two of them would get the same name, all keep those they have."""
    inner = without_shared_front(weights)
    renamed = {_rename(name): value for name, value in inner.items()}
    return renamed if len(renamed) == len(inner) else inner


def without_shared_front(weights: Mapping[str, Value]) -> dict[str, Value]:
    """
    Drops what all names begin with: `module.` of DistributedDataParallel, `model.` of Lightning, `_orig_mod.` of
    torch.compile.
    """
    inner = dict(weights)
    while inner and len({name.partition('.')[0] for name in inner}) == 1 and all('.' in name for name in inner):
        inner = {name.partition('.')[2]: value for name, value in inner.items()}
    return inner


def _rename(name: str) -> str:
    for pattern, ours in RULES:
        name = pattern.sub(ours, name)
    return name
