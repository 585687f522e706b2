"""Other code bases' names for our networks' parameters, and the shortcuts that they leave out."""

import re

import pytest
import torch
from conftest import CLASSES
from torch import nn
from torch.nn import functional as F

from trainer.config import parse_task
from trainer.foreign_names import to_our_names
from trainer.import_weights import import_weights
from trainer.model_file import load_model
from trainer.models import build_network
from trainer.tasks import Architecture

# The order of the file's outputs, which is not the run's.
ELSEWHERE = ['grey', 'blue', 'green', 'red']


def substituted(*rules):
    """A function that renames our parameters by (pattern, replacement), the first rule first."""

    def rename(weights):
        renamed = {}
        for name, tensor in weights.items():
            for pattern, theirs in rules:
                name = re.sub(pattern, theirs, name)
            renamed[name] = tensor
        assert len(renamed) == len(weights)
        return renamed

    return rename


torchvision = substituted()
kuangliu = substituted((r'downsample', 'shortcut'), (r'^fc', 'linear'))
weiaicunzai = substituted(
    (r'^conv1\.', 'conv1.0.'),
    (r'^bn1\.', 'conv1.1.'),
    *((rf'^layer{index}\.', f'conv{index + 1}_x.') for index in range(1, 5)),
    (r'(_x\.\d+)\.conv1', r'\1.residual_function.0'),
    (r'(_x\.\d+)\.bn1', r'\1.residual_function.1'),
    (r'(_x\.\d+)\.conv2', r'\1.residual_function.3'),
    (r'(_x\.\d+)\.bn2', r'\1.residual_function.4'),
    (r'(_x\.\d+)\.conv3', r'\1.residual_function.6'),
    (r'(_x\.\d+)\.bn3', r'\1.residual_function.7'),
    (r'downsample', 'shortcut'),
)
xternalz = substituted((r'^layer(\d)\.', r'block\1.layer.'), (r'downsample', 'convShortcut'))
in_front = {front: substituted((r'^', front)) for front in ('module.', 'model.', 'module._orig_mod.')}


def weights_of(name, stem='small', classes=ELSEWHERE):
    """
    A network's state dict, with running statistics as after some training; without them every norm would do nothing.
    """
    torch.manual_seed(1)
    network = build_network(Architecture(name, stem, 32, 32, tuple(classes)))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


@pytest.fixture
def imported(emitted, tmp_path):
    """
    Imports a state dict as the teacher of a run, and returns its logits for a few pictures, in the order of the run's
    classes.
    """

    def run(content, name, images):
        file = tmp_path / 'teacher.pth'
        torch.save(content, file)
        task = {
            'protocol': 1,
            'task': 'import',
            'device': 'cpu',
            'threads': 1,
            'seed': 0,
            'file': str(file),
            'architecture': {'name': name, 'stem': 'small', 'size': 32, 'resize': 32, 'classes': CLASSES},
            'file_classes': ELSEWHERE,
            'mean': [0.5, 0.4, 0.3],
            'std': [0.2, 0.25, 0.3],
            'output': str(tmp_path / 'model.safetensors'),
        }
        import_weights(parse_task(task))
        with torch.inference_mode():
            return load_model(tmp_path / 'model.safetensors')(images)

    return run


@pytest.fixture
def images():
    return torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def expected(network, images):
    """The same network's logits for the same pictures, its four outputs in the order of the run's classes."""
    pixels = (images.permute(0, 3, 1, 2) / 255 - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor(
        [0.2, 0.25, 0.3]
    ).view(3, 1, 1)
    return network.eval()(pixels)[:, [ELSEWHERE.index(name) for name in CLASSES]]


@pytest.mark.parametrize(
    ('name', 'wrap'),
    [
        ('resnet18', torchvision),
        ('resnet18', kuangliu),
        ('resnet18', lambda weights: {'net': in_front['module.'](kuangliu(weights)), 'acc': 95.2, 'epoch': 199}),
        ('resnet18', weiaicunzai),
        ('resnet50', weiaicunzai),
        ('resnext50_32x4d', lambda weights: {'state_dict': torchvision(weights), 'arch': 'resnext50_32x4d'}),
        ('resnet20', torchvision),
        ('resnet20', lambda weights: {'state_dict': in_front['module.'](kuangliu(weights)), 'best_prec1': 91.7}),
        ('resnet56', torchvision),
        ('wrn-28-2', xternalz),
        ('wrn-28-2', in_front['model.']),
        ('resnet18', in_front['module._orig_mod.']),
    ],
    ids=[
        'torchvision and timm',
        'pytorch-cifar',
        'pytorch-cifar, as it saves',
        'pytorch-cifar100, basic blocks',
        'pytorch-cifar100, bottlenecks',
        'a ResNeXt',
        'pytorch-cifar-models',
        'pytorch_resnet_cifar10 with option B',
        'a deeper one',
        'WideResNet-pytorch',
        'a wide one in Lightning',
        'compiled and distributed',
    ],
)
def test_a_checkpoint_answers_as_it_did_where_it_came_from(name, wrap, imported, images):
    network = weights_of(name)
    assert torch.allclose(imported(wrap(network.state_dict()), name, images), expected(network, images), atol=1e-4)


class Padding(nn.Module):
    """The original paper's shortcut (option A), as akamaster/pytorch_resnet_cifar10 computes it."""

    def forward(self, x):
        quarter = x.shape[1] // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter))


@pytest.mark.parametrize('name', ['resnet20', 'resnet110'])
def test_a_cifar_resnet_with_shortcuts_without_weights_answers_as_it_did(name, imported, images, emitted):
    network = weights_of(name)
    network.layer2[0].downsample = Padding()
    network.layer3[0].downsample = Padding()
    weights = in_front['module.'](kuangliu(network.state_dict()))
    assert not any('shortcut' in key for key in weights)
    assert torch.allclose(imported({'state_dict': weights}, name, images), expected(network, images), atol=1e-4)
    assert any('no weights for its shortcuts' in event['message'] for event in emitted() if event['type'] == 'note')


def test_only_what_all_names_share_is_dropped_from_their_front():
    assert to_our_names({'module.model.conv1.weight': 1, 'module.model.fc.bias': 2}) == {
        'conv1.weight': 1,
        'fc.bias': 2,
    }
    assert to_our_names({'layer1.0.conv1.weight': 1, 'fc.bias': 2}) == {'layer1.0.conv1.weight': 1, 'fc.bias': 2}


def test_names_that_would_become_one_are_left_alone():
    both = {'fc.weight': 1, 'linear.weight': 2, 'conv1.weight': 3}
    assert to_our_names(both) == both
