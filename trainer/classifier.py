"""The classifier: a network with the normalisation of its pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .models import build_network
from .tasks import Architecture


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
        self.register_buffer(
            'shift', torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(1, 3, 1, 1), persistent=False
        )
        # NHWC pixels, permuted, are channels_last already; with weights of the same layout nothing is reordered on the
        # way.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        return self.net(self.normalised(images)).float()

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 [batch, height, width, 3] to float32 [batch, 3, height, width] of mean 0 and deviation 1."""
        return torch.addcmul(self.shift, images.permute(0, 3, 1, 2).float(), self.scale)
