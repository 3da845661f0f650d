"""The table of benchmarks/layouts.py."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from ssamba.demo.spoken_words import VOICES, WORDS

BEGIN, END = "<!-- layouts: begin (written by benchmarks/layouts.py) -->", "<!-- layouts: end -->"

STARTS = {"like_forward": "small, like the forward ones", "zero_bias": "about 0.7, as published"}
COLUMNS: dict[str, Callable[[dict], float]] = {
    "words right, pretrained": lambda run: run["test_accuracy"]["pretrained"],
    "words right, from scratch": lambda run: run["test_accuracy"]["scratch"],
    "hidden patches told apart": lambda run: run["pretraining"]["accuracy"],
}
DIFFERENCE = "pretrained, less the first row's of the same seed"


def table(results: dict) -> str:
    """What was trained and how, then a row for each layout and start, in percent."""
    rows: dict[tuple[str, str], dict[int, dict]] = {}
    for run in results["runs"]:
        rows.setdefault((run["layout"], run["backward_dt_init"]), {})[run["seed"]] = run
    pretrained, *_ = COLUMNS.values()
    first = next(iter(rows.values()))
    lines = [
        terms(results),
        "",
        f"| layout | backward step sizes start | {' | '.join([*COLUMNS, DIFFERENCE])} |",
        f"|---|---|{'--:|' * (len(COLUMNS) + 1)}",
    ]
    for (layout, start), runs in rows.items():
        cells = [spread([value(run) for run in runs.values()]) for value in COLUMNS.values()]
        gains = [pretrained(run) - pretrained(first[seed]) for seed, run in runs.items()]
        cells.append("" if runs is first else spread(gains, "+"))
        lines.append(f"| `{layout}` | `{start}`: {STARTS[start]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def terms(results: dict) -> str:
    recipe = results["recipe"]
    model, pretraining, finetuning = (recipe[f"{part}_settings"] for part in ("model", "pretrain", "finetune"))
    sizes = {run["parameters"] for run in results["runs"]}
    if len(sizes) != 1:
        raise ValueError(f"runs with {sorted(sizes)} parameters do not compare; every run must have as many")
    seeds = sorted({run["seed"] for run in results["runs"]})
    return (
        f"{len(WORDS)} words of the demo, {results['clips']['test']} clips of {len(VOICES['test'])} voices never heard "
        f"in training; mean ± standard deviation in % over seeds {', '.join(map(str, seeds))}. Every run has depth "
        f"{model['depth']}, width {model['embed_dim']}, {sizes.pop():,} parameters, the paper's InfoNCE, "
        f"{pretraining['max_steps']} steps of pretraining on {results['clips']['train']} clips, and "
        f"{finetuning['max_steps']} steps of fine-tuning with {recipe['labels_per_word']} labels a word. "
        f"Guessing is right for {1 / len(WORDS):.1%} of the words and {1 / pretraining['masked_patches']:.1%} of the "
        "hidden patches, here those of validation voices."
    )


def spread(shares: list[float], sign: str = "") -> str:
    """Mean and, for more than one, standard deviation (n - 1)."""
    mean = f"{100 * statistics.mean(shares):{sign}.1f}"
    return f"{mean} ± {100 * statistics.stdev(shares):.1f}" if len(shares) > 1 else mean
