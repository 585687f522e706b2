"""The networks by name: what a config may ask for, and how each is built."""

from collections.abc import Callable
from functools import partial

from torch import nn

from ..tasks import Architecture, ModelName
from .cifar_resnet import CifarResNet
from .cifarnet import CifarNet
from .resnet import BasicBlock, Bottleneck, ResNet
from .wide_resnet import WideResNet

# Of the stems only ResNets and ResNeXts have a choice: the nets for small pictures have their own.
NETWORKS: dict[ModelName, Callable[[str, int], nn.Module]] = {
    'cifarnet': lambda _, classes: CifarNet(classes),
    'resnet18': partial(ResNet, BasicBlock, (2, 2, 2, 2)),
    'resnet34': partial(ResNet, BasicBlock, (3, 4, 6, 3)),
    'resnet50': partial(ResNet, Bottleneck, (3, 4, 6, 3)),
    'resnet101': partial(ResNet, Bottleneck, (3, 4, 23, 3)),
    'resnet152': partial(ResNet, Bottleneck, (3, 8, 36, 3)),
    'resnext50_32x4d': partial(ResNet, Bottleneck, (3, 4, 6, 3), groups=32, group_width=4),
    'resnext101_32x4d': partial(ResNet, Bottleneck, (3, 4, 23, 3), groups=32, group_width=4),
    'resnext101_32x8d': partial(ResNet, Bottleneck, (3, 4, 23, 3), groups=32, group_width=8),
    'resnext101_32x16d': partial(ResNet, Bottleneck, (3, 4, 23, 3), groups=32, group_width=16),
    'resnext101_32x32d': partial(ResNet, Bottleneck, (3, 4, 23, 3), groups=32, group_width=32),
    'resnext101_32x48d': partial(ResNet, Bottleneck, (3, 4, 23, 3), groups=32, group_width=48),
    'wrn-28-2': lambda _, classes: WideResNet(28, 2, classes),
    'wrn-28-8': lambda _, classes: WideResNet(28, 8, classes),
    'wrn-28-10': lambda _, classes: WideResNet(28, 10, classes),
    'resnet20': lambda _, classes: CifarResNet(20, classes),
    'resnet32': lambda _, classes: CifarResNet(32, classes),
    'resnet44': lambda _, classes: CifarResNet(44, classes),
    'resnet56': lambda _, classes: CifarResNet(56, classes),
    'resnet110': lambda _, classes: CifarResNet(110, classes),
}


def build_network(architecture: Architecture) -> nn.Module:
    """
    The network with fresh weights from torch's global generator: normalised float [batch, 3, size, size] in, logits
    out.
    """
    return NETWORKS[architecture.name](architecture.stem, len(architecture.classes))
