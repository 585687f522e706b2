"""Several processes that train one network together, one a GPU: who takes which part of a batch, and how their gradients become one."""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


@dataclass(frozen=True)
class Processes:
    """Process `rank` of `count`, working on `device`. With one process every method leaves things as they are."""

    rank: int
    count: int
    device: str

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def part(self, batch: int) -> slice:
        """This process's share of a batch, as positions in it; shares differ by at most one."""
        return slice(batch * self.rank // self.count, batch * (self.rank + 1) // self.count)

    def weight(self, own: int, batch: int) -> float:
        """What a mean over `own` pictures is multiplied with, so that the mean over all processes is that over the batch."""
        return own * self.count / batch

    def any(self, claim: bool) -> bool:
        """Whether it is true in any process. All must ask."""
        if self.count == 1:
            return claim
        # On the CPU (gloo), so that a GPU need not be waited for.
        answer = torch.tensor([claim], dtype=torch.uint8)
        dist.all_reduce(answer, dist.ReduceOp.MAX, group=_on_cpu)
        return bool(answer)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def synchronise_norms(self, module: nn.Module) -> None:
        """Makes batch norms count all parts of a batch: the number of processes then changes nothing but the time."""
        if self.count == 1:
            return
        if torch.device(self.device).type == 'cuda':
            nn.SyncBatchNorm.convert_sync_batchnorm(module)
            return
        for child in module.modules():
            if type(child) is nn.BatchNorm2d:
                child.__class__ = SharedBatchNorm

    def averaging_gradients(self, module: nn.Module) -> nn.Module:
        """The module under DistributedDataParallel, whose backward pass leaves the mean gradient in every process."""
        return module if self.count == 1 else nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)


class SharedBatchNorm(nn.BatchNorm2d):
    """What torch's SyncBatchNorm does on GPUs, for CPUs: mean and variance over the whole batch, to which each process has a part."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        pixels = x.float()
        own = pixels.new_tensor([x.shape[0] * x.shape[2] * x.shape[3]])
        sums = all_reduce(torch.cat((pixels.sum((0, 2, 3)), pixels.square().sum((0, 2, 3)), own)))
        count = sums[-1].detach()
        mean, square = (sums[:-1] / count).chunk(2)
        variance = square - mean.square()
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
            momentum = self.momentum or 0.1
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / (count - 1), momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (pixels * scale.view(1, -1, 1, 1) + (self.bias - mean * scale).view(1, -1, 1, 1)).to(x.dtype)


_on_cpu: dist.ProcessGroup | None = None


def join_processes(device: str) -> Processes:
    """
    The group that torchrun started this process in, or the process alone. `device` is the first process's; the others of a machine take
    the GPUs after it.
    """
    global _on_cpu
    count = int(os.environ.get('WORLD_SIZE', '1'))
    if count == 1:
        return Processes(0, 1, device)
    if device != 'cpu':
        device = f'cuda:{int(device.partition(":")[2]) + int(os.environ["LOCAL_RANK"])}'
        torch.cuda.set_device(device)
    dist.init_process_group('gloo' if device == 'cpu' else 'nccl')
    _on_cpu = dist.new_group(backend='gloo')
    return Processes(dist.get_rank(), count, device)


ALONE = Processes(0, 1, 'cpu')
