"""Wide ResNets for small pictures, the usual nets of work on semi-supervised learning with CIFAR."""

from torch import Tensor, nn
from torch.nn import functional as F


class WideResNet(nn.Module):
    """
    WRN-depth-width (Zagoruyko & Komodakis, arXiv 1605.07146), without dropout: three groups of pre-activated basic
    blocks with 16, 32 and 64 channels, each times `width`.
    """

    def __init__(self, depth: int, width: int, classes: int):
        super().__init__()
        blocks = (depth - 4) // 6
        first, second, third = 16 * width, 32 * width, 64 * width
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.layer1 = nn.Sequential(*(PreactivatedBlock(first if i else 16, first, 1) for i in range(blocks)))
        self.layer2 = nn.Sequential(
            *(PreactivatedBlock(second if i else first, second, 1 if i else 2) for i in range(blocks))
        )
        self.layer3 = nn.Sequential(
            *(PreactivatedBlock(third if i else second, third, 1 if i else 2) for i in range(blocks))
        )
        self.bn1 = nn.BatchNorm2d(third)
        self.fc = nn.Linear(third, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        x = F.relu(self.bn1(x), inplace=True)
        return self.fc(x.mean((2, 3)))


class PreactivatedBlock(nn.Module):
    """
    Norm and ReLU before each convolution. A shortcut that must change the channels starts from the activated input,
    too.
    """

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x), inplace=True)
        y = self.conv2(F.relu(self.bn2(self.conv1(activated)), inplace=True))
        return y.add_(x if self.downsample is None else self.downsample(activated))
