"""What torch.utils.flop_counter.FlopCounterMode counts for every op, from shapes alone: the same with and without
gradient and on the meta device, padding of `lengths` included.

* A scan: 9 for each direction, clip, token, channel and state, as published counts of Mamba have it; its gradient three
  times as much, since it walks through the states again and each product has two gradients.
* A product: 2 for each multiply-add; a mixer: its products, convolutions and scans.
* A convolution: 2 for each tap; its gradient twice as much, and once more where SiLU needs its argument again.
* Masks, gates, skips and SiLU: none, as torch counts none for its own elementwise ops.

Source: state-spaces/mamba, issue 110, and VMamba's counter, for the 9.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

ops = torch.ops.ssamba
Shape = tuple[int, ...]


def _scan(delta: Shape, A: Shape) -> int:
    return 9 * prod(delta) * A[-1]  # delta has every direction, clip, token and channel


def _taps(x: Shape, weight: Shape) -> int:
    return 2 * prod(x[:-1]) * prod(weight)


@register_flop_formula([ops.bi_scan, ops.bi_scan_forward, ops.selective_scan, ops.selective_scan_forward])
def scan(u: Shape, delta: Shape, A: Shape, *_: Any, **__: Any) -> int:
    return _scan(delta, A)


@register_flop_formula(ops.bi_scan_backward)
def bi_scan_backward(dout: Shape, checkpoints: Shape, u: Shape, delta: Shape, A: Shape, *_: Any, **__: Any) -> int:
    return 3 * _scan(delta, A)


@register_flop_formula(ops.selective_scan_backward)
def selective_scan_backward(
    dout: Shape, dlast_state: Shape, checkpoints: Shape, u: Shape, delta: Shape, A: Shape, *_: Any, **__: Any
) -> int:
    return 3 * _scan(delta, A)


@register_flop_formula(ops.scan_part)
def scan_part(y: Shape, state: Shape, u: Shape, dt: Shape, dt_weight: Shape, A: Shape, *_: Any, **__: Any) -> int:
    return _scan(u, A) + 2 * prod(u) * dt_weight[-1]  # with the product that makes the step sizes


@register_flop_formula(ops.packed_linear)
def packed_linear(x: Shape, weight: Shape, bias: Shape | None, outputs: int, *_: Any, **__: Any) -> int:
    return 2 * prod(x) * outputs


def _mixer(
    x: Shape,
    in_proj: Shape,
    in_bias: Shape | None,
    conv: Shape,
    conv_bias: Shape,
    x_proj: Shape,
    dt_proj: Shape,
    dt_bias: Shape,
    A: Shape,
    *_: Any,
    **__: Any,
) -> tuple[int, int, int]:
    """Products, convolutions and scans."""
    width, inner, rank, states = x[-1], A[1], dt_proj[-1], A[-1]
    products = 2 * inner * width + 2 * (rank + 2 * states) * inner + 2 * inner * rank + width * inner
    tokens = prod(x[:-1])
    return 2 * tokens * products, 2 * tokens * prod(conv), _scan((2, tokens, inner), A)


@register_flop_formula([ops.bi_mixer, ops.bi_mixer_forward])
def bi_mixer(*inputs: Any, **named: Any) -> int:
    return sum(_mixer(*inputs, **named))


@register_flop_formula(ops.bi_mixer_backward)
def bi_mixer_backward(dout: Shape, xz: Shape, projected: Shape, checkpoints: Shape, *inputs: Any, **named: Any) -> int:
    products, taps, scans = _mixer(*inputs, **named)
    return 2 * products + 3 * taps + 3 * scans


@register_flop_formula(ops.packed_mixer)
def packed_mixer(s: Shape, memory: Shape | None, *inputs: Any, **named: Any) -> int:
    return sum(_mixer(*inputs, **named))


@register_flop_formula([ops.causal_conv1d, ops.bi_conv1d])
def conv1d(x: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    return _taps(x, weight)


@register_flop_formula([ops.causal_conv1d_backward, ops.bi_conv1d_backward])
def conv1d_backward(
    dout: Shape, x: Shape, weight: Shape, bias: Shape | None = None, silu: bool = False, *_: Any, **__: Any
) -> int:
    return (3 if silu else 2) * _taps(x, weight)


@register_flop_formula([ops.patch_mask, ops.patch_mask_backward, ops.sample_patch_mask])
def nothing(*_: Any, **__: Any) -> int:
    return 0
