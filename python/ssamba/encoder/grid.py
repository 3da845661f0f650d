"""The patch grid of one batch: which of its columns are valid in each clip, and where they lie in time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import SSAMBAConfig

FRAMES_PER_SECOND = 100


@dataclass(frozen=True)
class PatchGrid:
    """`rows` x `width` patches per clip, frequency-major; if given, only the first `columns` (B,) are valid.

    The cls token comes before the patches: token 0. Packing moves the valid tokens of each clip to the front, in the
    order that they would have if the clip were alone, so that a scan with `token_lengths` treats it as if it were.
    """

    rows: int
    width: int
    columns: Tensor | None = None
    longest: int | None = None  # the most valid columns of any clip, where known

    @property
    def token_lengths(self) -> Tensor | None:
        return None if self.columns is None else 1 + self.rows * self.columns

    def valid_patches(self, batch: int, device: torch.device) -> Tensor:
        """bool (batch, rows · width)."""
        if self.columns is None:
            return torch.ones(batch, self.rows * self.width, dtype=torch.bool, device=device)
        return (torch.arange(self.width, device=device) < self.columns[:, None]).repeat(1, self.rows)

    def pack(self, tokens: Tensor) -> Tensor:
        """Tokens (B, 1 + rows · width, D) with each clip's valid ones first and nothing behind the longest clip.

        Tokens behind a clip's end are others of its tokens again, and unused.
        """
        if self.columns is None:
            return tokens
        place = torch.arange(self.rows * (self.longest or self.width), device=tokens.device)
        columns = self.columns[:, None]
        row = (place // columns).clamp(max=self.rows - 1)
        return _take(tokens, row * self.width + place % columns)

    def unpack(self, tokens: Tensor) -> Tensor:
        """The inverse of `pack`, with zeros at padding."""
        if self.columns is None:
            return tokens
        place = torch.arange(self.rows * self.width, device=tokens.device)
        columns = self.columns[:, None]
        time = place % self.width
        spread = _take(tokens, place // self.width * columns + torch.minimum(time, columns - 1))
        patches = torch.where(
            self.valid_patches(len(tokens), tokens.device).unsqueeze(-1), spread[:, 1:], torch.zeros_like(spread[:, 1:])
        )
        return torch.cat([spread[:, :1], patches], dim=1)

    def mean(self, patches: Tensor) -> Tensor:
        """Mean over the valid patches: (B, rows · width, D), zeros at padding → (B, D)."""
        if self.columns is None:
            return patches.mean(dim=1)
        return patches.sum(dim=1) / (self.rows * self.columns[:, None])

    def second_weights(self, config: SSAMBAConfig, like: Tensor) -> Tensor:
        """Weight of each column in the mean over each second, by overlap: (S, width), or (B, S, width) if padded.

        The columns touch S seconds; the last may be partial. Seconds past a clip's end have weights 0.
        """
        start = config.tstride * torch.arange(self.width, device=like.device)  # in frames
        seconds = -(-((self.width - 1) * config.tstride + config.tshape) // FRAMES_PER_SECOND)
        second = FRAMES_PER_SECOND * torch.arange(seconds, device=like.device)[:, None]
        overlap = torch.minimum(start + config.tshape, second + FRAMES_PER_SECOND) - torch.maximum(start, second)
        overlap = overlap.clamp(min=0)  # (S, width)
        if self.columns is not None:
            overlap = overlap * (torch.arange(self.width, device=like.device) < self.columns[:, None])[:, None]
        return overlap.to(like.dtype) / overlap.sum(dim=-1, keepdim=True).clamp(min=1)


def published_segments(tokens: Tensor, grid: PatchGrid) -> Tensor:
    """The published model's 60 "seconds": means of 60 equal runs of tokens (B, 1 + P, D), the remainder left out."""
    if grid.columns is not None or tokens.shape[1] < 60:
        raise ValueError(
            "published_segments needs at least 59 patches and no padding; use 'segments' for anything else"
        )
    run = tokens.shape[1] // 60
    return tokens[:, : 60 * run].unflatten(1, (60, run)).mean(dim=2)


def column_times(config: SSAMBAConfig, columns: int) -> Tensor:
    """Middle of each patch column in seconds from the start of the audio, (columns,).

    Column c holds the frames tstride · c … tstride · c + tshape - 1; frame i covers 10 i … 10 i + 25 ms.
    """
    return (config.tstride * torch.arange(columns) + (config.tshape - 1) / 2 + 1.25) / FRAMES_PER_SECOND


def _take(tokens: Tensor, patch: Tensor) -> Tensor:
    """cls, then the patches at `patch` (B, P)."""
    index = torch.cat([torch.zeros_like(patch[:, :1]), 1 + patch], dim=1)
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
