"""What FlopCounterMode counts for an op."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, flop_registry

import ssamba_ops
from conv_cases import conv_inputs
from mixer_cases import mixer_inputs, packed, plain
from scan_cases import as_leaves, scan_inputs

pytestmark = pytest.mark.host
B, L, D, N, W = 2, 33, 12, 4, 3


def count(function, leaves: dict, backward: bool = False, device: str = "cpu") -> int:
    leaves = {name: x.to(device) if isinstance(x, torch.Tensor) else x for name, x in leaves.items()}
    with FlopCounterMode(display=False) as counter:
        out = function(**leaves)
        if backward:
            (out[0] if isinstance(out, tuple) else out).sum().backward()
    return counter.get_total_flops()


def conv(directions: bool) -> dict:
    return conv_inputs((B, L, D, W), directions=directions)


SCAN, CONV = 9 * B * L * D * N, 2 * B * L * D * W
CASES = {
    "bi_scan": (scan_inputs((B, L, D, N, 1)), 2 * SCAN, 6 * SCAN),
    "bi_scan, u shared, two groups": (scan_inputs((B, L, D, N, 2), shared_u=True), 2 * SCAN, 6 * SCAN),
    "selective_scan": (scan_inputs((B, L, D, N, 1), directions=False), SCAN, 3 * SCAN),
    "causal_conv1d": (conv(False), CONV, 2 * CONV),
    "causal_conv1d, SiLU": (conv(False) | {"silu": True}, CONV, 3 * CONV),
    "bi_conv1d": (conv(True), 2 * CONV, 4 * CONV),
    "patch_mask": ({"x": torch.ones(B, L, D), "mask": torch.ones(B, L) > 0, "mask_token": torch.ones(D)}, 0, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_same_number_with_and_without_gradient_and_on_meta(case):
    inputs, forward, backward = CASES[case]
    function = getattr(ssamba_ops, case.partition(",")[0])
    assert count(function, inputs) == forward
    assert count(function, as_leaves(inputs)) == forward
    assert count(function, inputs, device="meta") == forward
    with torch.inference_mode():
        assert count(function, inputs) == forward
    assert count(function, as_leaves(inputs), backward=True) == forward + backward


def test_scan_part_counts_the_product_of_its_step_sizes():
    rank = 5
    inputs = scan_inputs((B, L, D, N, 1), directions=False)
    part = {name: inputs[name] for name in ("u", "A", "B", "C", "D")} | {"dt_bias": inputs["delta_bias"]}
    part |= {"y": torch.empty(B, L, D), "state": torch.zeros(B, D, N)}
    part |= {"dt": torch.ones(B, L, rank), "dt_weight": torch.ones(D, rank)}
    assert count(ssamba_ops.scan_part, part) == SCAN + 2 * B * L * D * rank


def test_a_mixer_counts_its_products_convolutions_and_scans():
    width, rank = 6, 5
    products = 2 * width * D + 2 * D * (rank + 2 * N) + 2 * rank * D + D * width
    with torch.no_grad():
        given = packed(mixer_inputs((B, L, width, D, N, rank, W)))
        assert count(ssamba_ops.packed_mixer, given) == 2 * SCAN + 2 * CONV + 2 * B * L * products
        given = plain(mixer_inputs((B, L, width, D, N, rank, W)))
        assert count(ssamba_ops.bi_mixer, given) == 2 * SCAN + 2 * CONV + 2 * B * L * products
        x, weight = torch.ones(B, L, D), ssamba_ops.pack_matrix(torch.ones(7, D))
        assert count(ssamba_ops.packed_linear, {"x": x, "weight": weight, "bias": None, "outputs": 7}) == 14 * B * L * D
    both = 4 * 2 * SCAN + 5 * 2 * CONV - 2 * CONV + 3 * 2 * B * L * products
    assert count(ssamba_ops.bi_mixer, as_leaves(given), backward=True) == both


def test_every_op_has_a_count():
    names = {
        name.removeprefix("ssamba::").partition(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("ssamba::")
    }
    assert len(names) > 10
    assert {name for name in names if getattr(torch.ops.ssamba, name) not in flop_registry} == set()
