"""What the model reads of a batch."""

from __future__ import annotations

from torch import Tensor

from ..data.loader import log_mel_of
from ..encoder.audio_encoder import AudioEncoder


def network_input(model: AudioEncoder, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    """Normalised log-mel x (B, T, F) and valid frames (B,) of a batch of waves, or of log-mel from a feature cache."""
    config = model.config
    return model.normalise(*log_mel_of(batch, config.sample_rate, subtract_mean=config.features == "compat"))
