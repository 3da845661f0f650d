"""bi_conv1d with SiLU, forward and with its gradient."""

from __future__ import annotations

import pytest

from conv_timing import CASES, GRADIENT_CASES, name, time_forward, time_forward_and_backward


@pytest.mark.parametrize("case", CASES, ids=name)
def test_forward(benchmark, case):
    time_forward(benchmark, "bi_conv1d", case)


@pytest.mark.parametrize("case", GRADIENT_CASES, ids=name)
def test_forward_and_backward(benchmark, case):
    time_forward_and_backward(benchmark, "bi_conv1d", case)
