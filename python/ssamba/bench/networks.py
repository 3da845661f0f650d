"""The encoders that are compared: tokens (B, L, D) in, output tokens (B, L, D) out, each 24 or 12 layers and a norm."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..config import SSAMBAConfig
from ..encoder.audio_encoder import AudioEncoder
from ..encoder.layers import BidirectionalMamba
from ..model import SSAMBA
from .scans import ONE_DIRECTION

HEADS = {192: 3, 384: 6, 768: 12}  # of the tiny, small and base vision transformers that SSAST is


class Attention(nn.Module):
    def __init__(self, width: int, explicit: bool) -> None:
        super().__init__()
        self.heads, self.explicit = HEADS[width], explicit
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, H, L, D / H)
        if self.explicit:
            y = (q * q.shape[-1] ** -0.5 @ k.mT).softmax(dim=-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width: int, explicit: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, explicit)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def ssast(width: int, explicit: bool) -> nn.Module:
    """The encoder of SSAST: 12 pre-norm transformer layers."""
    return nn.Sequential(*(Block(width, explicit) for _ in range(12)), nn.LayerNorm(width))


class TransformerStack(nn.Module):
    """The layers of SSAST, called as a stack of ours."""

    def __init__(self, width: int, explicit: bool) -> None:
        super().__init__()
        self.blocks = ssast(width, explicit)[:-1]

    def forward(self, tokens: Tensor, lengths: None = None, wanted: tuple = ()) -> tuple[Tensor, dict]:
        return self.blocks(tokens), {}


def with_transformer(model: SSAMBA, explicit: bool) -> SSAMBA:
    """`model` with the layers of SSAST in place of its own: all else, objectives included, is the same."""
    model.layers = TransformerStack(model.config.embed_dim, explicit)
    return model


class Encoder(nn.Module):
    """The layers and the final norm of an encoder."""

    def __init__(self, model: AudioEncoder) -> None:
        super().__init__()
        self.layers, self.norm = model.layers, model.norm_f

    def forward(self, tokens: Tensor) -> Tensor:
        return self.norm(self.layers(tokens)[0])


class PublishedMixer(nn.Module):
    """The published mixer: each direction convolved, projected, scanned and gated alone, the second on a reversal."""

    def __init__(self, mixer: BidirectionalMamba, scan: Callable[..., Tensor]) -> None:
        super().__init__()
        self.mixer, self.scan = mixer, scan

    def forward(self, s: Tensor) -> Tensor:
        x, z = self.mixer.in_proj(s).chunk(2, dim=-1)
        forward, backward = self.mixer.directions()
        y = self._direction(x, z, forward) + self._direction(x.flip(1), z.flip(1), backward).flip(1)
        return self.mixer.out_proj(y / 2)

    def _direction(self, x: Tensor, z: Tensor, p: tuple[Tensor, ...]) -> Tensor:
        taps, inner, rank = p.conv.shape[1], x.shape[2], p.dt_proj.shape[1]
        u = F.conv1d(x.mT, p.conv.unsqueeze(1), p.conv_bias, padding=taps - 1, groups=inner)[..., : x.shape[1]]
        u = F.silu(u).mT
        states = p.A.shape[1]
        dt, B, C = F.linear(u, p.x_proj).split([rank, states, states], dim=-1)
        return self.scan(u, F.linear(dt, p.dt_proj), p.A, B, C, p.D, z, p.dt_bias)


class PublishedStack(nn.Module):
    """The published pairs of layers, the odd one between reversals of the sequence, on the parameters of `layers`."""

    def __init__(self, layers: nn.ModuleList, scan: Callable[..., Tensor], recomputed: bool = False) -> None:
        super().__init__()
        self.norms = nn.ModuleList(layer.norm for layer in layers)
        self.mixers = nn.ModuleList(PublishedMixer(layer.mixer, scan) for layer in layers)
        self.recomputed = recomputed

    def forward(self, tokens: Tensor, lengths: None = None, wanted: tuple = ()) -> tuple[Tensor, dict]:
        residual, hidden = torch.zeros_like(tokens), tokens
        for k in range(0, len(self.mixers), 2):
            even = residual + hidden
            odd = even.flip(1)
            hidden = self._layer(k, even) + self._layer(k + 1, odd).flip(1)
            residual = even + odd.flip(1)
        return residual + hidden, {}

    def _layer(self, index: int, s: Tensor) -> Tensor:
        def run(s: Tensor) -> Tensor:
            return self.mixers[index](self.norms[index](s))

        return checkpoint(run, s, use_reentrant=False) if self.recomputed else run(s)


def published(model: SSAMBA, scan: str, recomputed: bool = False) -> SSAMBA:
    """`model` with its layers computed as published, over the scan named."""
    model.layers = PublishedStack(model.layers, ONE_DIRECTION[scan], recomputed)
    return model


def transformers_mamba(width: int) -> nn.Module:
    """Hugging Face's Mamba of 24 layers, which reads in one direction; on a CPU it takes its slow path."""
    from transformers import MambaConfig, MambaModel

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = MambaModel(MambaConfig(vocab_size=1, hidden_size=width, num_hidden_layers=24))

        def forward(self, tokens: Tensor) -> Tensor:
            return self.model(inputs_embeds=tokens, use_cache=False).last_hidden_state

    return Tokens()


def encoder(provider: str, size: str, device: str, dtype: torch.dtype) -> nn.Module:
    """The encoder of that provider, ours frozen; raises ImportError if it needs a package that is not installed."""
    if provider.startswith("ssamba"):
        return _frozen(provider, size, device, dtype)
    return _other_encoder(provider, size).to(device, dtype).eval()


def _frozen(provider: str, size: str, device: str, dtype: torch.dtype) -> nn.Module:
    layout = "sequential" if provider.endswith("sequential") else "paired"
    model = SSAMBA(getattr(SSAMBAConfig, size)(layout=layout)).to(device, dtype)
    return Encoder(model.frozen("int8" if provider.endswith("int8") else None, release=True))


def _other_encoder(provider: str, size: str) -> nn.Module:
    config = getattr(SSAMBAConfig, size)(layout="paired")
    if provider.startswith("SSAST"):
        return ssast(config.embed_dim, explicit=provider.endswith("explicit"))
    if provider == "transformers":
        return transformers_mamba(config.embed_dim)
    return Encoder(published(SSAMBA(config), provider.removeprefix("published ")))
