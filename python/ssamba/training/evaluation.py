"""Measuring a fine-tuned model on labelled clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.dataset import AudioDataset
from ..data.loader import make_loader
from ..data.workers import naming_worker_faults
from .checkpoints import resolve_checkpoint
from .data_summary import say_found
from .devices import inference_device
from .loading import class_names, freeze, load_classifier
from .metrics import ClassificationMetrics, classification_metrics
from .result import count_skipped
from .run_directory import absolute_settings, saved_settings, versions, write_json
from .scoring import class_scores, classification_loss, score_clips
from .settings import EvaluateSettings
from .start import clips_of, make_accelerator, open_feature_cache, open_manifest, say_room, seconds_of


def training_settings(checkpoint: str) -> dict[str, Any] | None:
    """The settings, seed included, of the run that a checkpoint lies in; None if it lies elsewhere."""
    run = resolve_checkpoint(checkpoint).parents[1]
    return saved_settings(run, "finetune") if (run / "metrics.jsonl").is_file() else None


@dataclass
class Evaluation:
    """Results of `evaluate`: metrics, and scores (rows, C) and targets (rows, C) of the clips in `paths` (rows,).

    A row is a clip, or with pooling "segments" a labelled second of one.
    """

    metrics: ClassificationMetrics
    loss: float
    classes: tuple[str, ...]
    scores: np.ndarray
    targets: np.ndarray
    paths: list[str]
    skipped: list[tuple[str, str]]
    report: dict[str, Any]  # what is written to `out`


def evaluate(settings: EvaluateSettings) -> Evaluation:
    """Measure accuracy, mAP, mAUC and d' of a fine-tuned checkpoint on the labelled clips in `settings.data`.

    Labels are matched to the model's classes by name. Clips longer than the model's input are cut to their beginning,
    as the published evaluation does. Raises ValueError for a checkpoint without classes, unknown labels or bad data.
    """
    device = inference_device(settings.device)
    if device.index is not None:
        torch.cuda.set_device(device)
    accelerator = make_accelerator("no", settings.device)
    model, readout = load_classifier(settings.checkpoint)
    classes, config = class_names(model), model.config
    manifest = open_manifest(settings, settings.data, classes=classes)
    if not manifest.classes:
        raise ValueError(
            f"{settings.data} has no labels; evaluation needs a folder of class folders, or a label column"
        )
    pooling = settings.pooling or readout.pooling
    cache = open_feature_cache(settings, config)
    dataset = AudioDataset(
        manifest,
        sample_rate=config.sample_rate,
        seconds=seconds_of(config.input_tdim),
        strict=settings.strict,
        min_seconds=seconds_of(config.tshape),
        cache=settings.cache,
        per_second=pooling == "segments",
        feature_cache=cache,
    )
    say_found("evaluating on", dataset, quiet=settings.quiet)
    say_room(cache, dataset, quiet=settings.quiet)
    loader = make_loader(dataset, settings.batch_size, shuffle=False, seed=0, num_workers=settings.workers)
    frozen = freeze(model, accelerator.device, settings.dtype)
    with naming_worker_faults(loader):
        scored = score_clips(frozen, loader, pooling, accelerator, settings.quiet)
    loss_kind = "ce" if readout.scores == "softmax" else "bce"
    loss = classification_loss(torch.from_numpy(scored.logits), torch.from_numpy(scored.targets), loss_kind)
    metrics = classification_metrics(scored.logits, scored.targets)
    paths = [str(dataset.clips[index].path) for index in scored.indices]
    report = {
        "checkpoint": str(Path(settings.checkpoint).resolve()),
        "clips": len(set(paths)),
        "decisions": len(paths),
        "loss": float(loss),
        **{name: value if np.isfinite(value) else None for name, value in metrics.values().items()},
        "classes": list(classes),
        "classes_without_positives": [classes[index] for index in metrics.without_positives],
        "average_precision": {classes[index]: value for index, value in metrics.per_class_ap.items()},
        "auc": {classes[index]: value for index, value in metrics.per_class_auc.items()},
        "confusion_matrix": None if metrics.confusion is None else metrics.confusion.tolist(),  # rows true
        "skipped_files": [list(pair) for pair in dataset.skipped],
        "data": clips_of(dataset),
        "settings": absolute_settings(settings),
        "training": training_settings(settings.checkpoint),
        "model": config.to_dict(),
        "versions": versions(),
    }
    if settings.out is not None:
        write_json(Path(settings.out), report)
    count_skipped(dataset.skipped)
    targets = scored.targets.astype(np.int64)
    scores = class_scores(scored.logits, readout.scores)
    return Evaluation(metrics, float(loss), classes, scores, targets, paths, list(dataset.skipped), report)
