"""What computes each op on a GPU: this library, and what people use today where it is installed.

Peers get their own layout, channels before time, and the scan's inputs for the backward direction already reversed:
only the flips that a model cannot avoid are timed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import ssamba_ops


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What is timed, the tensors that gradients are taken of, and how the call's results make what our op returns."""

    call: Callable[[], tuple[Tensor, ...]]
    leaves: list[Tensor]
    assemble: Callable[..., Tensor] = lambda out: out


Provider = Callable[[dict[str, Tensor]], Prepared]


class NotInstalled(Exception):
    """Says why a provider cannot be run here."""


def leaf(x: Tensor) -> Tensor:
    return x.detach().contiguous().requires_grad_()


def ours(op: str, **options: object) -> Provider:
    def prepare(inputs: dict[str, Tensor]) -> Prepared:
        leaves = {name: leaf(x) if x.is_floating_point() else x for name, x in inputs.items()}
        function = getattr(ssamba_ops, op)
        return Prepared(lambda: (function(**leaves, **options),), [x for x in leaves.values() if x.requires_grad])

    return prepare


def two_selective_scans(inputs: dict[str, Tensor]) -> Prepared:
    """mamba-ssm's scan in each direction: the gate is reversed for the second, and its result back."""
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError as error:
        raise NotInstalled(f"mamba-ssm does not import ({error})") from error
    z = leaf(inputs["z"].mT)
    directions = []
    for r in range(2):
        u, delta, B, C = (inputs[name][r].mT for name in ("u", "delta", "B", "C"))
        parts = [leaf(x.flip(-1) if r else x) for x in (u, delta, B, C)]
        directions.append(parts + [leaf(inputs[name][r]) for name in ("A", "D", "delta_bias")])

    def call() -> tuple[Tensor]:
        results = []
        for r, (u, delta, B, C, A, D, bias) in enumerate(directions):
            gate = z.flip(-1) if r else z
            out = selective_scan_fn(u, delta, A, B, C, D, z=gate, delta_bias=bias, delta_softplus=True)
            results.append(out.flip(-1) if r else out)
        return (results[0] + results[1],)

    return Prepared(call, [z, *directions[0], *directions[1]], lambda out: out.mT)


def two_causal_convs(inputs: dict[str, Tensor]) -> Prepared:
    """causal-conv1d's filter on the signal and on the reversed one, whose result stays reversed for the next scan."""
    try:
        from causal_conv1d import causal_conv1d_fn
    except ImportError as error:
        raise NotInstalled(f"causal-conv1d does not import ({error})") from error
    x = leaf(inputs["x"].mT)
    weight, bias = leaf(inputs["weight"].to(x.dtype)), leaf(inputs["bias"].to(x.dtype))

    def call() -> tuple[Tensor, Tensor]:
        return (
            causal_conv1d_fn(x, weight[0], bias[0], activation="silu"),
            causal_conv1d_fn(x.flip(-1), weight[1], bias[1], activation="silu"),
        )

    return Prepared(call, [x, weight, bias], lambda ahead, behind: torch.stack([ahead.mT, behind.flip(-1).mT]))


def compiled_conv(inputs: dict[str, Tensor]) -> Prepared:
    """The convolution as a sum of shifted products, compiled."""
    leaves = {name: leaf(x) for name, x in inputs.items()}

    @torch.compile
    def conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        width = weight.shape[-1]
        ahead, behind = F.pad(x, (0, 0, width - 1, 0)), F.pad(x, (0, 0, 0, width - 1))
        forward = sum(weight[0, :, k] * ahead[:, k : k + x.shape[1]] for k in range(width))
        backward = sum(weight[1, :, width - 1 - k] * behind[:, k : k + x.shape[1]] for k in range(width))
        return F.silu(torch.stack([forward + bias[0], backward + bias[1]])).to(x.dtype)

    return Prepared(lambda: (conv(**leaves),), list(leaves.values()))


def compiled_mask(inputs: dict[str, Tensor]) -> Prepared:
    leaves = {name: leaf(x) if x.is_floating_point() else x for name, x in inputs.items()}

    @torch.compile
    def mask_patches(x: Tensor, mask: Tensor, mask_token: Tensor, pos: Tensor) -> Tensor:
        return torch.where(mask.unsqueeze(-1), mask_token.to(x.dtype), x) + pos.to(x.dtype)

    return Prepared(lambda: (mask_patches(**leaves),), [x for x in leaves.values() if x.requires_grad])


# A scan compiled by torch would be its loop over time, unrolled: thousands of steps, which takes longer to compile than
# the whole benchmark may.
PROVIDERS: dict[str, dict[str, Provider]] = {
    "bi_scan": {"ssamba": ours("bi_scan", delta_softplus=True), "mamba-ssm": two_selective_scans},
    "bi_conv1d": {
        "ssamba": ours("bi_conv1d", silu=True),
        "causal-conv1d": two_causal_convs,
        "compile": compiled_conv,
    },
    "patch_mask": {"ssamba": ours("patch_mask"), "compile": compiled_mask},
}
