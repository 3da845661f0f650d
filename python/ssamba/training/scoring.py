"""Class scores of a model over a data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device
from torch import Tensor

from ..encoder.audio_encoder import AudioEncoder
from .network_input import network_input
from .progress import progress_bar


@dataclass
class Scored:
    """Logits (rows, C) and multi-hot targets (rows, C), both float64, of the clips with these dataset indices (rows,).

    A row is a clip, or a labelled second of one.
    """

    logits: np.ndarray
    targets: np.ndarray
    indices: np.ndarray


def score_clips(
    model: AudioEncoder,
    loader: Iterable[dict[str, Tensor]],
    pooling: str,
    accelerator: Accelerator,
    quiet: bool = False,
) -> Scored:
    """Score every clip once, in evaluation mode, gathered over processes in order of index."""
    training = model.training
    model.eval()
    rows: list[tuple[int, np.ndarray, np.ndarray]] = []  # logits and labels (C,), or (seconds, C)
    try:
        for batch in progress_bar(loader, "scoring", quiet):
            batch = send_to_device(batch, accelerator.device)
            with torch.no_grad(), accelerator.autocast():
                x, frames = network_input(model, batch)
                logits = model.classify(x, pooling, frames)
            columns = (batch["index"], logits.float(), batch["labels"])
            rows += zip(*(column.cpu().numpy() for column in columns), strict=True)
    finally:
        model.train(training)
    once = {int(index): (logits, targets) for index, logits, targets in gather_object(rows)}  # a stand-in comes twice
    if pooling == "segments":
        pairs = {i: labelled_seconds(*(torch.from_numpy(part)[None] for part in pair)) for i, pair in once.items()}
        once = {i: (logits.numpy(), targets.numpy()) for i, (logits, targets) in pairs.items()}
    else:
        once = {i: (logits[None], targets[None]) for i, (logits, targets) in once.items()}
    indices = np.repeat(sorted(once), [len(once[i][0]) for i in sorted(once)])
    logits, targets = (np.concatenate([once[i][part] for i in sorted(once)]).astype(np.float64) for part in (0, 1))
    return Scored(logits, targets, indices)


def labelled_seconds(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of logits (B, S, C) and labels (B, S', C) that have both: (rows, C) each, without padding.

    S and S' differ where the last second of a clip is too short for a patch of its own.
    """
    seconds = min(logits.shape[1], labels.shape[1])
    logits, labels = logits[:, :seconds], labels[:, :seconds]
    labelled = labels.any(dim=-1)
    return logits[labelled], labels[labelled]


def class_scores(logits: np.ndarray, scores: str) -> np.ndarray:
    """Logits as probabilities: "softmax" over classes, or "sigmoid" of each."""
    logits = torch.from_numpy(logits)
    return (logits.softmax(dim=-1) if scores == "softmax" else logits.sigmoid()).numpy()


def classification_loss(logits: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Mean loss of logits (B, C) against soft targets (B, C) in [0, 1].

    "ce": -sum_c t_c log softmax(logits)_c, targets of a clip summing to 1, as mixed clips' do. "bce": mean over clips
    and classes of the binary cross entropy with sigmoid(logits). Computed in float32 or wider.
    """
    logits, targets = (value if value.dtype == torch.float64 else value.float() for value in (logits, targets))
    if loss == "ce":
        return -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()
    return F.binary_cross_entropy_with_logits(logits, targets)
