"""From audio to the network's input, and from audio of any length to features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import SSAMBAConfig
from .features import frame_count, log_mel

if TYPE_CHECKING:
    from .model import SSAMBA

LEVELS = ("clip", "frame", "patch")

_lock = Lock()
_evaluated: dict[nn.Module, tuple[int, list[nn.Module]]] = {}  # threads that extract, modules that were in training


def normalised_log_mel(
    config: SSAMBAConfig, wave: Tensor, sample_rate: int, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """(log_mel - mean) / (2 std) of wave (B, samples), 0 at padding; and the valid frames (B,), or None."""
    x = log_mel(wave, sample_rate, lengths)
    return _normalise_sound(config, x, _frames_of(lengths, sample_rate, x))


def network_input(config: SSAMBAConfig, wave: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """What `SSAMBA.features` documents."""
    x = log_mel(wave, config.sample_rate, lengths, subtract_mean=config.features == "compat")
    return normalise(config, x, _frames_of(lengths, config.sample_rate, x))


def normalise(config: SSAMBAConfig, x: Tensor, frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """What `SSAMBA.normalise` documents."""
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


def extract_features(
    model: SSAMBA, wav: Tensor | np.ndarray, sample_rate: int, level: str, layers: Sequence[int] | str | None
) -> Tensor:
    """What `SSAMBA.extract` documents."""
    if level not in LEVELS:
        raise ValueError(f"level is {level!r}; choose one of {', '.join(map(repr, LEVELS))}")
    wanted = None if layers is None else _layer_indices(layers, model.config.depth)
    wav = torch.from_numpy(np.array(wav)) if isinstance(wav, np.ndarray) else wav
    if not isinstance(wav, Tensor) or not wav.is_floating_point():
        found = wav.dtype if isinstance(wav, Tensor) else type(wav).__name__
        raise TypeError(
            f"wav is {found}; give a tensor or array of floating point samples in [-1, 1) "
            "(16-bit integers: divide by 32768)"
        )
    if not wav.isfinite().all():
        raise ValueError("wav holds NaN or infinite samples")
    with torch.inference_mode(), _evaluating(model):
        parameter = model.pos_embed
        wave = wav.to(parameter.device, torch.promote_types(parameter.dtype, torch.float32))
        x, _ = normalised_log_mel(model.config, wave, sample_rate)
        features = torch.cat(list(_windows(model, x, level, wanted)), dim=-2)  # (B, layers, [rows,] T', D)
        features = features.mean(dim=-2) if level == "clip" else features
        features = features[:, 0] if layers is None else features
    return (features if wav.dim() == 2 else features[0]).clone()  # made out here, a clone can take part in autograd


def _windows(model: SSAMBA, x: Tensor, level: str, wanted: list[int] | None) -> Iterator[Tensor]:
    """Patch tokens of x (B, T, F), window by window: (B, layers, rows, columns, D), without rows unless "patch"."""
    config = model.config
    total = max(1, config.columns(x.shape[1]))  # too short for one column: the model says so
    width = min(total, config.grid[1])
    for start in range(0, total, width):
        first = min(start, total - width)
        frames = x[:, first * config.tstride : (first + width - 1) * config.tstride + config.tshape]
        output, states = model.encode_patches(*model.patches(frames), wanted=wanted or ())
        tokens = torch.stack([output] if wanted is None else states, dim=1)  # (B, layers, 1 + P, D)
        patches = tokens[:, :, 1:].unflatten(2, (config.rows, width))
        patches = patches if level == "patch" else patches.mean(dim=2)
        yield patches[..., start - first :, :]


def _layer_indices(layers: Sequence[int] | str, depth: int) -> list[int]:
    if isinstance(layers, str) and layers == "all":
        return list(range(depth))
    if isinstance(layers, (str, int)):
        raise TypeError(f"layers is {layers!r}; give a list of layer indices, 'all' or None")
    if not len(layers) or not all(-depth <= layer < depth for layer in layers):
        raise ValueError(f"layers is {list(layers)}; give at least one index, from 0 to {depth - 1} or -{depth} to -1")
    return [int(layer) % depth for layer in layers]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode for every module while any thread is in here, and afterwards the mode that each had."""
    with _lock:
        threads, training = _evaluated.get(model, (0, None))
        if not threads:
            training = [module for module in model.modules() if module.training]
            model.eval()
        _evaluated[model] = threads + 1, training
    try:
        yield
    finally:
        with _lock:
            threads, training = _evaluated.pop(model)
            if threads > 1:
                _evaluated[model] = threads - 1, training
            else:
                for module in training:
                    module.training = True
