"""The networks: parameter names, sizes, whitening, and the classifier's normalisation."""

from typing import get_args

import pytest
import torch

from trainer.classifier import Classifier
from trainer.models import NETWORKS, build_network
from trainer.models.cifar_resnet import padding_shortcuts
from trainer.models.cifarnet import whitening_filters
from trainer.tasks import Architecture, ModelName


def architecture(name, stem='imagenet', size=64, classes=1000):
    return Architecture(
        name=name, stem=stem, size=size, resize=size, classes=tuple(str(label) for label in range(classes))
    )


@pytest.mark.parametrize(
    ('name', 'parameters', 'tensors'),
    [
        ('resnet18', 11_689_512, 122),
        ('resnet34', 21_797_672, 218),
        ('resnet50', 25_557_032, 320),
        ('resnet101', 44_549_160, 626),
        ('resnet152', 60_192_808, 932),
    ],
)
def test_resnets_have_the_parameters_of_torchvisions(name, parameters, tensors):
    with torch.device('meta'):
        network = build_network(architecture(name))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    weights = network.state_dict()
    assert len(weights) == tensors
    assert list(weights)[:7] == [
        'conv1.weight',
        *(f'bn1.{part}' for part in ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')),
        'layer1.0.conv1.weight',
    ]
    assert {
        'layer2.0.downsample.0.weight',
        'layer2.0.downsample.1.running_var',
        'layer4.1.bn2.bias',
        'fc.weight',
        'fc.bias',
    } <= set(weights)


def test_the_stride_of_a_bottleneck_lies_in_its_3x3_convolution():
    network = build_network(architecture('resnet50'))
    assert network.layer2[0].conv1.stride == (1, 1)
    assert network.layer2[0].conv2.stride == (2, 2)


def count(name, classes):
    with torch.device('meta'):
        network = build_network(architecture(name, 'imagenet', 64, classes))
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ('name', 'millions'),
    [
        ('resnext50_32x4d', 25.03),
        ('resnext101_32x4d', 44.18),
        ('resnext101_32x8d', 88.79),
        ('resnext101_32x16d', 194.03),
        ('resnext101_32x32d', 468.53),
        ('resnext101_32x48d', 828.41),
    ],
)
def test_resnexts_have_the_sizes_of_their_papers_and_the_names_of_resnets(name, millions):
    """
    Xie et al., arXiv 1611.05431, table 1; torchvision; Mahajan et al., arXiv 1805.00932: 88, 193, 466 and 829 million.
    """
    assert count(name, 1000) / 1e6 == pytest.approx(millions, abs=0.01)
    resnet = 'resnet50' if name == 'resnext50_32x4d' else 'resnet101'
    with torch.device('meta'):
        assert list(build_network(architecture(name)).state_dict()) == list(
            build_network(architecture(resnet)).state_dict()
        )


@pytest.mark.parametrize(
    ('name', 'classes', 'millions'),
    [('wrn-28-2', 10, 1.47), ('wrn-28-8', 100, 23.4), ('wrn-28-10', 10, 36.48), ('wrn-28-10', 100, 36.54)],
)
def test_wide_resnets_have_the_size_of_their_paper(name, classes, millions):
    """Zagoruyko & Komodakis, arXiv 1605.07146, table 4: 36.5 million; Oliver et al., arXiv 1804.09170: 1.5 million."""
    assert count(name, classes) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize(('depth', 'millions'), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_cifar_resnets_have_the_size_of_their_paper(depth, millions):
    """He et al., arXiv 1512.03385, table 6. Their shortcuts have no weights; ours add 3,000."""
    shortcuts = 16 * 32 + 32 * 64 + 2 * 32 + 2 * 64
    assert (count(f'resnet{depth}', 10) - shortcuts) / 1e6 == pytest.approx(
        millions, abs=0.03 if depth == 110 else 0.005
    )


@pytest.mark.parametrize('depth', [20, 32])
def test_depth_counts_the_layers_with_weights(depth):
    network = build_network(architecture(f'resnet{depth}', 'small', 32, 10))
    layers = [
        name for name, module in network.named_modules() if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    assert len([name for name in layers if 'downsample' not in name]) == depth


def test_every_network_that_may_be_asked_for_can_be_built():
    assert list(NETWORKS) == list(get_args(ModelName))


def test_a_shortcut_without_weights_is_a_case_of_one_with_them():
    network = build_network(architecture('resnet20', 'small', 32, 10)).eval().double()
    network.load_state_dict(padding_shortcuts(), strict=False)
    for block, channels in ((network.layer2[0], 16), (network.layer3[0], 32)):
        x = torch.randn(2, channels, 8, 8, dtype=torch.float64)
        padded = torch.nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, channels // 2, channels // 2))
        assert torch.allclose(block.downsample(x), padded, atol=1e-6)


def test_a_wide_block_that_changes_channels_shortcuts_what_is_activated():
    block = build_network(architecture('wrn-28-2', 'small', 32, 10)).layer2[0].eval().double()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 32, 8, 8, dtype=torch.float64)
    assert torch.allclose(block(x.clone()), block.downsample(torch.relu(block.bn1(x))), atol=1e-5)


@pytest.mark.parametrize('name', ['cifarnet', 'resnet18', 'resnet50', 'resnext50_32x4d', 'wrn-28-2', 'resnet20'])
@pytest.mark.parametrize('size', [32, 48])
def test_any_size_gives_a_logit_for_each_class(name, size):
    classifier = Classifier(architecture(name, 'small', size, 7), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)).eval()
    logits = classifier(torch.randint(0, 256, (3, size, size, 3), dtype=torch.uint8))
    assert logits.shape == (3, 7)
    assert logits.dtype == torch.float32


def test_residual_blocks_start_as_the_identity():
    block = build_network(architecture('resnet50', 'small', 32, 10)).layer1[1].eval()
    x = torch.rand(2, 256, 4, 4)
    assert torch.allclose(block(x.clone()), x)


def test_pixels_are_normalised_by_mean_and_deviation():
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    classifier = Classifier(architecture('cifarnet', 'small', 16, 2), mean, std)
    images = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    expected = (images / 255 - torch.tensor(mean)) / torch.tensor(std)
    assert torch.allclose(classifier.normalised(images), expected.permute(0, 3, 1, 2), atol=1e-5)


def test_whitened_patches_are_uncorrelated_and_of_equal_strength():
    pixels = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    # Neighbouring pixels and channels that resemble each other, as in pictures.
    pixels = pixels + pixels.roll(1, 2) + 0.5 * pixels.roll(1, 1)
    filters = whitening_filters(pixels)
    assert filters.shape == (24, 3, 2, 2)
    assert torch.equal(filters[:12], -filters[12:])
    answers = torch.conv2d(pixels, filters[:12]).transpose(0, 1).flatten(1)
    assert torch.allclose(answers @ answers.T / answers.shape[1], torch.eye(12), atol=0.01)


def test_whitening_filters_and_norm_scales_of_cifarnet_are_not_trained():
    network = build_network(architecture('cifarnet', 'small', 32, 10))
    fixed = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert fixed == {'whiten.weight', *(f'group{group}.norm{norm}.weight' for group in (1, 2, 3) for norm in (1, 2))}
