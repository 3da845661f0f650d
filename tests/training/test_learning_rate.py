"""The schedule at its corners."""

from __future__ import annotations

import math

import pytest

from ssamba.training.schedule import learning_rate_scale, warmup_length


def test_warmup_is_linear_and_never_zero():
    values = [learning_rate_scale(step, 100, 4) for step in range(5)]
    assert values == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


@pytest.mark.parametrize(("schedule", "middle"), [("cosine", 0.55), ("linear", 0.55), ("constant", 1.0)])
def test_decay(schedule, middle):
    # 4 steps of warm-up, then steps 4 .. 14 run r from 0 to 1, 9 is half way
    at = [learning_rate_scale(step, 15, 4, schedule, final=0.1) for step in (4, 9, 14)]
    assert at == pytest.approx([1.0, middle, 1.0 if schedule == "constant" else 0.1])


def test_cosine_quarter():
    assert learning_rate_scale(1, 5, 0, "cosine") == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_one_step_run():
    assert learning_rate_scale(0, 1, warmup_length(1), "cosine") == 1.0


def test_warmup_length():
    assert warmup_length(500) == 50
    assert warmup_length(100_000) == 1000
    assert warmup_length(20, 50) == 19
    assert warmup_length(20, 0) == 0


def test_refusals():
    with pytest.raises(ValueError, match="step is 5, expected 0 to 4"):
        learning_rate_scale(5, 5, 0)
    with pytest.raises(ValueError, match="schedule is 'steps'"):
        learning_rate_scale(3, 5, 0, "steps")
