"""From log-mel to tokens and classes: what a model in training and a frozen one have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ssamba_ops

from ..audio.network_input import network_input, normalise
from ..config import SSAMBAConfig
from .grid import PatchGrid, column_times, published_segments
from .layers import Norm
from .position import adapt_position_table, clip_positions
from .shortcuts import reason_to_call

# tokens (B, L, D), token lengths (B,) or None, layers -> the last state, and {layer: state after it}
RunLayers = Callable[[Tensor, Tensor | None, Collection[int]], tuple[Tensor, dict[int, Tensor]]]


class PatchEmbedding(nn.Module):
    """Linear map of raw patches to tokens, kept as the convolution that the published checkpoints hold."""

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        shape, stride = (config.fshape, config.tshape), (config.fstride, config.tstride)
        self.shape = shape
        self.proj = nn.Conv2d(1, config.embed_dim, shape, stride)

    def forward(self, patches: Tensor) -> Tensor:
        """patches (B, P, fshape · tshape) → (B, P, D)."""
        if reason_to_call(self.proj, nn.Conv2d, ("weight", "bias")):
            images = patches.unflatten(-1, self.shape).flatten(0, 1).unsqueeze(1)  # (B P, 1, fshape, tshape)
            return self.proj(images.to(next(self.proj.parameters()).dtype)).flatten(1).unflatten(0, patches.shape[:2])
        return F.linear(patches.to(self.proj.weight.dtype), self.proj.weight.flatten(1), self.proj.bias)


def make_head(config: SSAMBAConfig) -> nn.Module | None:
    """From a token or a mean of tokens to class scores."""
    if config.num_classes is None:
        return None
    return nn.Sequential(nn.LayerNorm(config.embed_dim, eps=1e-5), nn.Linear(config.embed_dim, config.num_classes))


def raw_patches(x: Tensor, shape: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """Cuts x (B, T, F) into patches (B, f · t, fshape · tshape), frequency-major; element order tshape · df + dt."""
    blocks = (
        x.transpose(1, 2).unfold(1, shape[0], stride[0]).unfold(2, shape[1], stride[1])
    )  # (B, f, t, fshape, tshape)
    return blocks.flatten(3).flatten(1, 2)


class AudioEncoder(nn.Module):
    """Encoder of log-mel patches; a subclass makes its parts.

    Input x is (B, T, F): T frames of F mel bins, normalised as `features` returns it; T may be anything from one patch
    up. Tokens are a cls token, then the patches frequency-major. `lengths` (B,) counts the valid frames of each clip;
    a clip in a padded batch gives what it gives alone.
    """

    config: SSAMBAConfig
    patch_embed: PatchEmbedding
    cls_token: nn.Parameter  # (1, 1, D)
    pos_embed: nn.Parameter  # (1, 1 + P, D)
    mask_embed: nn.Parameter | None  # (1, 1, D)
    layers: nn.Module  # (tokens (B, L, D), token lengths (B,), wanted) -> last state, {layer: state after it}
    norm_f: Norm
    head: nn.Module | None
    tasks = ("encode", "classify")  # of `forward`

    def features(self, wave: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Normalised log-mel (log_mel - mean) / (2 std) of wave (B, samples) at `config.sample_rate`.

        `lengths` (B,) counts valid samples. Returns x (B, T, F), 0 at padding, and the valid frames (B,), or None.
        With `config.features` "compat", x is what the published model reads: each clip's mean subtracted, its first
        T = input_tdim frames, and after a shorter clip frames of raw log-mel 0, which become -mean / (2 std), well
        above silence. To that model they are sound like any other, so the frames returned are None.
        """
        return network_input(self.config, wave, lengths)

    def normalise(self, log_mel: Tensor, frames: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What `features` returns, from raw log-mel (B, T, F) and its valid frames (B,), such as a feature cache holds.

        With `config.features` "compat" the log-mel is that of sound whose mean was subtracted.
        """
        return normalise(self.config, log_mel, frames)

    def encode(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Tokens (B, 1 + P, D) after the final norm, cls first; 0 at padding.

        Raises ValueError or TypeError when x is not (B, T, F) floating point, T is less than one patch, or a length is
        less than one patch or more than T.
        """
        patches, grid = self.patches(x, lengths)
        tokens = self.embed(patches, grid)
        del patches  # as large as several layers' states, and not needed again
        return self._through_layers(tokens, grid, (), self.run_layers)[0]

    def classify(
        self, x: Tensor, pooling: Literal["avgtok", "cls", "segments"] = "avgtok", lengths: Tensor | None = None
    ) -> Tensor:
        """Class scores before softmax or sigmoid: (B, C), or (B, S, C) for "segments".

        "avgtok" pools the mean of the patch tokens, "cls" the cls token, "segments" the mean over all frequencies and
        the patch columns of each second (weighted by overlap; S seconds, the last may be partial, scores 0 past a
        clip's end). The paired layout also takes "published_segments": 60 equal runs of tokens, cls included, which are
        slices of frequency bands and not seconds.
        """
        if self.head is None:
            raise ValueError("this model has no classification head; set num_classes (or classes) in its configuration")
        poolings = ("avgtok", "cls", "segments", *(["published_segments"] if self.config.layout == "paired" else []))
        if pooling not in poolings:
            raise ValueError(f"pooling is {pooling!r}; choose one of {', '.join(map(repr, poolings))}")
        patches, grid = self.patches(x, lengths)
        tokens, _ = self.encode_patches(patches, grid)
        if pooling == "cls":
            return self.head(tokens[:, 0])
        if pooling == "avgtok":
            return self.head(grid.mean(tokens[:, 1:]))
        if pooling == "published_segments":
            return self.head(published_segments(tokens, grid))
        columns = tokens[:, 1:].unflatten(1, (grid.rows, grid.width)).mean(dim=1)  # (B, t, D)
        weights = grid.second_weights(self.config, columns)
        return self.head(weights @ columns) * (weights.sum(dim=-1, keepdim=True) > 0)

    def column_times(self, columns: int) -> Tensor:
        """Middle of each of the first `columns` patch columns, in seconds from the start of the audio."""
        return column_times(self.config, columns)

    def forward(self, x: Tensor, task: str = "encode", **options: Any) -> Any:
        """The method that `task` names, for wrappers (DDP, FSDP, torch.compile) that only see a call."""
        if task not in self.tasks:
            raise ValueError(f"task is {task!r}; choose one of {', '.join(map(repr, self.tasks))}")
        return getattr(self, task)(x, **options)

    def prepared_layers(self) -> RunLayers:
        """What computes the same as `run_layers` and is the fastest over many inputs, for the time of one call."""
        return self.run_layers

    def run_layers(
        self, tokens: Tensor, lengths: Tensor | None, wanted: Collection[int]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """The state of packed tokens (B, L, D) after the last layer, and after each of those in `wanted`."""
        return self.layers(tokens, lengths, wanted)

    def patches(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, PatchGrid]:
        """Raw patches (B, P, fshape · tshape) of x (B, T, F), and their grid."""
        config = self.config
        if not isinstance(x, Tensor):
            raise TypeError(f"x is {type(x).__name__}; give a tensor (batch, frames, {config.input_fdim} mel bins)")
        if x.dim() != 3 or x.shape[2] != config.input_fdim or not x.is_floating_point():
            raise ValueError(
                f"x must be floating point of shape (batch, frames, {config.input_fdim} mel bins), "
                f"got {x.dtype} of shape {tuple(x.shape)}"
            )
        if x.device != self.cls_token.device:
            raise ValueError(f"x is on {x.device}, the model on {self.cls_token.device}; move one of them")
        if x.shape[1] < config.tshape:
            raise ValueError(
                f"x has {x.shape[1]} frames, less than one patch of {config.tshape} frames; give at least "
                f"{(10 * config.tshape + 15) / 1000} s of audio"
            )
        x = x.to(torch.promote_types(self.cls_token.dtype, torch.float32))
        patches = raw_patches(x, (config.fshape, config.tshape), (config.fstride, config.tstride))
        return patches, self._grid(x, lengths)

    def _grid(self, x: Tensor, lengths: Tensor | None) -> PatchGrid:
        config, width = self.config, self.config.columns(x.shape[1])
        if lengths is None:
            return PatchGrid(config.rows, width)
        lengths = torch.as_tensor(lengths)
        if lengths.shape != x.shape[:1] or lengths.is_floating_point() or lengths.is_complex():
            raise ValueError(f"lengths must be {len(x)} integers, got {lengths.dtype} of shape {tuple(lengths.shape)}")
        columns = config.columns(lengths.to(x.device, torch.int64))
        if torch.compiler.is_compiling() or not len(lengths):
            return PatchGrid(config.rows, width, columns)
        frames = lengths.tolist()
        wrong = [length for length in frames if not config.tshape <= length <= x.shape[1]]
        if wrong:
            raise ValueError(
                f"lengths holds {wrong[0]}; valid frames must be at least one patch ({config.tshape}) and at most the "
                f"{x.shape[1]} frames of x"
            )
        if config.columns(min(frames)) == width:  # nothing is padding
            return PatchGrid(config.rows, width)
        return PatchGrid(config.rows, width, columns, config.columns(max(frames)))

    def encode_patches(
        self,
        patches: Tensor,
        grid: PatchGrid,
        mask: Tensor | None = None,
        wanted: Sequence[int] = (),
        layers: RunLayers | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Output tokens (B, 1 + P, D) of raw patches, and the same after each of the layers `wanted`.

        `layers` are what `prepared_layers` returned, if anything.
        """
        return self._through_layers(self.embed(patches, grid, mask), grid, wanted, layers or self.run_layers)

    def _through_layers(
        self, tokens: Tensor, grid: PatchGrid, wanted: Sequence[int], layers: RunLayers
    ) -> tuple[Tensor, list[Tensor]]:
        last, states = layers(grid.pack(tokens), grid.token_lengths, wanted)
        return self._output(last, grid), [self._output(states[layer], grid) for layer in wanted]

    def embed(self, patches: Tensor, grid: PatchGrid, mask: Tensor | None = None) -> Tensor:
        """The tokens (B, 1 + P, D) that the first layer reads; patches hidden by `mask` keep only their position."""
        x = self.patch_embed(patches)
        x = x.to(self.pos_embed.dtype)  # under autocast the residual stream stays in float32
        if mask is not None:
            x = ssamba_ops.patch_mask(x, mask, self.mask_embed.view(-1))
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)
        return torch.cat([cls, x + self._positions(grid)], dim=1)

    def _positions(self, grid: PatchGrid) -> Tensor:
        """Position vectors of the patches, (1, P, D), or (B, P, D) when the clips of a batch differ."""
        config = self.config
        if grid.columns is not None:
            return clip_positions(self.pos_embed, config.grid, grid.columns, grid.width, config.layout)
        if not torch.compiler.is_compiling() and grid.width == config.grid[1]:  # a recording is for any length
            return self.pos_embed[:, 1:]
        return adapt_position_table(self.pos_embed, config.grid, (grid.rows, grid.width), config.layout)[:, 1:]

    def _output(self, residual: Tensor, grid: PatchGrid) -> Tensor:
        output = self.norm_f(residual)
        output = self.norm_f(output) if self.config.layout == "paired" else output  # twice, as published
        return grid.unpack(output)
