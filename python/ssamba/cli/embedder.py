"""Features of whole files from a model, short ones together, long ones in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

from ..audio.reading import AudioFile
from ..training.devices import inference_device
from ..training.loading import freeze, load_model
from ..training.progress import SoundProgress
from ..training.start import seconds_of
from .audio_reader import AudioReader, at_most_together
from .results.feature_parts import FeatureParts


class Embedder:
    """A model, and what is wanted of it: `level` and `layers` as `SSAMBA.extract` takes them."""

    def __init__(self, checkpoint: str, device: str, dtype: str, level: str, layers: Sequence[int] | str | None):
        self.model = freeze(load_model(checkpoint), inference_device(device), dtype)
        self.level, self.layers = level, layers
        self.rate = self.model.config.sample_rate

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Of what a clip or a patch column gets: ([layers,] [rows,] D)."""
        config = self.model.config
        layers = () if self.layers is None else (config.depth if self.layers == "all" else len(self.layers),)
        return (*layers, *((config.rows,) if self.level == "patch" else ()), config.embed_dim)

    def column_times(self, columns: int) -> np.ndarray:
        """Middle of each of the first columns of patches, in seconds."""
        return self.model.column_times(columns).numpy()

    def reader(self, strict: bool, progress: SoundProgress) -> AudioReader:
        """What reads files for this model."""
        return AudioReader(self.rate, round(seconds_of(self.model.config.tshape) * self.rate), strict, progress)

    def add(self, files: Iterable[str], reader: AudioReader, parts: FeatureParts, batch_size: int) -> None:
        """Adds the features of every file that can be read, of at most `batch_size` of equal length at once."""
        paths: list[str] = []
        waves: list[np.ndarray] = []
        for path in files:
            with reader.skipping(path), AudioFile(path) as file:
                reader.require_length(file)
                if reader.is_long(file):
                    self._add_together(paths, waves, parts)
                    found = self.model.extract_blocks(reader.blocks(file), self.rate, self.level, self.layers)
                    parts.add(path, map(self._rows, found))
                    continue
                wave = reader.whole(file)
                if waves and len(wave) != len(waves[0]):
                    self._add_together(paths, waves, parts)
                paths.append(path)
                waves.append(wave)
                if len(waves) == at_most_together(wave, batch_size):
                    self._add_together(paths, waves, parts)
        self._add_together(paths, waves, parts)

    def _add_together(self, paths: list[str], waves: list[np.ndarray], parts: FeatureParts) -> None:
        if waves:
            found = self.model.extract(np.stack(waves), self.rate, self.level, self.layers)
            for path, features in zip(paths, found, strict=True):
                parts.add(path, [self._rows(features)])
        paths.clear()
        waves.clear()

    def _rows(self, features: Tensor) -> np.ndarray:
        """(rows, *row_shape): time first."""
        features = features.float().cpu().numpy()
        return features[None] if self.level == "clip" else np.moveaxis(features, -2, 0)
