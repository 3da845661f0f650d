"""Which layout should a new model have? Runs the demo with each layout and each start of the backward step sizes.

python benchmarks/layouts.py                     # trains what the results do not hold yet; stop it, start it again
python benchmarks/layouts.py --readme README.md  # and puts the table between the marks in this file
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from functools import partial
from pathlib import Path

from layouts_table import BEGIN, END, table
from readme_section import replace_section
from ssamba.demo.experiment import Outcome, curve, run_experiment
from ssamba.demo.provenance import machine, software
from ssamba.demo.recipe import Recipe, recipe
from ssamba.demo.spoken_words import SpokenWords, make_spoken_words
from ssamba.training import Interrupted
from ssamba.training.run_directory import write_json

RESULTS = Path(__file__).parent / "results" / "layouts.json"
VARIANTS = [
    {"layout": layout, "backward_dt_init": start}
    for layout in ("sequential", "paired")
    for start in ("like_forward", "zero_bias")
]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each variant (default: 3)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help=f"default: {RESULTS}")
    parser.add_argument("--out", type=Path, default=Path("runs/layouts"), metavar="DIR", help="default: runs/layouts")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put the table between the marks in this file")
    arguments = parser.parse_args(argv)
    try:
        results = study(arguments)
        if arguments.readme:
            replace_section(arguments.readme, BEGIN, END, table(results))
    except Interrupted as stop:
        print("layouts: stopped; the same command trains what is missing", file=sys.stderr)
        return stop.exit_code
    except (ValueError, OSError) as error:
        print(f"layouts: {error}", file=sys.stderr)
        return 2
    print(table(results))
    return 0


def study(arguments: argparse.Namespace) -> dict:
    """The content of `arguments.results` after every run that it lacked has been added to it."""
    results = json.loads(arguments.results.read_text(encoding="utf-8")) if arguments.results.is_file() else {"runs": []}
    missing = [
        (variant, seed)
        for seed in range(arguments.seeds)
        for variant in VARIANTS
        if not any(run.items() >= {**variant, "seed": seed}.items() for run in results["runs"])
    ]
    if not missing:
        return results
    chosen = equal_terms(recipe(quick=False, seed=0))
    words = make_spoken_words(arguments.out / "words", chosen.sounds)
    results = {**terms(chosen, words), "runs": results["runs"]} if not results["runs"] else results
    check_same(results, terms(chosen, words), arguments.results)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    for variant, seed in missing:
        name = "-".join(variant.values())
        say = partial(print, f"{name}, seed {seed}:", flush=True)
        trained = dataclasses.replace(chosen, model_settings={**chosen.model_settings, **variant})
        outcome = run_experiment(words, trained, seed, arguments.out / name / f"seed-{seed}", say, quiet=True)
        results["runs"].append({**variant, **measured(outcome)})
        write_json(arguments.results, results)
    return results


def equal_terms(demo: Recipe) -> Recipe:
    """The demo with one orientation of InfoNCE for both layouts, and half its pretraining: twelve runs in an hour."""
    return dataclasses.replace(demo, pretrain_settings={**demo.pretrain_settings, "infonce": "paper", "max_steps": 800})


def terms(chosen: Recipe, words: SpokenWords) -> dict:
    """What all runs share, as it is read back from JSON."""
    shared = {"recipe": dataclasses.asdict(chosen), "clips": words.clips, "machine": machine(), "versions": software()}
    return json.loads(json.dumps(shared))


def check_same(results: dict, today: dict, file: Path) -> None:
    for part, value in today.items():
        if results.get(part) != value:
            raise ValueError(
                f"{file} holds runs with another {part}: {results.get(part)}, now {value}; give another --results"
            )


def measured(outcome: Outcome) -> dict:
    """What is kept of a run: accuracies after fine-tuning, the last validation of pretraining, seconds by stage."""
    pretrained = outcome.runs["pretrain"]
    return {
        "seed": outcome.seed,
        "parameters": outcome.parameters,
        "test_accuracy": outcome.accuracy,
        "pretraining": {
            name: curve(pretrained, "validation", name)[1][-1] for name in ("accuracy", "discriminative", "generative")
        },
        "seconds": {stage: round(seconds, 1) for stage, seconds in outcome.seconds.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
