"""Mean and standard deviation of the log-mel features of a data set, for normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Subset
from tqdm import tqdm

from .clips import Manifest
from .dataset import AudioDataset
from .loader import log_mel_of, make_loader
from .workers import naming_worker_faults


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation over all valid frames and mel bins, clips and frames counted, files left out."""

    mean: float
    std: float
    clips: int
    frames: int
    skipped: tuple[tuple[str, str], ...]


def dataset_statistics(
    data: Manifest | AudioDataset,
    batch_size: int = 8,
    num_workers: int = 0,
    progress: bool = False,
    indices: Sequence[int] | None = None,
) -> Statistics:
    """Mean and population standard deviation of raw log-mel, streamed in float64; the model uses (x - mean) / (2 std).

    Args:
        data: a data set, whose rate, crop, feature cache and strictness apply, or a manifest, then read as whole clips
            at 16 kHz.
        batch_size: clips at once; a batch is padded to its longest.
        num_workers: processes that read ahead.
        progress: show a bar on standard error.
        indices: clips to read; None: all.

    Raises:
        AudioError: no file can be read, or one cannot and the data set is strict.
    """
    dataset = data if isinstance(data, AudioDataset) else AudioDataset(data)
    part = dataset if indices is None else Subset(dataset, indices)
    loader = make_loader(part, batch_size, shuffle=False, seed=0, num_workers=num_workers)
    seen: set[int] = set()
    frames, count, mean, squares = 0, 0, 0.0, 0.0  # squares: sum of squared distances from the mean
    with torch.inference_mode(), naming_worker_faults(loader):
        for batch in tqdm(
            loader, desc="statistics", unit="batch", disable=not progress, leave=False, dynamic_ncols=True
        ):
            new = torch.tensor([index not in seen for index in batch["index"].tolist()])  # a stand-in counts once
            seen.update(batch["index"].tolist())
            x, counts = log_mel_of(batch, dataset.sample_rate)  # (B, T, F), (B,)
            x = x[torch.arange(x.shape[1]) < (counts * new)[:, None]].double()  # (frames, F)
            if not len(x):
                continue
            total, shift = count + x.numel(), x.mean().item() - mean
            squares += (x - x.mean()).square().sum().item() + shift**2 * count * x.numel() / total
            mean += shift * x.numel() / total
            count, frames = total, frames + len(x)
    return Statistics(mean, (squares / count) ** 0.5, len(seen), frames, tuple(dataset.skipped))
