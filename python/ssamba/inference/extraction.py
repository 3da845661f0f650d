"""From audio of any length to features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..audio.network_input import normalised_log_mel
from ..encoder.audio_encoder import AudioEncoder

LEVELS = ("clip", "frame", "patch")
_WORTH_PREPARING = 8  # windows; laying out the weights takes about as long as it saves over so many

_lock = Lock()
_evaluated: dict[nn.Module, tuple[int, list[nn.Module]]] = {}  # threads that extract, modules that were in training


class FeatureExtraction:
    """`extract`, for an `AudioEncoder`."""

    def extract(
        self,
        wav: Tensor | np.ndarray,
        sample_rate: int,
        level: Literal["clip", "frame", "patch"] = "clip",
        layers: Sequence[int] | Literal["all"] | None = None,
    ) -> Tensor:
        """Features of audio of any length and sample rate, computed without gradient and without stochastic depth.

        wav (samples,) or (B, samples), floating point in [-1, 1). Level "clip": mean of the patch tokens, (B, D);
        "frame": mean over frequency of each patch column, (B, T', D), column c centred at `column_times(T')[c]`
        seconds; "patch": (B, rows, T', D). `layers` (indices from 0, negative from the end, or "all") gives the states
        after these layers instead of the output, each through the final norm as if the model ended there, on a new axis
        after the batch: (B, layers, …); in the paired layout both layers of a pair give the state after the pair. A
        single clip comes back without the batch axis. Audio longer than `input_tdim` frames is read in windows of that
        length (the last one drawn back to end with the audio), so memory stays bounded; nothing is padded or cut.
        Raises ValueError when the audio is shorter than one patch, not finite, or an option is unknown.
        """
        return extract_features(self, wav, sample_rate, level, layers)


def extract_features(
    model: AudioEncoder, wav: Tensor | np.ndarray, sample_rate: int, level: str, layers: Sequence[int] | str | None
) -> Tensor:
    """What `FeatureExtraction.extract` documents."""
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


def _windows(model: AudioEncoder, x: Tensor, level: str, wanted: list[int] | None) -> Iterator[Tensor]:
    """Patch tokens of x (B, T, F), window by window: (B, layers, rows, columns, D), without rows unless "patch"."""
    config = model.config
    total = max(1, config.columns(x.shape[1]))  # too short for one column: the model says so
    width = min(total, config.grid[1])
    layers = model.prepared_layers() if total >= _WORTH_PREPARING * width else None
    for start in range(0, total, width):
        first = min(start, total - width)
        frames = x[:, first * config.tstride : (first + width - 1) * config.tstride + config.tshape]
        output, states = model.encode_patches(*model.patches(frames), wanted=wanted or (), layers=layers)
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
