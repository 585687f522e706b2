"""Our step of SGD against torch.optim.SGD, and what it saves a training's start."""

import copy
import json
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from torch import nn

from trainer.sgd import Sgd


def network() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    net[0].bias.requires_grad_(False)
    return net


def learn(net: nn.Module, step: int) -> None:
    random = torch.Generator().manual_seed(step)
    net(torch.randn(5, 3, 8, 8, generator=random)).square().mean().backward()


@pytest.mark.parametrize('momentum', [0.9, 0.0])
def test_it_moves_weights_as_torch_does_bit_for_bit_also_after_a_checkpoint(momentum, tmp_path):
    ours, theirs = network(), network()
    trainable = [parameter for parameter in theirs.parameters() if parameter.requires_grad]
    groups = [
        {'params': [parameter for parameter in trainable if parameter.ndim > 1], 'weight_decay': 0.01},
        {'params': [parameter for parameter in trainable if parameter.ndim <= 1], 'weight_decay': 0.0},
    ]
    peer = torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=momentum > 0, fused=True)
    own = Sgd(ours, momentum, 0.01)
    for step in range(6):
        if step == 3:
            torch.save(own.state_dict(), tmp_path / 'state.pt')
            own = Sgd(ours, momentum, 0.01)
            own.load_state_dict(torch.load(tmp_path / 'state.pt', weights_only=True))
        if step == 4:
            # One that torch wrote, as checkpoints of earlier versions hold it.
            own.load_state_dict(copy.deepcopy(peer.state_dict()))
        rate = 0.1 / (step + 1)
        for group in peer.param_groups:
            group['lr'] = rate
        own.zero_grad()
        peer.zero_grad()
        learn(ours, step)
        learn(theirs, step)
        own.step(rate)
        peer.step()
        for name, parameter in ours.named_parameters():
            assert torch.equal(parameter, theirs.get_parameter(name)), f'{name} after step {step}'


def test_a_parameter_without_a_gradient_stays_where_it_is():
    net = network()
    before = net[4].weight.detach().clone()
    own = Sgd(net, 0.9, 0.01)
    net[:3](torch.ones(2, 3, 8, 8)).sum().backward()
    own.step(0.1)
    assert torch.equal(net[4].weight, before)
    assert not torch.equal(net[0].weight, network()[0].weight)


def test_a_plain_training_does_not_wait_for_torch_compile_to_be_loaded(train_task, tmp_path):
    task = {**train_task, 'epochs': 1, 'evaluations': 1, 'ema': 0.9}
    script = (
        'import json, sys; from trainer import events; from trainer.config import parse_task; from trainer.train '
        'import train; '
        "events.emit = lambda *_, **__: None; train(parse_task(json.loads(sys.argv[1]))); print('torch._dynamo' in "
        'sys.modules)'
    )
    finished = subprocess.run(
        [sys.executable, '-c', script, json.dumps(task)], cwd=ROOT, capture_output=True, text=True
    )
    assert (finished.returncode, finished.stdout.strip()) == (0, 'False'), finished.stderr
