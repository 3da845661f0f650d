"""Class scores of a model over a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device
from torch import Tensor

from ..model import SSAMBA
from .progress import progress_bar


@dataclass
class Scored:
    """Logits (clips, C) and multi-hot targets (clips, C), both float64, of the clips with these dataset indices."""

    logits: np.ndarray
    targets: np.ndarray
    indices: np.ndarray


def score_clips(
    model: SSAMBA,
    loader: Iterable[dict[str, Tensor]],
    pooling: str,
    accelerator: Accelerator,
    quiet: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Scored | None:
    """Score every clip once, in evaluation mode, gathered over processes in order of index; None if told to stop."""
    training = model.training
    model.eval()
    rows: list[tuple[int, np.ndarray, np.ndarray]] = []
    try:
        for batch in progress_bar(loader, "scoring", quiet):
            if should_stop():
                return None
            batch = send_to_device(batch, accelerator.device)
            with torch.no_grad(), accelerator.autocast():
                x, frames = model.features(batch["wave"], batch["lengths"])
                logits = model.classify(x, pooling, frames)
            columns = (batch["index"], logits.float(), batch["labels"])
            rows += zip(*(column.cpu().numpy() for column in columns), strict=True)
    finally:
        model.train(training)
    once = {index: (index, logits, targets) for index, logits, targets in gather_object(rows)}  # a stand-in comes twice
    indices, logits, targets = (np.stack(column) for column in zip(*(once[i] for i in sorted(once)), strict=True))
    return Scored(logits.astype(np.float64), targets.astype(np.float64), indices)


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
