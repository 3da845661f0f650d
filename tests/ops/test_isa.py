from __future__ import annotations

import pytest
import torch

import ssamba_ops
from scan_cases import scan_inputs

pytestmark = pytest.mark.host


def test_levels_are_ordered_and_restored():
    before = ssamba_ops.current_cpu_isa()
    levels = ssamba_ops.available_cpu_isas()
    assert levels[0] == "baseline"
    assert levels[-1] == before
    for level in levels:
        with ssamba_ops.cpu_isa(level):
            assert ssamba_ops.current_cpu_isa() == level
    assert ssamba_ops.current_cpu_isa() == before


def test_levels_are_different_code():
    """Each level rounds in its own order, so results differ in the last bits: the switch is no sham."""
    inputs = scan_inputs((1, 200, 40, 16, 1))
    results = []
    for level in ssamba_ops.available_cpu_isas():
        with ssamba_ops.cpu_isa(level):
            results.append(ssamba_ops.bi_scan(**inputs))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-4, atol=1e-4)
        assert not torch.equal(other, results[0])


def test_unknown_level():
    with (
        pytest.raises(ValueError, match="no level 'sse9'; expected one of baseline, avx2, avx512"),
        ssamba_ops.cpu_isa("sse9"),
    ):
        pass
