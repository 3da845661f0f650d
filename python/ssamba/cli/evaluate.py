"""`ssamba evaluate`."""

from __future__ import annotations

from argparse import Namespace

from ..training.settings import EvaluateSettings
from .arguments import Parser, add_settings, make_settings

DESCRIPTION = """\
Measure a fine-tuned model on labelled audio: accuracy, mean average precision
(mAP), mean area under the ROC curve (mAUC), d', and which class is taken for
which. --out writes everything as JSON. Exits 1 if a file was unreadable."""

EXAMPLE = """\
  ssamba evaluate --checkpoint runs/words --data test/ --out results.json"""


def add_arguments(parser: Parser) -> None:
    add_settings(parser, EvaluateSettings)


def run(args: Namespace) -> int:
    settings = make_settings(EvaluateSettings, args)
    from ..training import evaluate
    from ..training.devices import alone

    with alone():
        result = evaluate(settings)
    print(f"{'clips':10} {len(result.paths)}")
    for name, value in {**result.metrics.values(), "loss": result.loss}.items():
        print(f"{name:10} {value:.4f}")
    absent = [result.classes[index] for index in result.metrics.without_positives]
    if absent:
        print(f"{len(absent)} of {len(result.classes)} classes have no clip and are left out: {', '.join(absent)}")
    for count, true, predicted in confusions(result)[:5]:
        print(f"{count} of class {true} taken for {predicted}")
    if settings.out:
        print(f"written to {settings.out}")
    return 1 if result.skipped else 0


def confusions(result) -> list[tuple[int, str, str]]:
    """(clips, true class, predicted class) of all mistakes, most frequent first."""
    if result.metrics.confusion is None:
        return []
    names, matrix = result.classes, result.metrics.confusion
    pairs = [(int(matrix[i, j]), names[i], names[j]) for i in range(len(names)) for j in range(len(names)) if i != j]
    return sorted((pair for pair in pairs if pair[0]), key=lambda pair: -pair[0])
