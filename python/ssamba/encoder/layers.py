"""The bidirectional Mamba mixer and the layer around it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ssamba_ops

from ..config import SSAMBAConfig
from .mixing import convolve_and_scan, mix, normalise
from .packing import Direction, MixerTensors, fold, pack
from .shortcuts import readable, reason_to_call

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4  # range of the step sizes at initialisation


# The parts of a mixer as they are made: their class, and the parameters that their weights are taken from.
_LINEAR, _AFFINE, _CONV = (nn.Linear, ("weight",)), (nn.Linear, ("weight", "bias")), (nn.Conv1d, ("weight", "bias"))
OUTER = {"in_proj": _LINEAR, "out_proj": _LINEAR}
INNER = {
    "conv1d": _CONV,
    "conv1d_b": _CONV,
    "x_proj": _LINEAR,
    "x_proj_b": _LINEAR,
    "dt_proj": _AFFINE,
    "dt_proj_b": _AFFINE,
}


@readable
class Norm(nn.Module):
    """Layer norm or root-mean-square norm over the last axis, computed in float32 or wider whatever the input."""

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.weight = nn.Parameter(torch.ones(config.embed_dim))
        self.bias = nn.Parameter(torch.zeros(config.embed_dim)) if config.norm == "layernorm" else None

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        if self.bias is None:
            y = F.rms_norm(x.to(wide), self.weight.shape, self.weight.to(wide), self.eps)
        else:
            y = F.layer_norm(x.to(wide), self.weight.shape, self.weight.to(wide), self.bias.to(wide), self.eps)
        return y.to(x.dtype)

    def normalise(self, x: Tensor) -> Tensor:
        """The norm without its affine map, in float32 or wider."""
        return normalise(x, self.eps, centred=self.bias is not None)


@readable
class BidirectionalMamba(nn.Module):
    """Selective state-space mixer that reads its sequence forward and backward in time.

    [x, z] = W_in s;  u = SiLU(conv(x)), causal forward, anti-causal backward;  [dt, B, C] = W_x u per direction;
    out = W_out ((y_forward + y_backward) / 2 · SiLU(z)), y the two selective scans with delta = softplus(W_dt dt + b).
    Parameter names are those of the published model; `_b` is the backward direction. Parts that were replaced or are
    watched are called; what all others compute is computed from their weights at once.
    """

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        width, inner = config.embed_dim, config.inner_dim
        self.rank, self.states, self.taps = config.time_step_rank, config.state_size, config.conv_width
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
        inner_called = self.part_to_call(INNER) is not None
        if not inner_called and self.part_to_call(OUTER) is None:
            return mix([s], pack([self.tensors(swap)]), lengths)
        x, z = self.in_proj(s).chunk(2, dim=-1)
        if inner_called:
            y = self._call_inner(x, z, lengths, swap)
        else:
            y = convolve_and_scan(x, z, pack([MixerTensors(None, None, None, self.directions(swap))]), lengths)
        return self.out_proj(y) / 2

    def part_to_call(self, parts: dict[str, tuple[type[nn.Module], tuple[str, ...]]]) -> tuple[str, str] | None:
        """Name of the first of the parts that must be called, and why; see `shortcuts`."""
        for name, (kind, tensors) in parts.items():
            if reason := reason_to_call(getattr(self, name), kind, tensors):
                return name, reason
        return None

    def tensors(self, swap: bool = False) -> MixerTensors:
        """What the mixer computes with, by name; `swap` exchanges the directions."""
        return MixerTensors(self.in_proj.weight, None, self.out_proj.weight, self.directions(swap))

    def directions(self, swap: bool = False) -> tuple[Direction, Direction]:
        """Forward in time first; the other way round if swapped."""
        forward, backward = (
            Direction(conv.weight[:, 0], conv.bias, x_proj.weight, dt_proj.weight, dt_proj.bias, _decay(A_log), D)
            for conv, x_proj, dt_proj, A_log, D in self._sides(False)
        )
        return (backward, forward) if swap else (forward, backward)

    def _sides(self, swap: bool) -> tuple[tuple, tuple]:
        forward = (self.conv1d, self.x_proj, self.dt_proj, self.A_log, self.D)
        backward = (self.conv1d_b, self.x_proj_b, self.dt_proj_b, self.A_b_log, self.D_b)
        return (backward, forward) if swap else (forward, backward)

    def _call_inner(self, x: Tensor, z: Tensor, lengths: Tensor | None, swap: bool) -> Tensor:
        """Everything between in_proj and out_proj by calls: x and z (B, L, E) → (B, L, E)."""
        if lengths is not None:
            valid = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
            x = torch.where(valid.unsqueeze(-1), x, torch.zeros_like(x))
        sides = []
        for reverse, (conv, x_proj, dt_proj, A_log, D) in zip((False, True), self._sides(swap), strict=True):
            past = F.pad((x.flip(1) if reverse else x).mT, (self.taps - 1, 0))  # (B, E, W - 1 + L)
            u = F.silu(conv(past)).mT
            u = u.flip(1) if reverse else u
            dt, B, C = x_proj(u).split([self.rank, self.states, self.states], dim=-1)
            sides.append((u, dt_proj(dt), B, C, _decay(A_log), D.to(torch.promote_types(D.dtype, torch.float32))))
        u, delta, B, C, A, D = (torch.stack(pair) for pair in zip(*sides, strict=True))
        delta, B, C, z = (tensor.to(u.dtype) for tensor in (delta, B, C, z))
        return ssamba_ops.bi_scan(u, delta, A, B, C, D, z, delta_softplus=True, lengths=lengths)


@readable
class Layer(nn.Module):
    """Norm, then the bidirectional mixer; the residual is added by the stack."""

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        self.norm = Norm(config)
        self.mixer = BidirectionalMamba(config)

    def forward(self, s: Tensor, lengths: Tensor | None = None, swap: bool = False) -> Tensor:
        return self.mixer(self.norm(s), lengths, swap)

    def folded(self, swap: bool = False) -> MixerTensors:
        """What the layer computes with behind a norm without affine map."""
        return fold(self.mixer.tensors(swap), self.norm.weight, self.norm.bias)


def part_to_call(layer: nn.Module) -> tuple[str, str] | None:
    """Path of the first module in a layer, itself "", that must be called, and why; None if its weights will do."""
    if reason := reason_to_call(layer, Layer):
        return "", reason
    if reason := reason_to_call(layer.norm, Norm, _names(layer.norm)):
        return "norm", reason
    mixer = layer.mixer
    if reason := reason_to_call(mixer, BidirectionalMamba):
        return "mixer", reason
    found = mixer.part_to_call(OUTER) or mixer.part_to_call(INNER)
    return found and (f"mixer.{found[0]}", found[1])


def _names(norm: Norm) -> tuple[str, ...]:
    return ("weight",) if getattr(norm, "bias", None) is None else ("weight", "bias")


def _decay(A_log: Tensor) -> Tensor:
    return -torch.exp(A_log.to(torch.promote_types(A_log.dtype, torch.float32)))
