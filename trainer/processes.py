"""
Several processes that train one network together, one a GPU: who takes which part of a batch, and how their gradients
become one.
"""

import atexit
import signal
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from . import ranks, stop
from .device import require_cuda
from .meeting import PATIENCE, store


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

    def threads(self, threads: int) -> int:
        """This process's share of its host's CPU threads."""
        return max(1, threads // ranks.local_count()) if self.count > 1 else threads

    def part(self, batch: int) -> slice:
        """This process's share of a batch, as positions in it; shares differ by at most one."""
        return slice(batch * self.rank // self.count, batch * (self.rank + 1) // self.count)

    def weight(self, own: int, batch: int) -> float:
        """
        What a mean over `own` pictures is multiplied with, so that the mean over all processes is that over the batch.
        """
        return own * self.count / batch

    def any(self, claim: bool) -> bool:
        """Whether it is true in any process. All must ask."""
        if self.count == 1:
            return claim
        # On the CPU (gloo), so that a GPU need not be waited for.
        answer = torch.tensor([claim], dtype=torch.uint8)
        dist.all_reduce(answer, dist.ReduceOp.MAX, group=_on_cpu)
        return bool(answer)

    def agreed(self, decide: Callable[[], int]) -> int:
        """What the first process decides."""
        if self.count == 1:
            return decide()
        number = torch.tensor(decide() if self.is_first else 0)
        dist.broadcast(number, 0, group=_on_cpu)
        return int(number)

    def alike(self, numbers: Sequence[int]) -> bool:
        """Whether all processes have the same numbers."""
        if self.count == 1:
            return True
        own = torch.tensor(numbers)
        first = own.clone()
        dist.broadcast(first, 0, group=_on_cpu)
        return not self.any(not own.equal(first))

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
        # Here, since it takes torch.compile's part of torch, and with that seconds.
        from .shared_batch_norm import SharedBatchNorm

        for child in module.modules():
            if type(child) is nn.BatchNorm2d:
                child.__class__ = SharedBatchNorm

    def averaging_gradients(self, module: nn.Module) -> nn.Module:
        """The module under DistributedDataParallel, whose backward pass leaves the mean gradient in every process."""
        if self.count == 1:
            return module
        # Buffers are alike in all processes already. Torch 2.13 has another name for this, which 2.11 does not know.
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', message='`broadcast_buffers` is deprecated', category=FutureWarning)
            return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)


_on_cpu: dist.ProcessGroup | None = None


def join_processes(device: str) -> Processes:
    """
    The group that launch.py started this process in, or the process alone. `device` is the first process's; the others
    of a host take the GPUs after it.
    """
    global _on_cpu
    if ranks.count() == 1:
        return Processes(0, 1, device)
    if device != 'cpu':
        device = f'cuda:{int(device.partition(":")[2]) + ranks.local_rank()}'
        require_cuda(torch.device(device))
        torch.cuda.set_device(device)
    backend = 'gloo' if device == 'cpu' else 'nccl'
    dist.init_process_group(backend, store=store(), rank=ranks.rank(), world_size=ranks.count(), timeout=PATIENCE)
    _on_cpu = dist.new_group(backend='gloo', timeout=PATIENCE)
    atexit.register(leave_together)
    # From here on all stop together, at the same step.
    signal.signal(signal.SIGTERM, stop.request)
    return Processes(ranks.rank(), ranks.count(), device)


def leave_together() -> None:
    """
    Ends together with the others: the first process keeps the store, and its host's port says that a training goes on.
    """
    dist.barrier(group=_on_cpu)
    dist.destroy_process_group()


ALONE = Processes(0, 1, 'cpu')
