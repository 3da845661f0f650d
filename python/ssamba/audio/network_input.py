"""From audio to what a network reads: normalised log-mel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import SSAMBAConfig
from .log_mel import frame_count, log_mel
from .log_mel_blocks import log_mel_blocks


def normalised_log_mel(
    config: SSAMBAConfig, wave: Tensor, sample_rate: int, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """(log_mel - mean) / (2 std) of wave (B, samples), 0 at padding; and the valid frames (B,), or None."""
    x = log_mel(wave, sample_rate, lengths)
    return _normalise_sound(config, x, _frames_of(lengths, sample_rate, x))


def normalised_log_mel_blocks(config: SSAMBAConfig, blocks: Iterable[Tensor], sample_rate: int) -> Iterator[Tensor]:
    """`normalised_log_mel` of one clip that comes in blocks (samples,): (1, T, F), part after part."""
    for x in log_mel_blocks(blocks, sample_rate):
        yield _normalise_sound(config, x[None], None)[0]


def network_input(config: SSAMBAConfig, wave: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """What `AudioEncoder.features` documents."""
    x = log_mel(wave, config.sample_rate, lengths, subtract_mean=config.features == "compat")
    return normalise(config, x, _frames_of(lengths, config.sample_rate, x))


def normalise(config: SSAMBAConfig, x: Tensor, frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """What `AudioEncoder.normalise` documents."""
    if config.features == "sound":
        return _normalise_sound(config, x, frames)
    x = _zero_past(x[:, : config.input_tdim], frames)
    x = F.pad(x, (0, 0, 0, config.input_tdim - x.shape[1]))  # raw 0: after normalisation -mean / (2 std)
    return (x - config.mean) / (2 * config.std), None


def _normalise_sound(config: SSAMBAConfig, x: Tensor, frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return _zero_past((x - config.mean) / (2 * config.std), frames), frames


def _zero_past(x: Tensor, frames: Tensor | None) -> Tensor:
    if frames is None:
        return x
    return x * (torch.arange(x.shape[1], device=x.device) < frames[:, None]).unsqueeze(-1)


def _frames_of(lengths: Tensor | None, sample_rate: int, x: Tensor) -> Tensor | None:
    return None if lengths is None else frame_count(torch.as_tensor(lengths, device=x.device), sample_rate)
