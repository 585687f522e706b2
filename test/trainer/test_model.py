"""The networks: parameter names, sizes, whitening, and the classifier's normalisation."""

import pytest
import torch

from trainer.config import Architecture
from trainer.model import Classifier, build_network, whitening_filters


def architecture(name, stem='imagenet', size=64, classes=1000):
    return Architecture(name=name, stem=stem, size=size, resize=size, classes=tuple(str(label) for label in range(classes)))


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
    assert {'layer2.0.downsample.0.weight', 'layer2.0.downsample.1.running_var', 'layer4.1.bn2.bias', 'fc.weight', 'fc.bias'} <= set(
        weights
    )


def test_the_stride_of_a_bottleneck_lies_in_its_3x3_convolution():
    network = build_network(architecture('resnet50'))
    assert network.layer2[0].conv1.stride == (1, 1)
    assert network.layer2[0].conv2.stride == (2, 2)


@pytest.mark.parametrize('name', ['cifarnet', 'resnet18', 'resnet50'])
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
