"""
A batch norm of several processes on CPUs, for which torch has none: it counts the whole batch, to which each process
has a part.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SharedBatchNorm(nn.BatchNorm2d):
    """
    What torch's SyncBatchNorm does on GPUs, for CPUs: mean and variance over the whole batch, to which each process has
    a part.
    """

    # torch.compile cannot follow what processes tell each other.
    @torch.compiler.disable
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        pixels = x if x.dtype == torch.float64 else x.float()
        own = x.shape[0] * x.shape[2] * x.shape[3]
        own_variance, own_mean = torch.var_mean(pixels, (0, 2, 3), correction=0)
        # In double precision, or the difference of two large numbers below would be noise where a mean is far from 0.
        own_mean, own_variance = own_mean.double(), own_variance.double()
        own_sums = torch.cat((own_mean, own_variance + own_mean.square(), own_mean.new_ones(1))) * own
        sums: Tensor = _SumOverProcesses.apply(own_sums)
        count = sums[-1].detach()
        mean, square = (sums[:-1] / count).chunk(2)
        variance = (square - mean.square()).to(pixels.dtype)
        mean = mean.to(pixels.dtype)
        with torch.no_grad():
            assert (
                self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
            )
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)).to(variance.dtype), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        moved = (pixels - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1)
        return (moved + self.bias.view(1, -1, 1, 1) if self.affine else moved).to(x.dtype)


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; what each learns of it in the backward pass is summed likewise."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
