"""The bidirectional Mamba mixer and the layer around it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import SSAMBAConfig
from .mixing import convolve_and_scan, mix
from .packing import pack
from .quantization import Int8Linear

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

    def normalise(self, x: Tensor) -> Tensor:
        """The norm without its affine map, in float32 or wider."""
        x = x.to(_wide(x.dtype))
        if self.bias is None:
            return F.rms_norm(x, self.weight.shape, eps=self.eps)
        # With an affine map, torch's kernel for the CPU takes half the time.
        ones, zeros = x.new_ones(self.weight.shape), x.new_zeros(self.weight.shape)
        return F.layer_norm(x, self.weight.shape, ones, zeros, self.eps)


class Direction(NamedTuple):
    """The parameters of a mixer that one direction has for itself."""

    conv: Tensor  # (E, W)
    conv_bias: Tensor  # (E,)
    x_proj: Tensor  # (r + 2 N, E)
    dt_proj: Tensor  # (E, r)
    dt_bias: Tensor  # (E,)
    A_log: Tensor  # (E, N)
    D: Tensor  # (E,)


class BidirectionalMamba(nn.Module):
    """Selective state-space mixer that reads its sequence forward and backward in time.

    [x, z] = W_in s;  u = SiLU(conv(x)), causal forward, anti-causal backward;  [dt, B, C] = W_x u per direction;
    out = W_out ((y_forward + y_backward) / 2 · SiLU(z)), y the two selective scans with delta = softplus(W_dt dt + b).
    Parameter names are those of the published model; `_b` is the backward direction.
    """

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        width, inner = config.embed_dim, config.inner_dim
        self.rank = config.time_step_rank
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
        w = pack([self], [swap])
        if self.multiplies_plainly:
            return mix([s], w, lengths)
        x, z = self.in_proj(s).chunk(2, dim=-1)
        return self.out_proj(convolve_and_scan(x, z, w, lengths)) / 2

    @property
    def multiplies_plainly(self) -> bool:
        """Whether in_proj and out_proj are matrices, not modules that were put in their place or are watched."""
        return _bare(self.in_proj, nn.Linear) and _bare(self.out_proj, nn.Linear)

    @property
    def multiplies_in_int8(self) -> bool:
        """Whether in_proj is a matrix that multiplies in int8, and out_proj a plain one."""
        in_int8 = _bare(self.in_proj, Int8Linear) and self.in_proj.packed is not None
        return in_int8 and _bare(self.out_proj, nn.Linear)

    def directions(self, swap: bool = False) -> tuple[Direction, Direction]:
        """Forward in time first; the other way round if swapped.

        Raises TypeError for a module that was put in the place of one of these: its weights alone are used.
        """
        for name in ("conv1d", "conv1d_b", "x_proj", "x_proj_b", "dt_proj", "dt_proj_b"):
            module = getattr(self, name)
            if type(module).forward not in (nn.Linear.forward, nn.Conv1d.forward):
                raise TypeError(
                    f"{name} is {type(module).__name__}, which would not be called; only in_proj and out_proj can be "
                    "replaced, for example by adapters"
                )
        forward = (self.conv1d, self.x_proj, self.dt_proj, self.A_log, self.D)
        backward = (self.conv1d_b, self.x_proj_b, self.dt_proj_b, self.A_b_log, self.D_b)
        forward, backward = (
            Direction(conv.weight[:, 0], conv.bias, x_proj.weight, dt_proj.weight, dt_proj.bias, A_log, D)
            for conv, x_proj, dt_proj, A_log, D in (forward, backward)
        )
        return (backward, forward) if swap else (forward, backward)


class Layer(nn.Module):
    """Norm, then the bidirectional mixer; the residual is added by the stack."""

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        self.norm = Norm(config)
        self.mixer = BidirectionalMamba(config)

    def forward(self, s: Tensor, lengths: Tensor | None = None, swap: bool = False) -> Tensor:
        return self.mixer(self.norm(s), lengths, swap)


def foldable(layer: nn.Module, int8: bool = False) -> bool:
    """Whether a layer's weights can be used without a call: no wrapper, such as FSDP's, and no hook would miss it.

    `int8` allows an in_proj that multiplies in int8.
    """
    parts = _bare(layer, Layer) and _bare(layer.norm, Norm) and _bare(layer.mixer, BidirectionalMamba)
    return parts and (layer.mixer.multiplies_plainly or (int8 and layer.mixer.multiplies_in_int8))


def _bare(module: nn.Module, kind: type[nn.Module]) -> bool:
    hooks = (module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks)
    return type(module) is kind and not any(hooks)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
