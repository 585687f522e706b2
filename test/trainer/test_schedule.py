"""The learning rate and the epochs of validation."""

from itertools import pairwise

import pytest

from trainer.schedule import evaluation_epochs, learning_rate


@pytest.mark.parametrize('schedule', ['linear', 'cosine'])
def test_the_rate_rises_to_its_peak_and_falls_towards_zero(schedule):
    rates = [learning_rate(step, 100, 2.0, 0.2, schedule) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[19] == rates[20] == max(rates) == 2.0
    assert all(later < earlier for earlier, later in pairwise(rates[20:]))
    assert 0 < rates[-1] < 0.03


def test_the_middle_of_the_fall_is_half_the_peak_on_both_schedules():
    assert learning_rate(60, 100, 2.0, 0.2, 'linear') == pytest.approx(1.0)
    assert learning_rate(60, 100, 2.0, 0.2, 'cosine') == pytest.approx(1.0)


@pytest.mark.parametrize('warmup', [0.0, 1.0])
def test_all_or_no_warm_up_works(warmup):
    rates = [learning_rate(step, 10, 1.0, warmup, 'cosine') for step in range(10)]
    assert max(rates) == 1.0
    assert min(rates) > 0


def test_evaluations_are_evenly_spread_and_end_with_the_last_epoch():
    assert sorted(evaluation_epochs(40, 4)) == [10, 20, 30, 40]
    assert sorted(evaluation_epochs(10, 3)) == [3, 7, 10]
    assert sorted(evaluation_epochs(7, 1)) == [7]
    assert sorted(evaluation_epochs(3, 10)) == [1, 2, 3]
