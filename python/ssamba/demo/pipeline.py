"""The demo from start to report: makes the sounds, runs each seed, prints what came out, writes the page."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ssamba.checkpoints.folder import save_atomically
from ssamba.training import Interrupted
from ssamba.training.progress import shows_progress
from ssamba.training.run_directory import holds_nothing
from ssamba.training.run_lock import locked

from .charts import Series
from .experiment import BASELINE, PRETRAINED, SCRATCH, Outcome, curve, run_experiment
from .hidden_patches import examples
from .provenance import machine, software
from .recipe import Recipe, recipe
from .report import Accuracy, Chart, Report, duration, percent, write_report
from .spoken_words import VOICES, WORDS, SpokenWords, make_spoken_words

SHOWN = {"seven": 4, "left": 11, "stop": 20}  # word and number of the test clips in the report
MAKING = "making the sounds"


def run_demo(out: Path, quick: bool = False, seed: int = 0, seeds: int = 1, quiet: bool = False) -> list[Outcome]:
    """Runs the demo in `out` and returns the outcome of each seed.

    Raises SpeechEngineError if the speech engine fails, FileExistsError if `out` or something in it is not the demo's,
    ValueError if another process is at it, and what training raises.
    """
    check_folder(out)
    with locked(out):  # the runs below it are held by training itself, but removed before
        return _run_demo(out, quick, seed, seeds, quiet)


def _run_demo(out: Path, quick: bool, seed: int, seeds: int, quiet: bool) -> list[Outcome]:
    chosen = recipe(quick, seed)
    words, making = _make_sounds(out, chosen, quiet)
    page_file, results_file = out / "report.html", out / "results.json"
    for stale in (page_file, results_file):
        stale.unlink(missing_ok=True)
    outcomes = []
    for number in range(seed, seed + seeds):
        heading = f"seed {number}: " if seeds > 1 else ""
        try:
            outcomes.append(
                run_experiment(
                    words,
                    chosen,
                    number,
                    out / f"seed-{number}",
                    partial(_say, heading),
                    quiet,
                )
            )
        except Interrupted as stop:
            raise Interrupted(
                "stopped; the sounds are kept, and the same command trains again from the start", stop.exit_code - 128
            ) from stop
    options = [f"--seed {seed}", *([f"--seeds {seeds}"] if seeds > 1 else []), *(["--quick"] if quick else [])]
    page = make_report(words, chosen, outcomes, making, f"ssamba demo {' '.join(options)}")
    write_report(page, page_file)
    _write_results(results_file, page, outcomes)
    _print_accuracies(page, words, page_file)
    print(f"try the model:\n{predicting(outcomes[0], words)}")
    return outcomes


def check_folder(out: Path) -> None:
    """Raises FileExistsError unless `out` is new, empty or holds an earlier demo, whose files may be replaced."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; give --out a folder, new or of an earlier demo")
    holds_demo = any((out / name).is_dir() for name in ("words", "words.partial"))
    if out.is_dir() and not holds_nothing(out) and not holds_demo:
        raise FileExistsError(f"{out} is not empty and holds no earlier demo; choose another --out")


def _say(heading: str, text: str) -> None:
    print(heading + text, flush=True)


def _make_sounds(out: Path, chosen: Recipe, quiet: bool) -> tuple[SpokenWords, float]:
    print(f"{MAKING}: {len(WORDS)} words, eSpeak NG, {sum(map(len, VOICES.values()))} voices", flush=True)
    started = time.monotonic()
    hidden = not shows_progress(quiet)
    with tqdm(desc="clips", unit="clip", ncols=80, disable=hidden, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        words = make_spoken_words(out / "words", chosen.sounds, progress)
    how = "found complete, used again" if words.reused else duration(time.monotonic() - started)
    print(f"{sum(words.clips.values())} clips in {words.folder} ({how})", flush=True)
    return words, time.monotonic() - started


def make_report(words: SpokenWords, chosen: Recipe, outcomes: Sequence[Outcome], making: float, command: str) -> Report:
    """Everything the page shows; pictures, curves and confusion are those of the first seed."""
    first = outcomes[0]
    few = chosen.labels_per_word
    order = [first.classes.index(word) for word in WORDS]
    accuracies = [
        Accuracy(
            "SSAMBA, pretrained",
            f"pretrained on {words.clips['train']} clips without labels, fine-tuned with {few} labels per word",
            [one.accuracy[PRETRAINED] for one in outcomes],
            "a",
        ),
        Accuracy(
            "SSAMBA, from scratch",
            "the same model, labels and fine-tuning, without pretraining",
            [one.accuracy[SCRATCH] for one in outcomes],
            "b",
        ),
        Accuracy(
            "Logistic regression",
            "on the mean log-mel of a clip, with the same labels",
            [one.accuracy[BASELINE] for one in outcomes],
            "c",
        ),
    ]
    seconds = {stage: sum(one.seconds[stage] for one in outcomes) for stage in first.seconds}
    return Report(
        summary=(
            f"A small model listened to {words.clips['train']} clips of {len(VOICES['train'])} voices without being "
            f"told what they say, then learnt {len(WORDS)} words from {few} labelled clips each. It names "
            f"{percent(accuracies[0].mean)} of the words of {len(VOICES['test'])} voices it had never heard; without "
            f"the listening it is {percent(accuracies[1].mean)}."
        ),
        accuracies=accuracies,
        chance=1 / len(WORDS),
        examples=examples(first.runs["pretrain"] / "checkpoints" / "last", words.split("test"), SHOWN, first.seed),
        charts=_charts(first, chosen),
        confusion=first.confusion[np.ix_(order, order)],
        classes=WORDS,
        timings={MAKING + (" (used again)" if words.reused else ""): making, **seconds},
        facts={"Command": {"the same again": command, "the model on a sound": predicting(first, words)}}
        | _facts(words, chosen, outcomes),
    )


def predicting(outcome: Outcome, words: SpokenWords) -> str:
    """A command that names the words of some test clips with the pretrained and fine-tuned model."""
    return f"ssamba predict --checkpoint {outcome.runs[PRETRAINED]} {words.split('test') / WORDS[-1]}"


def _charts(outcome: Outcome, chosen: Recipe) -> list[Chart]:
    def series(run: str, split: str, metric: str, name: str, colour: str) -> Series:
        return Series(name, *curve(outcome.runs[run], split, metric), colour)

    def pair(split: str, metric: str) -> list[Series]:
        return [
            series(PRETRAINED, split, metric, "pretrained", "a"),
            series(SCRATCH, split, metric, "from scratch", "b"),
        ]

    def both(metric: str) -> list[Series]:
        return [
            series("pretrain", "train", metric, "training voices", "a"),
            series("pretrain", "validation", metric, "held-out voices", "d"),
        ]

    def guessing(choices: int, lines: list[Series]) -> Series:
        return Series("guessing", [lines[0].x[0], lines[0].x[-1]], [1 / choices] * 2, "c")

    told_apart, words_right = both("accuracy"), pair("validation", "accuracy")
    told_apart.append(guessing(chosen.pretrain_settings["masked_patches"], told_apart))
    words_right.append(guessing(len(WORDS), words_right))
    share = ("step", "share right", (0.0, 1.0))
    return [
        Chart("Pretraining: loss without labels", both("loss"), "step", "loss"),
        Chart("Pretraining: hidden patches told apart", told_apart, *share),
        Chart("Fine-tuning: loss on the labelled clips", pair("train", "loss"), "step", "cross-entropy"),
        Chart("Fine-tuning: words right, other voices", words_right, *share),
    ]


def _facts(words: SpokenWords, chosen: Recipe, outcomes: Sequence[Outcome]) -> dict[str, dict[str, object]]:
    sounds = chosen.sounds
    voices = {f"{split} voices": f"{len(VOICES[split])}: {', '.join(VOICES[split])}" for split in VOICES}
    sets = {f"{split} clips": count for split, count in words.clips.items()}
    return {
        "Sounds": {
            "words": ", ".join(WORDS),
            "voice × accent × pitch × speed": f"{words.variants} variants",
            **sets,
            "labelled clips": f"{chosen.labels_per_word} per word, of the training clips",
            "clip": f"{sounds.seconds:g} s, 16 kHz",
            "voice over noise": f"{sounds.snr_db[0]:g} to {sounds.snr_db[1]:g} dB",
            **voices,
        },
        "Model": {**chosen.model_settings, "parameters": f"{outcomes[0].parameters:,}"},
        "Time spent waiting for data": _waits(outcomes[0]),
        "Pretraining": chosen.pretrain_settings,
        "Fine-tuning": chosen.finetune_settings,
        "Seeds": {"sounds": sounds.seed, "training and choice of labels": ", ".join(str(one.seed) for one in outcomes)},
        "Machine": machine(),
        "Versions": software(),
    }


def _waits(outcome: Outcome) -> dict[str, str]:
    """Share of the training time, by run."""
    runs = {"pretraining": "pretrain", "fine-tuning": PRETRAINED, "from scratch": SCRATCH}
    return {
        name: percent(float(np.mean(curve(outcome.runs[run], "train", "data_wait")[1]))) for name, run in runs.items()
    }


def _write_results(path: Path, page: Report, outcomes: Sequence[Outcome]) -> None:
    content = {
        "test_accuracy": {one.name: {"mean": one.mean, "deviation": one.deviation} for one in page.accuracies},
        "seeds": [{"seed": one.seed, **one.accuracy, "seconds": one.seconds} for one in outcomes],
        "classes": list(page.classes),
        "confusion": np.asarray(page.confusion).tolist(),
        "seconds": dict(page.timings),
        "facts": {heading: {k: str(v) for k, v in facts.items()} for heading, facts in page.facts.items()},
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    save_atomically(path, lambda aside: Path(aside).write_text(text, encoding="utf-8"))


def _print_accuracies(page: Report, words: SpokenWords, path: Path) -> None:
    print(f"\nwords named right, {words.clips['test']} test clips, {len(VOICES['test'])} voices never heard before:")
    for one in page.accuracies:
        spread = f" ± {100 * one.deviation:.1f}" if one.deviation is not None else ""
        print(f"  {one.name:24} {percent(one.mean):>7}{spread}")
    print(f"  {'guessing':24} {percent(page.chance):>7}")
    print(f"{duration(sum(page.timings.values()))} in all; report with pictures: {path}")
