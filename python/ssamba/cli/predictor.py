"""Scores of whole files from a model that reads windows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from ..audio.reading import AudioFile
from ..training.devices import inference_device
from ..training.loading import class_names, freeze, load_classifier
from ..training.progress import SoundProgress
from ..training.scoring import class_scores
from ..training.start import seconds_of
from .audio_reader import AudioReader

Row = dict[str, Any]  # {"file", "labels": [{"label", "score"}, ...]}


class Predictor:
    """A fine-tuned model that scores files window by window."""

    def __init__(self, checkpoint: str, device: str, dtype: str):
        self.device = inference_device(device)
        model, self.readout = load_classifier(checkpoint)
        self.model, self.classes, config = freeze(model, self.device, dtype), class_names(model), model.config
        self.rate = config.sample_rate
        frames = (config.tshape, config.input_tdim)
        self.shortest, self.window = (round(seconds_of(number) * self.rate) for number in frames)

    def reader(self, strict: bool, progress: SoundProgress) -> AudioReader:
        """What reads files for this model."""
        return AudioReader(self.rate, self.shortest, strict, progress)

    def rows(self, files: Iterable[str], reader: AudioReader, batch_size: int = 8, top: int = 3) -> Iterator[Row]:
        """The `top` labels of every file that can be read, by falling score.

        `batch_size` windows of equal length, of whichever files, are scored together, and a row comes as soon as its
        last window is.
        """
        open_files: deque[_Scores] = deque()
        waiting: list[tuple[_Scores, np.ndarray]] = []
        for path in files:
            scores = _Scores(path)
            with reader.skipping(path), AudioFile(path) as file:
                reader.require_length(file)
                for wave in reader.blocks(file, self.window / self.rate):
                    if waiting and len(wave) != len(waiting[0][1]):
                        self._score(waiting)
                    if len(wave) >= self.shortest:
                        waiting.append((scores, wave))
                        scores.windows += 1
                    if len(waiting) == batch_size:
                        self._score(waiting)
                scores.whole = True
            if scores.whole:
                open_files.append(scores)
            else:
                waiting = [pair for pair in waiting if pair[0] is not scores]
            yield from self._finished(open_files, top)
        if waiting:
            self._score(waiting)
        yield from self._finished(open_files, top)

    def _score(self, waiting: list[tuple[_Scores, np.ndarray]]) -> None:
        with torch.inference_mode():
            x, _ = self.model.features(torch.from_numpy(np.stack([wave for _, wave in waiting])).to(self.device))
            logits = self.model.classify(x, self.readout.pooling).float().cpu().numpy()
        for (scores, _), found in zip(waiting, class_scores(logits, self.readout.scores), strict=True):
            scores.add(np.atleast_2d(found))  # "segments" has a row for each second
        waiting.clear()

    def _finished(self, open_files: deque[_Scores], top: int) -> Iterator[Row]:
        while open_files and open_files[0].finished:
            scores = open_files.popleft()
            mean = scores.total / scores.rows
            best = sorted(range(len(mean)), key=lambda label: -mean[label])[:top]
            labels = [{"label": self.classes[label], "score": float(mean[label])} for label in best]
            yield {"file": scores.path, "labels": labels}


class _Scores:
    """The scores of a file so far."""

    def __init__(self, path: str):
        self.path = path
        self.windows, self.scored = 0, 0
        self.whole = False  # all windows are counted
        self.total: Any = 0.0
        self.rows = 0

    def add(self, scores: np.ndarray) -> None:
        """Scores (rows, C) of a window."""
        self.scored += 1
        self.total = self.total + scores.sum(axis=0, dtype="float64")
        self.rows += len(scores)

    @property
    def finished(self) -> bool:
        return self.whole and self.scored == self.windows
