"""The learning rate and the epochs of validation, as pure functions of the settings."""

import math


def learning_rate(step: int, total_steps: int, peak: float, warmup: float, schedule: str) -> float:
    """
    The rate of one step (counted from 0): it rises linearly to `peak` over the first `warmup` share of all steps, then
    falls to 0 along a straight line (`linear`) or half a cosine (`cosine`; Loshchilov and Hutter, arXiv 1608.03983).
    """
    warmup_steps = round(warmup * total_steps)
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / (total_steps - warmup_steps)
    return peak * (1 - done if schedule == 'linear' else (1 + math.cos(math.pi * done)) / 2)


def evaluation_epochs(epochs: int, evaluations: int) -> frozenset[int]:
    """
    The epochs (counted from 1) after which validation is measured: `evaluations` of them, evenly spread, the last
    always among them.
    """
    times = min(evaluations, epochs)
    return frozenset(round(epochs * (time + 1) / times) for time in range(times))
