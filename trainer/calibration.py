"""How well a network's probabilities can be trusted, and the temperature that mends them."""

import torch
from torch import Tensor

BINS = 15


def reliability(logits: Tensor, labels: Tensor) -> Tensor:
    """
    The reliability diagram of logits [images, classes] for labels int64 [images]: answers are put into 15 bins of equal
    width by the probability of their best class (Guo et al., arXiv 1706.04599, section 2). float64 [15, 3]: each bin's
    images, mean probability and accuracy, both 0 where there are none.
    """
    probability, answer = logits.double().softmax(1).max(1)
    bins = (probability * BINS).ceil().long().clamp(1, BINS) - 1
    readings = torch.stack((torch.ones_like(probability), probability, (answer == labels).double()), dim=1)
    sums = torch.zeros(BINS, 3, dtype=torch.float64).index_add_(0, bins, readings)
    images = sums[:, :1]
    # Rounding must not lift a mean above 1.
    return torch.cat((images, (sums[:, 1:] / images.clamp(min=1)).clamp(max=1)), dim=1)


def calibration_error(logits: Tensor, labels: Tensor) -> float:
    """
    The expected calibration error: by how far, on average over the images, a bin's mean probability misses its
    accuracy.
    """
    images, probability, accuracy = reliability(logits, labels).unbind(1)
    return ((images * (probability - accuracy).abs()).sum() / len(labels)).item()


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """
    The temperature under which the labels are likeliest (section 4.2 there). The likelihood is concave in 1 /
    temperature, so halving an interval finds where its slope is 0: the mean logit that the softmax expects is then the
    mean logit of the labels.
    """
    logits = logits.double()
    wanted = logits.gather(1, labels.unsqueeze(1)).mean()
    # On a logarithmic scale; where all answers are right the likelihood grows without end, and the lower bound is
    # taken.
    low, high = torch.tensor(0.05).log().item(), torch.tensor(20.0).log().item()
    for _ in range(40):
        middle = (low + high) / 2
        expected = ((logits / torch.tensor(middle).exp()).softmax(1) * logits).sum(1).mean()
        low, high = (middle, high) if expected > wanted else (low, middle)
    return torch.tensor((low + high) / 2).exp().item()
