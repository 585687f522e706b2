"""The networks, and the classifier around them that takes raw pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Architecture


class Classifier(nn.Module):
    """
    A network with its normalisation: uint8 pixels [batch, height, width, 3] in, float32 logits [batch, classes] out.
    Training, evaluation and the exported ONNX file all go through here, so that none of them can normalise differently.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, architecture: Architecture, mean: Sequence[float], std: Sequence[float]):
        """`mean` and `std` are those of the red, green and blue channel for pixels in 0..1."""
        super().__init__()
        self.architecture = architecture
        self.mean, self.std = tuple(mean), tuple(std)
        self.net = build_network(architecture)
        self.register_buffer('scale', torch.tensor([1 / (255 * s) for s in std]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('shift', torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(1, 3, 1, 1), persistent=False)
        # NHWC pixels, permuted, are channels_last already; with weights of the same layout nothing is reordered on the way.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        return self.net(self.normalised(images)).float()

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 [batch, height, width, 3] to float32 [batch, 3, height, width] of mean 0 and deviation 1."""
        return torch.addcmul(self.shift, images.permute(0, 3, 1, 2).float(), self.scale)


def build_network(architecture: Architecture) -> nn.Module:
    """The network with fresh weights from torch's global generator: normalised float [batch, 3, size, size] in, logits out."""
    classes = len(architecture.classes)
    if architecture.name == 'cifarnet':
        return CifarNet(classes)
    block, depths = RESNETS[architecture.name]
    return ResNet(block, depths, architecture.stem, classes)


# ---------------------------------------------------------------- cifarnet


class CifarNet(nn.Module):
    """
    A small net for small pictures on CPUs, after Keller Jordan's cifar10-airbench (arXiv 2404.00498): fixed whitening filters,
    three convolution groups that start as the identity, batch norms without a learned scale, a global max-pool, and scaled-down logits.
    """

    def __init__(self, classes: int):
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2, bias=False)
        self.whiten.weight.requires_grad = False
        self.group1 = ConvGroup(24, 24)
        self.group2 = ConvGroup(24, 96)
        self.group3 = ConvGroup(96, 96)
        self.fc = nn.Linear(96, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.whiten(x), inplace=True)
        x = self.group3(self.group2(self.group1(x)))
        return self.fc(x.amax((2, 3))) / 9


class ConvGroup(nn.Module):
    """Halves height and width: convolution, max-pool, norm, ReLU, convolution, norm, ReLU."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs, momentum=0.4)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs, momentum=0.4)
        for conv in (self.conv1, self.conv2):
            nn.init.dirac_(conv.weight.data[: conv.in_channels])
        for norm in (self.norm1, self.norm2):
            norm.weight.requires_grad = False

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(F.max_pool2d(self.conv1(x), 2)), inplace=True)
        return F.relu(self.norm2(self.conv2(x)), inplace=True)


def whitening_filters(pixels: Tensor) -> Tensor:
    """
    The 24 filters [24, 3, 2, 2] that whiten the 2x2 patches of normalised pictures [pictures, 3, height, width]: the 12 eigenvectors
    of the patches' covariance, each divided by its deviation, and their negatives.
    """
    covariance = torch.zeros(12, 12, dtype=torch.float64)
    for some in pixels.split(256):
        patches = F.unfold(some, 2).transpose(0, 1).reshape(12, -1)
        covariance += (patches @ patches.T).double() / patches.shape[1] * (len(some) / len(pixels))
    variances, directions = torch.linalg.eigh(covariance)
    # The constant keeps directions in which pictures hardly vary from being blown up to pure noise.
    filters = (directions / (variances + 5e-4).sqrt()).T.flip(0).reshape(12, 3, 2, 2).float()
    return torch.cat((filters, -filters))


# ---------------------------------------------------------------- ResNet


class ResNet(nn.Module):
    """
    ResNet (He et al., arXiv 1512.03385), with the parameter names of torchvision, whose checkpoints therefore load.
    The `small` stem, for pictures of about 32 pixels, is one 3x3 convolution of stride 1 and no max-pool.
    """

    def __init__(self, block: type['BasicBlock'] | type['Bottleneck'], depths: Sequence[int], stem: str, classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False) if stem == 'small' else nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if stem == 'small' else nn.MaxPool2d(3, stride=2, padding=1)
        inputs, groups = 64, []
        for index, depth in enumerate(depths):
            width, stride = 64 * 2**index, 1 if index == 0 else 2
            blocks = [block(inputs if i == 0 else width * block.expansion, width, stride if i == 0 else 1) for i in range(depth)]
            groups.append(nn.Sequential(*blocks))
            inputs = width * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = groups
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

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y.add_(x if self.downsample is None else self.downsample(x)), inplace=True)


class Bottleneck(nn.Module):
    """The stride lies in the 3x3 convolution, as in torchvision ("ResNet v1.5")."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * 4)
        self.downsample = _shortcut(inputs, width * 4, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y.add_(x if self.downsample is None else self.downsample(x)), inplace=True)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


RESNETS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    'resnet18': (BasicBlock, (2, 2, 2, 2)),
    'resnet34': (BasicBlock, (3, 4, 6, 3)),
    'resnet50': (Bottleneck, (3, 4, 6, 3)),
    'resnet101': (Bottleneck, (3, 4, 23, 3)),
    'resnet152': (Bottleneck, (3, 8, 36, 3)),
}
