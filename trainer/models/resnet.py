"""ResNets and ResNeXts for pictures of any size."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class ResNet(nn.Module):
    """
    ResNet (He et al., arXiv 1512.03385) and ResNeXt (Xie et al., arXiv 1611.05431), with the parameter names of
    torchvision, whose checkpoints therefore load. The `small` stem, for pictures of about 32 pixels, is one 3x3
    convolution of stride 1 and no max-pool.
    """

    def __init__(
        self,
        block: type['BasicBlock'] | type['Bottleneck'],
        depths: Sequence[int],
        stem: str,
        classes: int,
        groups: int = 1,
        group_width: int = 64,
    ):
        """
        A ResNeXt `32x4d` has 32 `groups` in its 3x3 convolutions, of `group_width` 4 in the first quarter of the net.
        """
        super().__init__()
        self.conv1 = (
            nn.Conv2d(3, 64, 3, padding=1, bias=False)
            if stem == 'small'
            else nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        )
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if stem == 'small' else nn.MaxPool2d(3, stride=2, padding=1)
        inputs, layers = 64, []
        for index, depth in enumerate(depths):
            outputs = 64 * 2**index * block.expansion
            width, stride = groups * group_width * 2**index, 1 if index == 0 else 2
            blocks = [
                block(inputs if i == 0 else outputs, width, outputs, stride if i == 0 else 1, groups)
                for i in range(depth)
            ]
            layers.append(nn.Sequential(*blocks))
            inputs = outputs
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.fc = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
            elif isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)
            elif isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)
            # Each block starts as the identity: Goyal et al., arXiv 1706.02677, section 5.1.

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs: int, width: int, outputs: int, stride: int, groups: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, groups=groups, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, outputs, 3, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y.add_(x if self.downsample is None else self.downsample(x)), inplace=True)


class Bottleneck(nn.Module):
    """The stride lies in the 3x3 convolution, as in torchvision ("ResNet v1.5")."""

    expansion = 4

    def __init__(self, inputs: int, width: int, outputs: int, stride: int, groups: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y.add_(x if self.downsample is None else self.downsample(x)), inplace=True)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
