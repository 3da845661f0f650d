"""The definition of every op in plain torch: obvious rather than fast, and what each kernel is checked against.

Each function has the signature of the op of the same name and computes in float32, or in float64 when the inputs are
float64. A Python loop walks over time; autograd differentiates it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def bi_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    lengths: Tensor | None = None,
) -> Tensor:
    u = u if u.dim() == 4 else u.expand(2, *u.shape)
    y = sum(
        _scan(u[r], delta[r], A[r], B[r], C[r], _at(D, r), _at(delta_bias, r), delta_softplus, None, bool(r), lengths)[
            0
        ]
        for r in range(2)
    )
    return _gate(y, z).to(u.dtype)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    initial_state: Tensor | None = None,
    reverse: bool = False,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    y, state = _scan(u, delta, A, B, C, D, delta_bias, delta_softplus, initial_state, reverse, lengths)
    return _gate(y, z).to(u.dtype), state


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    silu: bool = False,
    initial_state: Tensor | None = None,
    reverse: bool = False,
    lengths: Tensor | None = None,
) -> Tensor:
    length, width = x.shape[1], weight.shape[1]
    wide = _accumulation_dtype(x)
    valid = _valid(x, lengths)
    signal = torch.where(valid, x.to(wide), 0.0)
    history = _history(signal, width - 1, initial_state)  # (B, W-1, D)
    if reverse:
        signal, weight = _append_at_end(signal, history, lengths), weight.flip(1)
    else:
        signal = torch.cat([history, signal], dim=1)
    y = sum(weight[:, k].to(wide) * signal[:, k : k + length] for k in range(width))  # (B, L, D)
    y = y if bias is None else y + bias.to(wide)
    y = _silu(y) if silu else y
    return torch.where(valid, y, 0.0).to(x.dtype)


def bi_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, silu: bool = False, lengths: Tensor | None = None
) -> Tensor:
    return torch.stack(
        [causal_conv1d(x, weight[r], _at(bias, r), silu, reverse=bool(r), lengths=lengths) for r in range(2)]
    )


def bi_mixer(
    x: Tensor,
    in_proj: Tensor,
    in_bias: Tensor | None,
    conv: Tensor,
    conv_bias: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    out_proj: Tensor,
    lengths: Tensor | None = None,
) -> Tensor:
    a, z = F.linear(x, in_proj, in_bias).chunk(2, dim=-1)
    u = bi_conv1d(a, conv, conv_bias, silu=True, lengths=lengths)
    rank, states = dt_proj.shape[2], A.shape[2]
    dt, B, C = torch.einsum("rble,rpe->rblp", u, x_proj).split([rank, states, states], dim=-1)
    delta = torch.einsum("rblp,rep->rble", dt, dt_proj)
    y = bi_scan(u, delta, A, B, C, D, z, dt_bias, delta_softplus=True, lengths=lengths)
    return F.linear(y, out_proj)


def packed_mixer(
    s: Tensor,
    x: Tensor,
    in_proj: Tensor,  # here and below plain matrices: (2, E, D)
    in_bias: Tensor | None,
    *others: Tensor,
    times: float = 1.0,
    lengths: Tensor | None = None,
    **named: Tensor,
) -> Tensor:
    """What the op leaves in s."""
    bias = None if in_bias is None else in_bias.flatten()
    return times * s + bi_mixer(x, in_proj.flatten(0, 1), bias, *others, **named, lengths=lengths) / 2


def patch_mask(x: Tensor, mask: Tensor, mask_token: Tensor, pos: Tensor | None = None) -> Tensor:
    wide = _accumulation_dtype(x)
    y = torch.where(mask.unsqueeze(-1), mask_token.to(wide), x.to(wide))
    return (y if pos is None else y + pos.to(wide)).to(x.dtype)


def sample_patch_mask(
    batch: int, rows: int, cols: int, masked: int, min_cluster: int, max_cluster: int, seed: int
) -> Tensor:
    mask = torch.zeros(batch, rows, cols, dtype=torch.bool)
    for clip in range(batch):
        below = _random_stream(seed, clip)
        side = min_cluster + below(max_cluster - min_cluster + 1)
        covered: set[tuple[int, int]] = set()
        while len(covered) < masked:
            top, left = below(rows + side - 1) - (side - 1), below(cols + side - 1) - (side - 1)
            square = [
                (row, col)
                for row in range(max(top, 0), min(top + side, rows))
                for col in range(max(left, 0), min(left + side, cols))
            ]
            fresh = [cell for cell in square if cell not in covered]
            covered.update(fresh)
            for i in range(len(covered) - masked):  # a shuffle, as far as needed, of what the last square covered
                j = i + below(len(fresh) - i)
                covered.remove(fresh[j])
                fresh[j] = fresh[i]
        for row, col in covered:
            mask[clip, row, col] = True
    return mask.flatten(1)


def _scan(
    u: Tensor,  # (B, L, D)
    delta: Tensor,  # (B, L, D)
    A: Tensor,  # (D, N)
    B: Tensor,  # (B, L, N) or (B, L, G, N)
    C: Tensor,  # like B
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    initial_state: Tensor | None,
    reverse: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor]:
    wide = _accumulation_dtype(u)
    batch, length, channels = u.shape
    u, delta, A = u.to(wide), delta.to(wide), A.to(wide)
    B, C = _per_channel(B.to(wide), channels), _per_channel(C.to(wide), channels)  # (B, L, D, N)
    if delta_bias is not None:
        delta = delta + delta_bias.to(wide)
    if delta_softplus:
        delta = F.softplus(delta, threshold=20.0)
    valid = _valid(u, lengths)  # (B, L, 1)
    state = u.new_zeros(batch, channels, A.shape[1]) if initial_state is None else initial_state.to(wide)
    y = [u.new_zeros(batch, channels)] * length
    for t in reversed(range(length)) if reverse else range(length):
        step = torch.exp(delta[:, t, :, None] * A) * state + (delta[:, t] * u[:, t]).unsqueeze(-1) * B[:, t]
        state = torch.where(valid[:, t, :, None], step, state)
        y[t] = (state * C[:, t]).sum(-1)
    out = torch.stack(y, dim=1) if length else torch.zeros_like(u)
    out = out if D is None else out + D.to(wide) * u
    return torch.where(valid, out, torch.zeros_like(out)), state


def _gate(y: Tensor, z: Tensor | None) -> Tensor:
    return y if z is None else y * _silu(z.to(y.dtype))


def _silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)  # torch's own has no tangent of its gradient


def _accumulation_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _at(x: Tensor | None, r: int) -> Tensor | None:
    return None if x is None else x[r]


def _per_channel(x: Tensor, channels: int) -> Tensor:
    x = x.unsqueeze(2) if x.dim() == 3 else x
    return x.repeat_interleave(channels // x.shape[2], dim=2)


def _valid(x: Tensor, lengths: Tensor | None) -> Tensor:
    time = torch.arange(x.shape[1], device=x.device)
    ends = x.new_full((x.shape[0],), x.shape[1], dtype=torch.int64) if lengths is None else lengths.to(torch.int64)
    return (time < ends[:, None]).unsqueeze(-1)


def _history(signal: Tensor, taps: int, initial_state: Tensor | None) -> Tensor:
    if initial_state is None:
        return signal.new_zeros(signal.shape[0], taps, signal.shape[2])
    return initial_state.to(signal.dtype)


def _append_at_end(signal: Tensor, history: Tensor, lengths: Tensor | None) -> Tensor:
    """Puts each clip's history right behind the clip's own last token, so that a reversed filter finds it there."""
    batch, length, channels = signal.shape
    padded = torch.cat([signal, torch.zeros_like(history)], dim=1)
    ends = signal.new_full((batch,), length, dtype=torch.int64) if lengths is None else lengths.to(torch.int64)
    rows = ends[:, None] + torch.arange(history.shape[1], device=signal.device)  # (B, W-1)
    return padded.scatter(1, rows.unsqueeze(-1).expand(-1, -1, channels), history)


def _random_stream(seed: int, stream: int) -> Callable[[int], int]:
    """SplitMix64 by counter: a function below(n), uniform in [0, n)."""
    bits = (1 << 64) - 1

    def hashed(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & bits
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & bits
        return z ^ (z >> 31)

    counter = hashed((hashed(seed & bits) + stream) & bits)

    def below(n: int) -> int:
        nonlocal counter
        counter = (counter + 0x9E3779B97F4A7C15) & bits
        return hashed(counter) * n >> 64

    return below
