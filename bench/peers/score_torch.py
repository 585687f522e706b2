"""
PyTorch behind a DataLoader whose workers decode with Pillow. `python -m bench.peers.score_torch fp32|bf16|bf16_compiled
JOB`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.pool import Job, decoded, print_rounds, read_job, record_batches
from trainer.model_file import load_model


class Pictures(Dataset[Tensor]):
    """The files of the pool, over and over."""

    def __init__(self, job: Job):
        self.files = [image['file'] for image in job.images]
        self.size, self.resize = job.size, job.resize

    def __len__(self) -> int:
        return 1_000_000_000

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(decoded(self.files[index % len(self.files)], self.size, self.resize))


def batches(job: Job) -> Iterator[Tensor]:
    if job.record_bytes is not None:
        return map(torch.from_numpy, record_batches(job, job.record_bytes))
    return iter(DataLoader(Pictures(job), job.batch_size, num_workers=job.threads, pin_memory=job.device != 'cpu'))


@torch.inference_mode()
def scored(job: Job, precision: str, compiled: bool) -> Iterator[int]:
    torch.set_num_threads(job.threads)
    torch.backends.cudnn.benchmark = True
    device = torch.device(job.device)
    # It lies channels_last and normalises bytes itself, so that workers hand over a quarter of what floats would be.
    network = load_model(Path(job.weights)).to(device)
    answer = torch.compile(network, options={'freezing': True}) if compiled else network
    for images in batches(job):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == 'bf16'):
            logits = answer(images.to(device, non_blocking=True))
        log_prob, classes = logits.float().log_softmax(1).topk(job.kept)
        log_prob.cpu(), classes.cpu()
        yield len(images)


if __name__ == '__main__':
    job, (precision, *compiled) = read_job(sys.argv[2]), sys.argv[1].split('_')
    print_rounds(job, scored(job, precision, bool(compiled)))
