"""cifarnet, a small net for small pictures on CPUs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CifarNet(nn.Module):
    """
    A small net for small pictures on CPUs, after Keller Jordan's cifar10-airbench (arXiv 2404.00498): fixed whitening
    filters, three convolution groups that start as the identity, batch norms without a learned scale, a global
    max-pool, and scaled-down logits.
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
    The 24 filters [24, 3, 2, 2] that whiten the 2x2 patches of normalised pictures [pictures, 3, height, width]: the 12
    eigenvectors of the patches' covariance, each divided by its deviation, and their negatives.
    """
    covariance = torch.zeros(12, 12, dtype=torch.float64)
    for some in pixels.split(256):
        patches = F.unfold(some, 2).transpose(0, 1).reshape(12, -1)
        covariance += (patches @ patches.T).double() / patches.shape[1] * (len(some) / len(pixels))
    variances, directions = torch.linalg.eigh(covariance)
    # The constant keeps directions in which pictures hardly vary from being blown up to pure noise.
    filters = (directions / (variances + 5e-4).sqrt()).T.flip(0).reshape(12, 3, 2, 2).float()
    return torch.cat((filters, -filters))
