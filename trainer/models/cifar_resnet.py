"""The small ResNets of the original paper for CIFAR, ResNet-20 to ResNet-110."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .resnet import BasicBlock


class CifarResNet(nn.Module):
    """
    He et al., arXiv 1512.03385, section 4.2: three groups of basic blocks with 16, 32 and 64 channels, under
    torchvision's parameter names. Where a group begins, the shortcut is a 1x1 convolution with a norm (option B of the
    paper): most checkpoints that people hand on have those, and the others' shortcuts without weights (option A) are a
    case of it: see `padding_shortcuts`.
    """

    def __init__(self, depth: int, classes: int):
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(BasicBlock(16, 16, 16, 1) for _ in range(blocks)))
        self.layer2 = nn.Sequential(*(BasicBlock(32 if i else 16, 32, 32, 1 if i else 2) for i in range(blocks)))
        self.layer3 = nn.Sequential(*(BasicBlock(64 if i else 32, 64, 64, 1 if i else 2) for i in range(blocks)))
        self.fc = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
            elif isinstance(module, BasicBlock):
                # Each block starts as the identity, as in our other ResNets.
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def padding_shortcuts() -> dict[str, Tensor]:
    """
    The shortcuts' weights with which a CifarResNet in evaluation mode computes option A of the paper: every second row
    and column, and zeros for the new channels, half of them before the old ones and half after. The convolution picks,
    the norm does nothing.
    """
    weights: dict[str, Tensor] = {}
    for layer, inputs in (('layer2', 16), ('layer3', 32)):
        picking = torch.zeros(2 * inputs, inputs, 1, 1)
        picking[inputs // 2 : inputs // 2 + inputs, :, 0, 0] = torch.eye(inputs)
        norm = nn.BatchNorm2d(2 * inputs)
        norm.weight.data.fill_(math.sqrt(1 + norm.eps))
        weights[f'{layer}.0.downsample.0.weight'] = picking
        weights |= {f'{layer}.0.downsample.1.{name}': tensor for name, tensor in norm.state_dict().items()}
    return weights
