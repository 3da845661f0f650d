"""The bidirectional Mamba mixer, the layer around it, and the two ways in which layers are stacked."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import ssamba_ops

from .config import SSAMBAConfig

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4  # range of the step sizes at initialisation


class Norm(nn.Module):
    """Layer norm or root-mean-square norm over the last axis, computed in float32 or wider whatever the input."""

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.weight = nn.Parameter(torch.ones(config.embed_dim))
        self.bias = nn.Parameter(torch.zeros(config.embed_dim)) if config.norm == "layernorm" else None

    def forward(self, x: Tensor) -> Tensor:
        wide = _wide(x.dtype)
        if self.bias is None:
            y = F.rms_norm(x.to(wide), self.weight.shape, self.weight.to(wide), self.eps)
        else:
            y = F.layer_norm(x.to(wide), self.weight.shape, self.weight.to(wide), self.bias.to(wide), self.eps)
        return y.to(x.dtype)


class BidirectionalMamba(nn.Module):
    """Selective state-space mixer that reads its sequence forward and backward in time.

    [x, z] = W_in s;  u = SiLU(conv(x)), causal forward, anti-causal backward;  [dt, B, C] = W_x u per direction;
    out = W_out ((y_forward + y_backward) / 2 · SiLU(z)), y the two selective scans with delta = softplus(W_dt dt + b).
    Parameter names are those of the published model; `_b` is the backward direction.
    """

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        width, inner = config.embed_dim, config.inner_dim
        self.rank, self.state_size = config.time_step_rank, config.state_size
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, config.conv_width, groups=inner)
        self.conv1d_b = nn.Conv1d(inner, inner, config.conv_width, groups=inner)
        self.x_proj = nn.Linear(inner, self.rank + 2 * config.state_size, bias=False)
        self.x_proj_b = nn.Linear(inner, self.rank + 2 * config.state_size, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.dt_proj_b = nn.Linear(self.rank, inner)
        decay = torch.log(torch.arange(1.0, config.state_size + 1)).repeat(inner, 1)
        self.A_log, self.A_b_log = nn.Parameter(decay), nn.Parameter(decay.clone())  # (E, N)
        self.D, self.D_b = nn.Parameter(torch.ones(inner)), nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        self._initialise(config)

    @torch.no_grad()
    def _initialise(self, config: SSAMBAConfig) -> None:
        for dt_proj in (self.dt_proj, self.dt_proj_b):
            nn.init.uniform_(dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
            dt = torch.empty_like(dt_proj.bias).uniform_(math.log(DT_MIN), math.log(DT_MAX)).exp().clamp(min=DT_FLOOR)
            dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # softplus(bias) = dt
        if config.backward_dt_init == "zero_bias":
            self.dt_proj_b.bias.zero_()
        self.out_proj.weight.div_(math.sqrt(config.depth))

    def forward(self, s: Tensor, lengths: Tensor | None = None, swap: bool = False) -> Tensor:
        """Mixes s (B, L, D) along time; `swap` exchanges the directions, as if s and the result were reversed.

        `lengths` (B,) are the valid tokens of each clip; the others neither read nor write.
        """
        x, z = self.in_proj(s).chunk(2, dim=-1)  # (B, L, E) each
        conv, bias, x_proj, dt_proj, dt_bias, A_log, D = self._directions(swap)
        u = ssamba_ops.bi_conv1d(x, conv.to(x.dtype), bias.to(x.dtype), silu=True, lengths=lengths)  # (2, B, L, E)
        projected = torch.matmul(u.flatten(1, 2), x_proj.mT).unflatten(1, u.shape[1:3])  # (2, B, L, r + 2 N)
        dt, B, C = projected.split([self.rank, self.state_size, self.state_size], dim=-1)
        delta = torch.matmul(dt.flatten(1, 2), dt_proj.mT).unflatten(1, u.shape[1:3])  # (2, B, L, E)
        wide = _wide(s.dtype)
        A = -torch.exp(A_log.to(wide))
        y = ssamba_ops.bi_scan(
            u, delta, A, B, C, D.to(wide), z, dt_bias.to(wide), delta_softplus=True, lengths=lengths
        )  # (B, L, E)
        return self.out_proj(y) / 2

    def _directions(self, swap: bool) -> list[Tensor]:
        """The parameters of both directions, stacked on a leading axis: forward in time first."""
        forward = (self.conv1d, self.x_proj, self.dt_proj, self.A_log, self.D)
        backward = (self.conv1d_b, self.x_proj_b, self.dt_proj_b, self.A_b_log, self.D_b)
        parts = []
        for conv, x_proj, dt_proj, A_log, D in (backward, forward) if swap else (forward, backward):
            parts.append((conv.weight[:, 0], conv.bias, x_proj.weight, dt_proj.weight, dt_proj.bias, A_log, D))
        return [torch.stack(pair) for pair in zip(*parts, strict=True)]


class Layer(nn.Module):
    """Norm, then the bidirectional mixer; the residual is added by the stack."""

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        self.norm = Norm(config)
        self.mixer = BidirectionalMamba(config)

    def forward(self, s: Tensor, lengths: Tensor | None = None, swap: bool = False) -> Tensor:
        return self.mixer(self.norm(s), lengths, swap)


class Stack(nn.ModuleList):
    """Layers and their residual adds; calling it gives the final residual and the states asked for on the way."""

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__(Layer(config) for _ in range(config.depth))
        self.drop_path = config.drop_path
        self.checkpointing = False

    def run(self, index: int, s: Tensor, lengths: Tensor | None, swap: bool = False) -> Tensor:
        if self.checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(self[index], s, lengths, swap, use_reentrant=False)
        return self[index](s, lengths, swap)

    def rate(self, index: int) -> float:
        """Stochastic depth of the output of layer `index`: from 0 for the first to `drop_path` for the last."""
        return self.drop_path * index / max(1, len(self) - 1)


class SequentialStack(Stack):
    """x ← x + layer(x), layer after layer."""

    def forward(
        self, tokens: Tensor, lengths: Tensor | None = None, wanted: Collection[int] = ()
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """tokens (B, L, D) → state after the last layer, and {layer: state after it} for the layers in `wanted`."""
        states = {}
        for index in range(len(self)):
            hidden = self.run(index, tokens, lengths)
            tokens = tokens + stochastic_depth(hidden, self.rate(index), self.training)
            if index in wanted:
                states[index] = tokens
        return tokens, states


class PairedStack(Stack):
    """The published stack: layers 2k and 2k+1 read the same residual, the odd one in reversed time, and it doubles.

    S = R + H;  H ← layer_2k(S) + J layer_2k+1(J S);  R ← 2 S, with J the reversal of the sequence. A bidirectional
    layer between two reversals is the layer with its directions exchanged, so nothing is reversed in memory.
    """

    def forward(
        self, tokens: Tensor, lengths: Tensor | None = None, wanted: Collection[int] = ()
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """tokens (B, L, D) → final residual, and {layer: R + H after its pair} for the layers in `wanted`."""
        states = {}
        even = odd = tokens  # what the two layers of a pair read; they differ only by stochastic depth
        for index in range(0, len(self), 2):
            hidden = self.pair(index, even, odd, lengths)
            residual = even + odd
            states.update((i, residual + hidden) for i in (index, index + 1) if i in wanted)
            if index + 2 < len(self):  # each reader drops for itself; the published rate of reader i is that of i - 1
                even, odd = (
                    residual + stochastic_depth(hidden, self.rate(i), self.training) for i in (index + 1, index + 2)
                )
        return residual + stochastic_depth(hidden, self.drop_path, self.training), states

    def pair(self, index: int, even: Tensor, odd: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.run(index, even, lengths) + self.run(index + 1, odd, lengths, swap=True)


def make_stack(config: SSAMBAConfig) -> Stack:
    return {"sequential": SequentialStack, "paired": PairedStack}[config.layout](config)


def stochastic_depth(x: Tensor, rate: float, training: bool) -> Tensor:
    """In training, drops x (B, …) of a clip with probability `rate` and divides it by 1 - rate otherwise."""
    if not training or rate == 0:
        return x
    keep = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device) >= rate
    return x * (keep.to(x.dtype) / (1 - rate))


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
