"""One seed of the demo: pretrain without labels, fine-tune with a few, compare with training from scratch."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssamba import SSAMBA
from ssamba.training import EvaluateSettings, FinetuneSettings, PretrainSettings, evaluate, finetune, pretrain
from ssamba.training.run_directory import holds_nothing

from .baseline import logistic_regression_accuracy, mean_log_mel
from .recipe import Recipe
from .spoken_words import SpokenWords, choose_labelled

PRETRAINED, SCRATCH, BASELINE = "pretrained", "scratch", "baseline"
STAGES = ("pretraining", "fine-tuning, pretrained", "fine-tuning, from scratch", "testing")


@dataclass(frozen=True)
class Outcome:
    """Results of one seed: test accuracy by way of learning, confusion (C, C) of the pretrained model, rows what was
    said; seconds by stage; run directories by name ("pretrain", "pretrained", "scratch"); parameters of the model
    that was pretrained."""

    seed: int
    accuracy: dict[str, float]
    confusion: np.ndarray
    classes: tuple[str, ...]
    seconds: dict[str, float]
    runs: dict[str, Path]
    parameters: int


def run_experiment(
    words: SpokenWords, recipe: Recipe, seed: int, folder: Path, say: Callable[[str], None], quiet: bool = False
) -> Outcome:
    """Runs all stages in `folder`, whose earlier runs are replaced; `say` is told of each stage.

    Both fine-tunings see the same clips, steps and learning rate, and both are tested as they are after their last
    step: no label beyond the few is used, neither to train nor to choose.
    """
    runs = {"pretrain": folder / "pretrain", PRETRAINED: folder / "finetune", SCRATCH: folder / "finetune-from-scratch"}
    for run in runs.values():
        _remove_run(run)
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        say(name)
        started = time.monotonic()
        yield
        seconds[name] = time.monotonic() - started

    labelled = choose_labelled(words, recipe.labels_per_word, seed, folder / "labelled.csv")
    common = {"validation": words.split("valid"), "cache": True, "seed": seed, "strict": True, "quiet": quiet}
    with stage(STAGES[0]):
        learnt = pretrain(
            PretrainSettings(
                data=words.split("train"),
                out=runs["pretrain"],
                **common,
                **recipe.model_settings,
                **recipe.pretrain_settings,
            )
        )
    tuning = {**common, **recipe.finetune_settings, "data": folder / "labelled.csv"}
    with stage(STAGES[1]):
        finetune(FinetuneSettings(out=runs[PRETRAINED], pretrained=learnt.checkpoint, **tuning))
    with stage(STAGES[2]):
        input_scale = _input_scale(learnt.checkpoint)
        finetune(FinetuneSettings(out=runs[SCRATCH], **input_scale, **recipe.model_settings, **tuning))
    with stage(STAGES[3]):
        tested = {
            name: evaluate(EvaluateSettings(checkpoint=_last(runs[name]), data=words.split("test"), quiet=quiet))
            for name in (PRETRAINED, SCRATCH)
        }
        heard = sorted(words.split("test").glob("*/*.wav"))
        baseline = logistic_regression_accuracy(
            mean_log_mel(labelled), _labels(labelled), mean_log_mel(heard), _labels(heard), seed
        )
    accuracy = {name: float(one.metrics.accuracy) for name, one in tested.items()}
    best = tested[PRETRAINED]
    parameters = sum(parameter.numel() for parameter in SSAMBA.from_pretrained(learnt.checkpoint).parameters())
    accuracy[BASELINE] = baseline
    return Outcome(seed, accuracy, best.metrics.confusion, best.classes, seconds, runs, parameters)


def curve(run: Path, split: str, name: str) -> tuple[list[float], list[float]]:
    """Steps and values of one metric ("loss", "accuracy", …) that a run recorded in "train" or "validation"."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    points = [(one["step"], one[name]) for one in records if one["split"] == split and one.get(name) is not None]
    return [float(step) for step, _ in points], [float(value) for _, value in points]


def _last(run: Path) -> Path:
    return run / "checkpoints" / "last"


def _input_scale(checkpoint: Path) -> dict[str, float]:
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    return {"mean": config["mean"], "std": config["std"]}


def _labels(paths: list[Path]) -> np.ndarray:
    return np.array([path.parent.name for path in paths])


def _remove_run(run: Path) -> None:
    if run.is_dir() and ((run / "config.json").is_file() or holds_nothing(run)):
        shutil.rmtree(run)
    elif run.exists():
        raise FileExistsError(
            f"{run} exists and is not a training run (no config.json); remove it or choose another --out"
        )
