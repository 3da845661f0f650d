"""Fine-tuning and testing over folds and seeds, with a table of the results."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ..checkpoints.folder import unfinished_files
from ..data.preparers.splits import SPLITS_FILE, Splits, read_splits
from .agreement import agreed
from .evaluation import evaluate
from .finetuning import finetune
from .fold_table import metric_table
from .interrupt import Interrupted
from .progress import say
from .run_directory import absolute_settings, check_resumable, holds_nothing, read_run_config, versions, write_json
from .settings import EvaluateSettings, FinetuneSettings, RepeatSettings
from .start import make_accelerator, open_manifest, open_run

RESULTS = "results.json"
TESTED_IN = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}  # dtype by precision of training


def repeat(settings: RepeatSettings) -> dict[str, Any]:
    """Fine-tune for each fold and seed, test each run once, and write results.json in `settings.out`.

    Each run has its directory below `out`. Its checkpoint is chosen on the fold's validation clips, or where the fold
    has none on `validation_share` of its training clips, never on test clips; with nothing held out it is the average
    over epochs or the last. Returns what is written: settings, versions, test metrics of each run, and for each metric
    its mean, and the standard deviation (n - 1) over folds and over seeds.

    With `settings.resume`, runs that are done are not trained again, and one that was stopped goes on.

    Raises ValueError for a folder that is not prepared, an unknown fold or clips to train on that are also tested,
    Interrupted after a signal, and whatever else fine-tuning and evaluation raise.
    """
    out = Path(settings.out)
    accelerator = make_accelerator(settings.precision, settings.device)
    with open_run(out, accelerator, lambda: _check_startable(out, settings)):
        return _repeat(settings, out, accelerator)


def _repeat(settings: RepeatSettings, out: Path, accelerator: Accelerator) -> dict[str, Any]:
    folds, label_csv = _folds(settings)
    for parts in folds.values():
        _check_apart(settings, parts)
    about = {"verb": "repeat", "settings": absolute_settings(settings)}
    agreed(accelerator, lambda: write_json(out / "config.json", about))
    runs = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        for fold, parts in folds.items():
            directory = out / f"fold{fold}-seed{seed}"
            if not settings.quiet and accelerator.is_main_process:
                say(f"fold {fold}, seed {seed}")
            try:
                run = _run(settings, parts, label_csv, seed, directory)
            except Interrupted as stop:
                text = f"stopped in fold {fold}, seed {seed}; continue with ssamba repeat --out {out} --resume"
                raise Interrupted(text, stop.exit_code - 128) from stop
            runs.append({"fold": fold, "seed": seed, **run})
    results = {
        "settings": absolute_settings(settings),
        "versions": versions(),
        "seeds": list(range(settings.seed, settings.seed + settings.seeds)),
        "folds": list(folds),
        "metrics": metric_table(runs),
        "runs": runs,
    }
    agreed(accelerator, lambda: write_json(out / RESULTS, results))
    return {**results, "file": str(out / RESULTS)}


def _folds(settings: RepeatSettings) -> tuple[dict[str, dict[str, str]], str | None]:
    """Manifest of each part of each fold that is to be run, and their label CSV."""
    if settings.test is not None:
        parts = {"train": settings.data, "validation": settings.validation, "test": settings.test}
        splits = Splits("", {"1": {part: path for part, path in parts.items() if path}}, settings.label_csv)
    elif not os.path.isfile(os.path.join(settings.data, SPLITS_FILE)):
        raise ValueError(
            f"{settings.data} was not made by ssamba prepare; to test on clips of your own, give them as test (--test)"
        )
    else:
        for name in ("validation", "label_csv"):
            if getattr(settings, name) is not None:
                raise ValueError(f"{settings.data} has its own {name}; leave {name} out")
        splits = read_splits(settings.data)
    for name in settings.folds:
        if name not in splits.folds:
            raise ValueError(f"there is no fold {name}; there are: {', '.join(splits.folds)}")
    folds = {name: parts for name, parts in splits.folds.items() if not settings.folds or name in settings.folds}
    for parts in folds.values():
        if "test" not in parts:
            raise ValueError(f"{settings.data} has nothing to test on; it is for ssamba pretrain")
    return folds, splits.label_csv


def _check_startable(out: Path, settings: RepeatSettings) -> None:
    """Raise ValueError unless `out`, which is locked, is new, or holds the same experiment, to be resumed."""
    config = read_run_config(out, "repeat")
    if config is None:
        if not holds_nothing(out):
            raise ValueError(f"{out} exists and holds no results of ssamba repeat; choose another --out")
    elif any(path.is_dir() for path in out.iterdir()):  # or it was stopped before its first run
        if not settings.resume:
            raise ValueError(f"{out} already holds such runs; go on with --resume or choose another --out")
        check_resumable(out, config["settings"], settings)
    for path in unfinished_files(out):
        path.unlink(missing_ok=True)


def _check_apart(settings: RepeatSettings, parts: dict[str, str]) -> None:
    """Raise ValueError if a clip to test on is also one to learn or to choose by."""
    manifests = {part: open_manifest(settings, source, labels=False) for part, source in parts.items()}
    for part in ("train", "validation"):
        if part in manifests and (shared := manifests["test"].shared_files(manifests[part])):
            raise ValueError(f"{len(shared)} clips are in {parts[part]} and in {parts['test']}, such as {shared[0]}")


def _run(
    settings: RepeatSettings, parts: dict[str, str], label_csv: str | None, seed: int, directory: Path
) -> dict[str, Any]:
    """Fine-tune and test one fold with one seed."""
    values = {item.name: getattr(settings, item.name) for item in dataclasses.fields(FinetuneSettings)}
    values |= {"data": parts["train"], "validation": parts.get("validation"), "label_csv": label_csv}
    values |= {"seed": seed, "out": str(directory), "resume": True}  # which starts what is not there
    result = finetune(FinetuneSettings(**values))
    tested = evaluate(
        EvaluateSettings(
            checkpoint=str(directory),
            data=parts["test"],
            label_csv=label_csv,
            out=str(directory / "test.json"),
            **{name: getattr(settings, name) for name in ("audio_root", "strict", "workers", "cache", "feature_cache")},
            **{name: getattr(settings, name) for name in ("batch_size", "device", "quiet")},
            dtype=TESTED_IN[settings.precision],
        )
    )
    return {
        "directory": directory.name,
        "checkpoint": result.checkpoint.name,
        "steps": result.step,
        "clips": tested.report["clips"],
        "classes_without_positives": tested.report["classes_without_positives"],
        "skipped_files": len(result.skipped) + len(tested.skipped),
        "test": {
            name: value if math.isfinite(value) else None
            for name, value in {**tested.metrics.values(), "loss": tested.loss}.items()
        },
    }
