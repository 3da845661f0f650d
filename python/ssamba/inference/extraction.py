"""From audio of any length to features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..audio.network_input import normalised_log_mel, normalised_log_mel_blocks
from ..encoder.audio_encoder import AudioEncoder

LEVELS = ("clip", "frame", "patch")
_WORTH_PREPARING = 8  # windows; laying out the weights takes about as long as it saves over so many

_lock = Lock()
_evaluated: dict[nn.Module, tuple[int, list[nn.Module]]] = {}  # threads that extract, modules that were in training


class FeatureExtraction:
    """`extract` and `extract_blocks`, for an `AudioEncoder`."""

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

    def extract_blocks(
        self,
        blocks: Iterable[Tensor | np.ndarray],
        sample_rate: int,
        level: Literal["clip", "frame", "patch"] = "frame",
        layers: Sequence[int] | Literal["all"] | None = None,
    ) -> Iterator[Tensor]:
        """`extract` of one recording that comes in blocks (samples,) of any lengths, such as `AudioFile.blocks` gives.

        Yields what `extract` gives for the whole, to float32 rounding, in parts along T' as their windows are complete:
        (T', D) for "frame", (rows, T', D) for "patch", after a new first axis if `layers` are asked for; for "clip" a
        single mean at the end, (D,). A few windows are held at a time, whatever the length. Raises as `extract` does,
        where the fault is met; in a part of the audio that has been yielded there was none.
        """
        return extract_from_blocks(self, blocks, sample_rate, level, layers)


def extract_features(
    model: AudioEncoder, wav: Tensor | np.ndarray, sample_rate: int, level: str, layers: Sequence[int] | str | None
) -> Tensor:
    """What `FeatureExtraction.extract` documents."""
    wanted = _wanted(model, level, layers)
    wav = _checked(wav)
    with torch.inference_mode(), _evaluating(model):
        x, _ = normalised_log_mel(model.config, _on_device(model, wav), sample_rate)
        features = _joined(_windows(model, [x], level, wanted), level)
        features = features[:, 0] if layers is None else features
    return (features if wav.dim() == 2 else features[0]).clone()  # made out here, a clone can take part in autograd


def extract_from_blocks(
    model: AudioEncoder,
    blocks: Iterable[Tensor | np.ndarray],
    sample_rate: int,
    level: str,
    layers: Sequence[int] | str | None,
) -> Iterator[Tensor]:
    """What `FeatureExtraction.extract_blocks` documents."""
    wanted = _wanted(model, level, layers)
    waves = (_on_device(model, _checked(block)) for block in blocks)
    windows = _windows(model, normalised_log_mel_blocks(model.config, waves, sample_rate), level, wanted)
    parts = iter([windows]) if level == "clip" else ([window] for window in windows)
    with _evaluating(model):
        while True:
            with torch.inference_mode():  # not around the yield, whose caller may want gradients
                part = next(parts, None)
                part = None if part is None else _joined(part, level)[0]
            if part is None:
                return
            yield (part[0] if layers is None else part).clone()


def _wanted(model: AudioEncoder, level: str, layers: Sequence[int] | str | None) -> list[int] | None:
    if level not in LEVELS:
        raise ValueError(f"level is {level!r}; choose one of {', '.join(map(repr, LEVELS))}")
    return None if layers is None else _layer_indices(layers, model.config.depth)


def _checked(wav: Tensor | np.ndarray) -> Tensor:
    wav = torch.from_numpy(np.array(wav)) if isinstance(wav, np.ndarray) else wav
    if not isinstance(wav, Tensor) or not wav.is_floating_point():
        found = wav.dtype if isinstance(wav, Tensor) else type(wav).__name__
        raise TypeError(
            f"wav is {found}; give a tensor or array of floating point samples in [-1, 1) "
            "(16-bit integers: divide by 32768)"
        )
    if not wav.isfinite().all():
        raise ValueError("wav holds NaN or infinite samples")
    return wav


def _on_device(model: AudioEncoder, wav: Tensor) -> Tensor:
    parameter = model.pos_embed
    return wav.to(parameter.device, torch.promote_types(parameter.dtype, torch.float32))


def _windows(model: AudioEncoder, parts: Iterable[Tensor], level: str, wanted: list[int] | None) -> Iterator[Tensor]:
    """Patch tokens of the log-mel whose parts (B, t, F) follow each other, window by window.

    (B, layers, rows, columns, D), without rows unless "patch". Each window begins where the one before it ended; the
    last one, at an end that is not known before, is drawn back over columns that were read already.
    """
    config = model.config
    x, behind = None, 0  # frames from column `start - behind` on
    start, layers = 0, None

    def window(first: int, width: int) -> Tensor:
        """Columns `first` to `first + width` of x."""
        nonlocal layers
        if layers is None and max(start, config.columns(x.shape[1])) >= _WORTH_PREPARING * width:
            layers = model.prepared_layers()
        frames = x[:, first * config.tstride : (first + width - 1) * config.tstride + config.tshape]
        output, states = model.encode_patches(*model.patches(frames), wanted=wanted or (), layers=layers)
        tokens = torch.stack([output] if wanted is None else states, dim=1)  # (B, layers, 1 + P, D)
        patches = tokens[:, :, 1:].unflatten(2, (config.rows, width))
        return patches if level == "patch" else patches.mean(dim=2)

    full = config.grid[1]
    for part in parts:
        x = part if x is None else torch.cat([x, part], dim=1)
        while config.columns(x.shape[1]) >= behind + full:
            yield window(behind, full)
            start += full
            x = x[:, behind * config.tstride :]
            behind = full
    columns = max(1, config.columns(x.shape[1]))  # too short for one column: the model says so
    if columns > behind:
        width = min(columns, full)
        yield window(columns - width, width)[..., width - (columns - behind) :, :]


def _joined(windows: Iterable[Tensor], level: str) -> Tensor:
    """(B, layers, [rows,] T', D), or for "clip" the mean over all columns, (B, layers, D)."""
    if level != "clip":
        return torch.cat(list(windows), dim=-2)
    total, columns = 0.0, 0
    for window in windows:
        total, columns = total + window.sum(dim=-2, dtype=torch.float64), columns + window.shape[-2]
    return (total / columns).to(window.dtype)


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
