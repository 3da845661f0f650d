"""Clips of a batch by name, for error messages."""

from __future__ import annotations

from torch import Tensor

from ..data.dataset import AudioDataset


def describe_clips(dataset: AudioDataset, batch: dict[str, Tensor], shown: int = 3) -> str:
    """The paths of the first clips in a batch."""
    paths = [str(dataset.clips[index].path) for index in batch["index"].tolist()]
    more = f" and {len(paths) - shown} more" if len(paths) > shown else ""
    return ", ".join(paths[:shown]) + more
