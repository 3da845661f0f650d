"""What the model reads of a batch."""

from __future__ import annotations

from torch import Tensor

from ..model import SSAMBA


def network_input(model: SSAMBA, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    """Normalised log-mel x (B, T, F) and valid frames (B,) of a batch of waves, or of log-mel from a feature cache."""
    if "log_mel" in batch:
        return model.normalise(batch["log_mel"], batch["frames"])
    return model.features(batch["wave"], batch["lengths"])
