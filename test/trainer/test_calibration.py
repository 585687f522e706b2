"""Calibration: the error of probabilities that claim too much, and the temperature that mends them."""

import pytest
import torch

from trainer.calibration import calibration_error, fitted_temperature, reliability


def answers(temperature: float, images: int = 40_000, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are right about the labels once they are divided by `temperature`."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(images, classes, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    return logits * temperature, labels


def test_the_error_is_the_mean_gap_between_probability_and_accuracy():
    # Two answers of 0.9, one of them right; two of 0.6, both right: (2 * 0.4 + 2 * 0.4) / 4.
    probability = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    assert calibration_error(probability.log(), torch.tensor([0, 1, 0, 0])) == pytest.approx(0.4)


def test_a_reliability_diagram_tells_of_each_bin_how_many_images_it_has_what_they_claim_and_how_many_are_right():
    probability = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.61, 0.39], [0.5, 0.5]])
    diagram = reliability(probability.log(), torch.tensor([0, 1, 0, 0, 1]))
    assert diagram.shape == (15, 3)
    assert diagram[7].tolist() == pytest.approx([1, 0.5, 0])
    assert diagram[9].tolist() == pytest.approx([2, 0.605, 1])
    assert diagram[13].tolist() == pytest.approx([2, 0.9, 0.5])
    assert diagram[[*range(7), 8, 10, 11, 12, 14]].count_nonzero() == 0


def test_a_bin_of_certain_answers_claims_no_more_than_1():
    diagram = reliability(torch.eye(7).repeat(1000, 1) * 1e3, torch.zeros(7000, dtype=torch.int64))
    assert diagram[14, 1] == 1


def test_probabilities_that_hold_have_no_error():
    assert calibration_error(*answers(temperature=1)) < 0.01


@pytest.mark.parametrize('temperature', [0.4, 1.0, 3.0])
def test_the_temperature_that_spoilt_the_answers_is_found_and_mends_them(temperature):
    logits, labels = answers(temperature)
    found = fitted_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.03)
    assert calibration_error(logits / found, labels) < 0.01


def test_answers_that_are_all_right_get_a_temperature_all_the_same():
    logits = torch.eye(3).repeat(5, 1) * 9
    assert 0.04 < fitted_temperature(logits, logits.argmax(1)) < 0.06
