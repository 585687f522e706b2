"""
The limit: the same network and optimiser on one batch that lies normalised on the device. `python -m
bench.peers.synthetic CASE`.
"""

import json
import sys

import torch
from torch.nn import functional as F

from bench.case import CLASSES, Case, print_rate
from trainer.device import open_device
from trainer.models import build_network
from trainer.sgd import Sgd
from trainer.train import compiled


def main(case: Case) -> None:
    device = open_device(case.device, case.threads)
    network = build_network(case.network()).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = Sgd(network, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(case.batch_size, 3, case.size, case.size, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (case.batch_size,), device=device)

    forward = compiled(network, device) if case.compile else network

    def step() -> int:
        with torch.autocast(device.type, torch.bfloat16, enabled=case.bf16):
            logits = forward(images)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(0.0)
        return case.batch_size

    print_rate(case, step)


if __name__ == '__main__':
    main(Case(**json.loads(sys.argv[1])))
