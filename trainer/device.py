"""Opens the device that a task asks for, and decides in which precision it trains."""

import ctypes
import platform
import resource
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from .errors import SET_UP, Failure
from .events import runtime
from .tasks import ProbeTask

# glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def open_device(name: str, threads: int) -> torch.device:
    """The device `cpu` or `cuda:N`, with PyTorch set up for it. Raises Failure('device') where it is absent."""
    torch.set_num_threads(threads)
    device = torch.device(name)
    if device.type == 'cuda':
        require_cuda(device)
        torch.cuda.set_device(device)
        # Shapes repeat for a whole run, so trying every convolution algorithm once pays.
        torch.backends.cudnn.benchmark = True
    else:
        keep_freed_memory()
    return device


def keep_freed_memory() -> None:
    """
    Has glibc keep the memory that a step frees for the next one. By default it returns activations to the system, which
    then fills fresh pages with zeros in every step: a ResNet-50 at 32 px trained 1.2 to 1.3 times as fast without, for
    a third more memory.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if sys.platform == 'linux' else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, -1)
        mallopt(M_MMAP_MAX, 0)


def require_cuda(device: torch.device) -> None:
    """Raises Failure('device') saying what was found instead of `device`."""
    if not torch.cuda.is_available():
        found = 'is a CPU build' if torch.version.cuda is None else 'finds no NVIDIA GPU that it can use'
        advice = f'Use --device cpu; or, where there is a GPU, mend its driver and run `{SET_UP}` again.'
        raise Failure('device', f'{device} was asked for, but PyTorch {torch.__version__} {found}. {advice}')
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        names = ', '.join(f'cuda:{index} ({torch.cuda.get_device_name(index)})' for index in range(count))
        raise Failure('device', f'{device} was asked for, but there is only {names}.')


def has_bf16(device: torch.device) -> bool:
    """
    Whether bfloat16 is fast on the device. On a CPU only its own instructions make it so: with avx512_bf16 a core
    trains 1.5 times as many images a second as in float32, without them bfloat16 is emulated and slower.
    """
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = _cpu_info('flags').split()
    return 'amx_bf16' in flags or 'avx512_bf16' in flags


def has_int8_tiles() -> bool:
    """Whether this processor multiplies matrices of 8-bit numbers in tiles (Intel's AMX)."""
    return 'amx_int8' in _cpu_info('flags').split()


def trains_in_bf16(precision: str, device: torch.device) -> bool:
    """Resolves `auto`, and refuses a bf16 that the device lacks."""
    if precision == 'bf16' and device.type == 'cuda' and not has_bf16(device):
        raise Failure(
            'device',
            f'precision bf16 was asked for, but {device_name(device)} lacks it. Set the precision to auto or fp32.',
        )
    return precision == 'bf16' or (precision == 'auto' and has_bf16(device))


def memory_used(device: torch.device) -> int:
    """Bytes: the most that PyTorch held on a GPU so far, or what this process holds in main memory now."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == 'linux':
        return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def use_full_float32() -> None:
    """Turns TF32 off: what is compared with another engine, or reported, is computed in true float32."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def device_name(device: torch.device) -> str:
    """The device as its maker calls it."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return _cpu_info('model name') or platform.processor() or platform.machine()


def probe(task: ProbeTask) -> dict[str, Any]:
    """What runs here. `auto` takes a GPU where there is one; the device is proved by a convolution on it."""
    name = {'auto': 'cuda:0' if torch.cuda.is_available() else 'cpu', 'cuda': 'cuda:0'}.get(task.device, task.device)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise Failure('device', f'There is no device {task.device}: expected auto, cpu, cuda or cuda:N.') from error
    if device.type == 'cuda':
        require_cuda(device)
    elif device.type != 'cpu':
        raise Failure('device', f'There is no device {task.device}: expected auto, cpu, cuda or cuda:N.')
    try:
        torch.conv2d(torch.ones(1, 3, 8, 8, device=device), torch.ones(4, 3, 3, 3, device=device)).sum().item()
    except RuntimeError as error:
        raise Failure('device', f'{device} was found but does not work: {str(error).splitlines()[0]}') from error
    named = {'runtime': runtime(), 'device': str(device), 'device_name': device_name(device), 'bf16': has_bf16(device)}
    return {**named, 'several': {'gpus': torch.cuda.device_count(), 'backends': backends()}}


def backends() -> list[str]:
    """By what several processes could talk to each other here: gloo for CPUs, nccl for GPUs."""
    if not dist.is_available():
        return []
    return [name for name, found in (('gloo', dist.is_gloo_available()), ('nccl', dist.is_nccl_available())) if found]


def _cpu_info(key: str) -> str:
    """A line of /proc/cpuinfo; empty where the system has none."""
    if sys.platform != 'linux':
        return ''
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    return next((line.split(':', 1)[1].strip() for line in lines if line.startswith(key)), '')
