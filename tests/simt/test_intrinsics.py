"""The emulated device functions do what CUDA's do."""

from __future__ import annotations

import pytest
import torch

import emulator

if emulator.LIBRARY is None:
    pytest.skip("needs the emulated GPU: make simt", allow_module_level=True)

LIBRARY = emulator.load()
LANES = range(32)


def within(source: int, lane: int, width: int) -> int:
    """The lane that is read: one outside the segment of the reading lane gives the lane itself."""
    return source if source // width == lane // width and source >= 0 else lane


@pytest.mark.parametrize("seed", emulator.SEEDS)
def test_warp_calls(seed):
    LIBRARY.ssamba_simt_seed(seed)
    x = torch.randn(32, generator=torch.Generator().manual_seed(0))
    v = x.tolist()
    expected = [
        [v[lane // 8 * 8 + lane * 7 % 8] for lane in LANES],
        [v[max(lane - 3, 0) if lane >= 3 else lane] for lane in LANES],
        [v[within(lane + 5, lane, 16)] for lane in LANES],
        [v[lane ^ 9] for lane in LANES],
        [v[lane ^ 24 if lane ^ 24 < lane // 16 * 16 + 16 else lane] for lane in LANES],
        [v[31 - lane] + 0.5 for lane in LANES],
        [3.0] * 32,
        [float(sum(1 << lane for lane in LANES if lane % 8 == 2))] * 32,
        [1.0] * 32,
        [0.0] * 32,
        [-1.0 if lane % 2 else float(0x5555) for lane in LANES],
    ]
    actual = torch.ops.ssamba_simt_intrinsics.warp_calls(x)
    for row, (a, b) in enumerate(zip(actual, expected, strict=True)):
        torch.testing.assert_close(a, torch.tensor(b), rtol=1e-7, atol=0, msg=f"call {row}")
    LIBRARY.ssamba_simt_seed(0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_rounds_as_torch_does(dtype):
    bits = torch.randint(-(2**31), 2**31, (5000,), generator=torch.Generator().manual_seed(0)).int()
    special = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 65504.0, 65520.0, 6e-8, 2.9e-8, 1.00390625])
    ties = torch.arange(1000, dtype=torch.float32) / 4096 + 1
    x = torch.cat([bits.view(torch.float32), special, ties, ties * 2.0**-16])
    name = {torch.float16: "rounded_to_half", torch.bfloat16: "rounded_to_bfloat16"}[dtype]
    actual = getattr(torch.ops.ssamba_simt_intrinsics, name)(x)
    torch.testing.assert_close(actual, x.to(dtype).float(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("seed", range(4))
def test_approximate_instructions_are_off_by_what_their_manual_allows(seed):
    LIBRARY.ssamba_simt_error_seed(seed)
    x = torch.rand(5000, generator=torch.Generator().manual_seed(0)) * 252 - 125.5
    power, quotient = torch.ops.ssamba_simt_intrinsics.approximate(x).double()
    error = (power / torch.exp2(x.double()) - 1).abs() * 2**22
    assert 0.9 < error.max() <= 1.25  # and the rounding of the result
    exact = 1 / x.double()
    units = (quotient - exact).abs() / torch.exp2(exact.abs().log2().floor() - 23)
    assert 1.5 < units.max() <= 2
    again = torch.ops.ssamba_simt_intrinsics.approximate(x.flip(0)).double()
    assert torch.equal(again.flip(1), torch.stack([power, quotient]))


def test_the_seed_decides_on_the_errors():
    x = torch.linspace(-3, 3, 64)
    results = []
    for seed in range(2):
        LIBRARY.ssamba_simt_error_seed(seed)
        results.append(torch.ops.ssamba_simt_intrinsics.approximate(x))
    assert not torch.equal(*results)


def test_approximate_instructions_where_they_are_exact():
    inf, nan, tiny = torch.inf, torch.nan, 2.0**-127
    x = torch.tensor([0.0, -0.0, tiny, -126.5, -200.0, 129.0, inf, -inf, nan])
    power = torch.ops.ssamba_simt_intrinsics.approximate(x)[0]
    expected = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, inf, inf, 0.0, nan])  # a subnormal result is 0
    torch.testing.assert_close(power, expected, rtol=0, atol=0, equal_nan=True)
    y = torch.tensor([2.0**127, -(2.0**127), inf, 0.0, nan])
    quotient = torch.ops.ssamba_simt_intrinsics.approximate(y)[1]
    torch.testing.assert_close(quotient, torch.tensor([0.0, -0.0, 0.0, inf, nan]), rtol=0, atol=0, equal_nan=True)
