"""
The loop that most people write: files decoded by Pillow and altered one by one in the workers of a DataLoader.
`python -m bench.peers.usual_loop CASE`.
"""

import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from bench.case import CLASSES, Case, print_rate
from trainer.models import build_network
from trainer.train import compiled

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class Pictures(Dataset[tuple[Tensor, int]]):
    """The files of a folder, over and over: an epoch is as long as that of a large set."""

    def __init__(self, folder: Path, size: int):
        self.files = sorted(folder.iterdir())
        self.size = size

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.files[index % len(self.files)]) as file:
            picture = file.convert('RGB')
        picture = shifted(picture, self.size) if self.size <= 64 else resized_crop(picture, self.size)
        if random.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div_(255)
        return pixels.sub_(MEAN).div_(STD), index % CLASSES


def shifted(picture: Image.Image, size: int, pad: int = 4) -> Image.Image:
    left, top = random.randint(0, 2 * pad), random.randint(0, 2 * pad)
    return ImageOps.expand(picture, pad).crop((left, top, left + size, top + size))


def resized_crop(picture: Image.Image, size: int) -> Image.Image:
    """RandomResizedCrop, as in torchvision: the first of ten draws that lies within the picture."""
    area = picture.width * picture.height
    for _ in range(10):
        part = area * random.uniform(0.35, 1)
        shape = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = round(math.sqrt(part * shape)), round(math.sqrt(part / shape))
        if width <= picture.width and height <= picture.height:
            left, top = random.randint(0, picture.width - width), random.randint(0, picture.height - height)
            return picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    return ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)


def main(case: Case) -> None:
    torch.set_num_threads(case.threads)
    torch.backends.cudnn.benchmark = True
    device = torch.device(case.device)
    network: nn.Module = build_network(case.network()).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        network.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
    )
    loader = DataLoader(
        Pictures(Path(case.pictures) / 'files', case.size),
        case.batch_size,
        shuffle=True,
        num_workers=case.threads,
        pin_memory=device.type == 'cuda',
        drop_last=True,
    )
    batches = iter(loader)

    forward = compiled(network, device) if case.compile else network

    def step() -> int:
        images, labels = next(batches)
        images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
        labels = labels.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=case.bf16):
            logits = forward(images)
            loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return len(labels)

    print_rate(case, step)


if __name__ == '__main__':
    main(Case(**json.loads(sys.argv[1])))
