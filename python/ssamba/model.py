"""SSAMBA: a bidirectional Mamba encoder of log-mel patches, its pretraining, its head and feature extraction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ssamba_ops

from . import checkpoint, published
from .config import CHOICES, SSAMBAConfig
from .extraction import extract_features, network_input, normalise
from .grid import PatchGrid, column_times, published_segments
from .layers import Norm
from .masking import hidden_patches, sample_mask, take_patches
from .objectives import PretrainOutput, infonce, raw_patches, reconstruction_error
from .position import adapt_position_table, clip_positions
from .stack import make_stack


class PatchEmbedding(nn.Module):
    """Linear map of raw patches to tokens, kept as the convolution that the published checkpoints hold."""

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        shape, stride = (config.fshape, config.tshape), (config.fstride, config.tstride)
        self.proj = nn.Conv2d(1, config.embed_dim, shape, stride)

    def forward(self, patches: Tensor) -> Tensor:
        """patches (B, P, fshape · tshape) → (B, P, D)."""
        return F.linear(patches.to(self.proj.weight.dtype), self.proj.weight.flatten(1), self.proj.bias)


class SSAMBA(nn.Module):
    """Self-supervised audio model over log-mel patches (the published model with layout "paired").

    Input x is (B, T, F): T frames of F mel bins, normalised as `features` returns it; T may be anything from one patch
    up. Tokens are a cls token, then the patches frequency-major. `lengths` (B,) counts the valid frames of each clip;
    a clip in a padded batch gives what it gives alone.
    """

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        if not isinstance(config, SSAMBAConfig):
            raise TypeError(
                f"config is {type(config).__name__}; give an SSAMBAConfig (SSAMBAConfig.from_dict for a dict)"
            )
        self.config = config
        width, patch = config.embed_dim, config.fshape * config.tshape
        self.patch_embed = PatchEmbedding(config)
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + config.num_patches, width))
        self.mask_embed = nn.Parameter(torch.empty(1, 1, width))
        self.layers = make_stack(config)
        self.norm_f = Norm(config)
        self.cpredlayer = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, patch))
        self.gpredlayer = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, patch))
        self.unused_head: dict[str, Tensor] = {}  # of the published checkpoint that this model was read from
        self.head = None
        if config.num_classes is not None:
            self.head = nn.Sequential(nn.LayerNorm(width, eps=1e-5), nn.Linear(width, config.num_classes))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.xavier_normal_(self.mask_embed)

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
        return self._run_layers(tokens, grid)[0]

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

    def pretrain_loss(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        mask: Tensor | tuple[Tensor, Tensor] | None = None,
        seed: int | None = None,
        objective: Literal["joint", "discriminative", "generative"] | None = None,
        passes: int = 1,
    ) -> PretrainOutput:
        """Hides patches, encodes the clips and scores how well the hidden patches are told apart and rebuilt.

        loss = discriminative + generative_weight · generative for "joint", else the one objective. mask (B, P) bool
        fixes the hidden patches; otherwise they are drawn (see `masking.sample_mask`) from `seed`, or from torch's
        default generator. passes=2 is the published joint objective: each part has a mask and a forward pass of its own
        (mask may then be a pair, discriminative first; the mask returned is the generative one).
        """
        objective = objective or self.config.objective
        if objective not in CHOICES["objective"]:
            raise ValueError(f"objective is {objective!r}; choose one of {', '.join(map(repr, CHOICES['objective']))}")
        if passes not in (1, 2):
            raise ValueError(
                f"passes is {passes!r}; choose 1 (one mask for both objectives) or 2 (one each, as published)"
            )
        if passes == 2 and objective == "joint":
            masks = mask if isinstance(mask, (tuple, list)) else (mask, mask)
            seeds = (seed, None if seed is None else seed + 1)
            first = self.pretrain_loss(x, lengths, masks[0], seeds[0], "discriminative")
            second = self.pretrain_loss(x, lengths, masks[1], seeds[1], "generative")
            loss = first.loss + self.config.generative_weight * second.loss
            return second._replace(loss=loss, discriminative=first.discriminative, accuracy=first.accuracy)

        patches, grid = self.patches(x, lengths)
        if mask is None:
            mask = sample_mask(self.config, len(x), grid.width, grid.columns, seed)
        mask, hidden, chosen = hidden_patches(mask.to(x.device), grid.valid_patches(len(x), x.device))
        tokens, _ = self.encode_patches(patches, grid, mask)
        tokens, targets = take_patches(tokens[:, 1:], hidden), take_patches(patches, hidden)  # (B, K, …)
        discriminative = accuracy = generative = reconstruction = None
        if objective != "generative":
            orientation = self.config.infonce_orientation
            discriminative, accuracy = infonce(self.cpredlayer(tokens), targets, orientation, chosen)
        if objective != "discriminative":
            reconstruction = self.gpredlayer(tokens) * chosen.unsqueeze(-1)
            generative = reconstruction_error(reconstruction, targets, chosen)
        if objective == "joint":
            loss = discriminative + self.config.generative_weight * generative
        else:
            loss = generative if discriminative is None else discriminative
        return PretrainOutput(loss, discriminative, generative, accuracy, mask, reconstruction)

    def extract(
        self,
        wav: Tensor | np.ndarray,
        sample_rate: int,
        level: Literal["clip", "frame", "patch"] = "clip",
        layers: Sequence[int] | Literal["all"] | None = None,
    ) -> Tensor:
        """Features of audio of any length and sample rate, computed without gradient and without stochastic depth.

        wav (samples,) or (B, samples), floating point in [-1, 1). Level "clip": mean of the patch tokens, (B, D);
        "frame": mean over frequency of each patch column, (B, T', D), column c centred at `column_times(T')[c]`
        seconds; "patch": (B, rows, T', D). `layers` (indices from 0, negative from the end, or "all") gives the states
        after these layers instead of the output, each through the final norm as if the model ended there, on a new axis
        after the batch: (B, layers, …); in the paired layout both layers of a pair give the state after the pair. A
        single clip comes back without the batch axis. Audio longer than `input_tdim` frames is read in windows of that
        length (the last one drawn back to end with the audio), so memory stays bounded; nothing is padded or cut.
        Raises ValueError when the audio is shorter than one patch, not finite, or an option is unknown.
        """
        return extract_features(self, wav, sample_rate, level, layers)

    def column_times(self, columns: int) -> Tensor:
        """Middle of each of the first `columns` patch columns, in seconds from the start of the audio."""
        return column_times(self.config, columns)

    def forward(
        self, x: Tensor, task: Literal["encode", "classify", "pretrain_loss"] = "encode", **options: Any
    ) -> Any:
        """`encode`, `classify` or `pretrain_loss`, for wrappers (DDP, FSDP, torch.compile) that only see a call."""
        tasks = {"encode": self.encode, "classify": self.classify, "pretrain_loss": self.pretrain_loss}
        if task not in tasks:
            raise ValueError(f"task is {task!r}; choose one of {', '.join(map(repr, tasks))}")
        return tasks[task](x, **options)

    def gradient_checkpointing_enable(self, enabled: bool = True) -> None:
        """Recomputes each layer in the backward pass instead of keeping its activations; the numbers stay the same."""
        self.layers.checkpointing = enabled

    def save_pretrained(self, directory: str | os.PathLike) -> None:
        """Writes config.json and model.safetensors into `directory`, each aside first and then renamed."""
        checkpoint.write_pretrained(directory, self.config, self.state_dict())

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike, **overrides: Any) -> SSAMBA:
        """Reads what `save_pretrained` wrote; `overrides` change the configuration on the way.

        New num_classes or classes make a new head; a new input_tdim, fstride or tstride carries the position table
        over. A field that would change other weights raises ValueError, as do missing, unexpected or misshapen tensors.
        """
        config, tensors, fresh = checkpoint.read_pretrained(directory, overrides)
        model = cls(config)
        checkpoint.load_strictly(model, tensors, fresh, source=str(directory))
        return model

    @classmethod
    def from_official(
        cls,
        path: str | os.PathLike,
        *,
        input_tdim: int | None = None,
        fstride: int | None = None,
        tstride: int | None = None,
        num_classes: int | None = None,
        map_location: str | torch.device = "cpu",
        **overrides: Any,
    ) -> SSAMBA:
        """Reads a checkpoint (.pth) of the published SSAMBA code, whatever its size and norm; no code in it is run.

        From a pretraining checkpoint, `input_tdim` and strides (default: as pretrained, 16 x 16) carry the position
        table over and `num_classes` makes a new head, as published fine-tuning does. For a fine-tuned one they say how
        it was fine-tuned (left out: whichever of its patch size and 10 fits); its prediction heads and mask token start
        afresh, for the file has none. `overrides` are as for `from_pretrained`; set mean and std if they are not
        AudioSet's, which no file tells. Features are "compat". Raises FileNotFoundError, or ValueError saying what was
        found and what was expected.
        """
        asked = {"input_tdim": input_tdim, "fstride": fstride, "tstride": tstride, "num_classes": num_classes}
        asked = {name: value for name, value in asked.items() if value is not None}
        stored = published.read_official(path, **asked)
        config, tensors, fresh = checkpoint.carry_over(stored.config, stored.tensors, {**overrides, **asked})
        model = cls(config)
        checkpoint.load_strictly(model, tensors, fresh | stored.fresh, str(path), published.official_name)
        model.unused_head = stored.unused_head
        return model.to(map_location)

    def save_official(self, path: str | os.PathLike) -> None:
        """Writes the weights as the published code would: what `from_official` read comes back bit for bit.

        With a head in the fine-tuned form (without prediction heads and mask token), else in the pretraining form. The
        1000-class head that nothing reads is that of the file this model came from, else zeros. Raises ValueError for a
        model that the published code cannot hold: sequential, not float32, or pretrained with overlapping patches.
        """
        published.save_official(self, path)

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
        self, patches: Tensor, grid: PatchGrid, mask: Tensor | None = None, wanted: Sequence[int] = ()
    ) -> tuple[Tensor, list[Tensor]]:
        """Output tokens (B, 1 + P, D) of raw patches, and the same after each of the layers `wanted`."""
        return self._run_layers(self.embed(patches, grid, mask), grid, wanted)

    def _run_layers(self, tokens: Tensor, grid: PatchGrid, wanted: Sequence[int] = ()) -> tuple[Tensor, list[Tensor]]:
        last, states = self.layers(grid.pack(tokens), grid.token_lengths, wanted)
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
        if grid.width == config.grid[1]:
            return self.pos_embed[:, 1:]
        return adapt_position_table(self.pos_embed, config.grid, (grid.rows, grid.width), config.layout)[:, 1:]

    def _output(self, residual: Tensor, grid: PatchGrid) -> Tensor:
        output = self.norm_f(residual)
        output = self.norm_f(output) if self.config.layout == "paired" else output  # twice, as published
        return grid.unpack(output)
