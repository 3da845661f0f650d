"""Batches of clips in an order that (seed, epoch) fixes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Sampler

from ..audio.log_mel import frame_count, log_mel
from .dataset import AudioDataset
from .workers import affordable_workers, leave_signals_to_main


class ClipSampler(Sampler[int]):
    """Order of the clips of an epoch, drawn from (seed, epoch) alone.

    Args:
        dataset: its length, and whose crops follow `set_epoch`.
        shuffle: a random permutation; otherwise the order of the data set.
        seed: at least 0.
        weights: (clips,) relative chances above or equal 0; draws with replacement as many clips as there are.
    """

    def __init__(self, dataset: AudioDataset, shuffle: bool, seed: int, weights: Tensor | None = None):
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        if weights is not None:
            weights = torch.as_tensor(weights, dtype=torch.float64)
            if (
                weights.shape != (len(dataset),)
                or not weights.isfinite().all()
                or weights.min() < 0
                or not weights.any()
            ):
                raise ValueError(f"weights must be {len(dataset)} finite numbers, none below 0 and one above")
            if not shuffle:
                raise ValueError("weights draw clips at random: they need shuffle=True")
        self.dataset, self.shuffle, self.seed, self.weights, self.epoch = dataset, shuffle, seed, weights, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, at least 0, of the next pass: of this order and of the data set's random crops."""
        self.epoch = epoch
        self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle:
            return iter(range(len(self)))
        random = np.random.default_rng((self.seed, self.epoch))
        if self.weights is None:
            return iter(random.permutation(len(self)).tolist())
        chances = self.weights.numpy() / self.weights.sum().item()
        return iter(random.choice(len(self), size=len(self), p=chances).tolist())


def make_loader(
    dataset: AudioDataset,
    batch_size: int,
    shuffle: bool,
    seed: int,
    num_workers: int = 0,
    drop_last: bool = False,
    weights: Tensor | None = None,
) -> DataLoader:
    """Batches dict(wave (B, samples) float32, lengths (B,) int64, labels (B, C) float32, index (B,) int64).

    Waves are padded with 0 to the longest of the batch; lengths count their samples; index is the place in
    `dataset.clips`. With a feature cache, log_mel (B, T, 128) and frames (B,) stand in place of wave and lengths. A
    batch lacks the clips that could not be read (see `AudioDataset`). The batches of an epoch depend on (seed, epoch)
    alone, whatever `num_workers`; choose the epoch with `loader.sampler.set_epoch`, and resume by skipping batches.
    Inside `naming_worker_faults(loader)` (workers.py) what befalls the processes is one sentence.

    Args:
        dataset: an AudioDataset.
        batch_size: clips in a batch, at least 1.
        shuffle: random order; otherwise that of the data set.
        seed: of the order, at least 0.
        num_workers: processes that read ahead, fewer if /dev/shm is too small for their batches; 0 reads in this one.
        drop_last: leave out a last batch that is not full.
        weights: (clips,) chances of the clips, such as `class_balanced_weights`; draws with replacement.
    """
    num_workers = affordable_workers(dataset, batch_size, num_workers)
    # How many workers there are to be was asked for; torch warns each time a loader is made, or made again.
    warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=ClipSampler(dataset, shuffle, seed, weights),
        num_workers=num_workers,
        collate_fn=_collate_and_share if num_workers else collate,
        drop_last=drop_last,
        generator=torch.Generator().manual_seed(seed),  # or each pass would move torch's default one
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=leave_signals_to_main if num_workers else None,
        persistent_workers=num_workers > 0,
    )


def class_balanced_weights(dataset: AudioDataset) -> Tensor:
    """Chance of each clip, (clips,) float64: the sum of 1 / (clips of the class) over its classes (SSAST's rule)."""
    counts = dict.fromkeys(dataset.classes, 0)
    for clip in dataset.clips:
        for label in clip.labels:
            counts[label] += 1
    if not any(counts.values()):
        raise ValueError("class-balanced weights need labelled clips")
    return torch.tensor(
        [sum(1.0 / counts[label] for label in clip.labels) for clip in dataset.clips], dtype=torch.float64
    )


def collate(items: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Make a batch of items, waves or log-mel (and labels by the second) padded with 0 to the longest."""
    sound, lengths = ("wave", "lengths") if "wave" in items[0] else ("log_mel", "frames")
    return {
        sound: pad_sequence([item[sound] for item in items], batch_first=True),
        lengths: torch.tensor([len(item[sound]) for item in items]),
        "labels": _stack([item["labels"] for item in items]),
        "index": torch.tensor([item["index"] for item in items]),
    }


def log_mel_of(batch: dict[str, Tensor], sample_rate: int, subtract_mean: bool = False) -> tuple[Tensor, Tensor]:
    """Raw log-mel (B, T, 128) of a batch and its valid frames (B,): from the feature cache, or made of the waves.

    `subtract_mean` as for `log_mel`; a feature cache has its own.
    """
    if "log_mel" in batch:
        return batch["log_mel"], batch["frames"]
    x = log_mel(batch["wave"], sample_rate, batch["lengths"], subtract_mean=subtract_mean)
    return x, frame_count(batch["lengths"], sample_rate)


def _stack(labels: list[Tensor]) -> Tensor:
    return torch.stack(labels) if labels[0].ndim == 1 else pad_sequence(labels, batch_first=True)


def _collate_and_share(items: list[dict[str, Any]]) -> dict[str, Tensor]:
    """`collate` in a worker, which puts the batch into shared memory itself.

    Left to the queue, as torch does, a full /dev/shm is met in a thread of it: the batch is lost without a word, and
    the main process waits for ever.
    """
    return {name: tensor.share_memory_() for name, tensor in collate(items).items()}
