"""Seconds and accuracy of models in float32, bfloat16 and int8 on a CPU.

python benchmarks/low_precision.py                              # trains the demo's model if there is none yet: minutes
python benchmarks/low_precision.py --again                      # measures what the results hold already, anew
python benchmarks/low_precision.py --report --readme benchmarks/results/README.md    # the tables, between the marks
python benchmarks/low_precision.py --checkpoint runs/demo/seed-0/finetune --data runs/demo/words/test

"words" is a fine-tuned model on the spoken words of the demo, in the recipe of `ssamba demo --quick`; "encode" times
the encoders of larger models, whose products weigh more. All dtypes are timed in turn in one process. Stop it and
start it again: it goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import measured_on
from alternating import in_turn, in_words, ratio, spread
from resumable import add_options, finish, measure_missing
from ssamba import SSAMBA, FrozenSSAMBA, SSAMBAConfig
from ssamba.data import AudioDataset, make_loader, read_manifest
from ssamba.inference.memory import keep_freed_memory
from ssamba.training.loading import class_names, load_classifier
from ssamba.training.start import seconds_of

RESULTS = Path(__file__).parent / "results" / "low_precision.json"
BEGIN, END = "<!-- low precision: begin (written by benchmarks/low_precision.py) -->", "<!-- low precision: end -->"
DTYPES = ("float32", "bfloat16", "int8", "int8_weight_only")
NAMES = {"int8": "int8, dynamic", "int8_weight_only": "int8, weights only"}
SIZES, TOKENS = ("tiny", "base"), 513
Row = dict[str, Any]
Batches = list[tuple[Tensor, Tensor, Tensor]]  # log-mel, frames, labels


def main(argv: list[str] | None = None) -> int:
    return finish("low_precision", parse(argv), measure, tables, (BEGIN, END), left="does what is missing")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="a fine-tuned model (default: one trained in --out)")
    parser.add_argument("--data", type=Path, help="labelled clips for it")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/low-precision"), metavar="DIR", help="for sounds and runs"
    )
    parser.add_argument("--sizes", default=",".join(SIZES), help='of "encode"; may be empty (default: tiny,base)')
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30.0, help="for the rounds of a case (default: 30)")
    add_options(parser, RESULTS)
    arguments = parser.parse_args(argv)
    if (arguments.checkpoint is None) != (arguments.data is None):
        parser.error("--checkpoint and --data belong together: give both, or none to train the demo's model")
    arguments.sizes = [size for size in arguments.sizes.split(",") if size]
    return arguments


def measure(arguments: argparse.Namespace) -> Row:
    """The results with a row for the words and for each size."""
    results = measured_on.begin(arguments.results)
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    cases: list[tuple[Row, Callable[[], Row]]] = [
        ({"section": "words", "batch": arguments.batch_size, "threads": arguments.threads}, partial(words, arguments))
    ]
    for size in arguments.sizes:
        case = {"section": "encode", "size": size, "tokens": TOKENS, "threads": arguments.threads}
        cases.append((case, partial(encode, size, arguments.seconds)))
    return measure_missing("low_precision", arguments, results, cases)


def encode(size: str, seconds: float) -> Row:
    torch.manual_seed(0)
    model = SSAMBA(getattr(SSAMBAConfig, size)()).eval()
    tokens = torch.randn(1, TOKENS, model.config.embed_dim)

    def call(frozen: FrozenSSAMBA) -> Tensor:
        with torch.inference_mode():
            return frozen.layers(tokens)[0]

    return timed({dtype: partial(call, model.frozen(dtype)) for dtype in DTYPES}, seconds)


def words(arguments: argparse.Namespace) -> Row:
    checkpoint, data = arguments.checkpoint, arguments.data
    if checkpoint is None:
        checkpoint, data = train(arguments.out)
    model, readout = load_classifier(checkpoint)
    batches = read(model.eval(), data, arguments.batch_size)

    def logits(frozen: FrozenSSAMBA) -> Tensor:
        with torch.inference_mode():
            return torch.cat([frozen.classify(x, readout.pooling, frames).float() for x, frames, _ in batches])

    frozen = {dtype: model.frozen(dtype) for dtype in DTYPES}
    labels = torch.cat([labels for *_, labels in batches]).argmax(dim=1)
    return {
        "clips": len(labels),
        "accuracy": compared({dtype: logits(one) for dtype, one in frozen.items()}, labels),
        **timed({dtype: partial(logits, one) for dtype, one in frozen.items()}, arguments.seconds),
    }


def train(out: Path) -> tuple[Path, Path]:
    """A fine-tuned model and clips of voices that it has not heard, as the quick demo makes them."""
    from ssamba.demo.recipe import recipe
    from ssamba.demo.spoken_words import choose_labelled, make_spoken_words
    from ssamba.training import FinetuneSettings, PretrainSettings, finetune, pretrain

    chosen = recipe(quick=True, seed=0)
    sounds = make_spoken_words(out / "words", chosen.sounds)
    labelled, run = out / "labelled.csv", out / "finetune"
    choose_labelled(sounds, chosen.labels_per_word, 0, labelled)
    common = {"validation": sounds.split("valid"), "cache": True, "strict": True, "resume": True}
    learning = {**common, **chosen.model_settings, **chosen.pretrain_settings}
    learnt = pretrain(PretrainSettings(data=sounds.split("train"), out=out / "pretrain", **learning))
    tuning = {**common, **chosen.finetune_settings}
    finetune(FinetuneSettings(data=labelled, out=run, pretrained=learnt.checkpoint, **tuning))
    return run / "checkpoints" / "last", sounds.split("test")


def read(model: SSAMBA, data: Path, batch_size: int) -> Batches:
    config = model.config
    manifest = read_manifest(data, classes=class_names(model))
    dataset = AudioDataset(manifest, config.sample_rate, seconds=seconds_of(config.input_tdim))
    loader = make_loader(dataset, batch_size, shuffle=False, seed=0)
    with torch.inference_mode():
        return [(*model.features(batch["wave"], batch["lengths"]), batch["labels"]) for batch in loader]


def timed(calls: dict[str, Callable[[], Tensor]], seconds: float) -> Row:
    times = in_turn(calls, seconds, least=3)
    return {
        "seconds": {dtype: spread(values) for dtype, values in times.items()},
        "ratio": {dtype: ratio(values, times["float32"]) for dtype, values in times.items()},
    }


def compared(logits: dict[str, Tensor], labels: Tensor) -> dict[str, Row]:
    """Of each dtype: the share of right answers, of float32's answers, and the largest difference of a logit."""
    exact = logits["float32"]
    return {
        dtype: {
            "right": (own.argmax(dim=1) == labels).float().mean().item(),
            "same_answer": (own.argmax(dim=1) == exact.argmax(dim=1)).float().mean().item(),
            "largest_logit_error": (own - exact).abs().max().item(),
        }
        for dtype, own in logits.items()
    }


def tables(results: Row) -> str:
    made_for = results["machine"]["instructions"].items()
    listed = "; ".join(f"for {kind} {', '.join(names).upper() or 'none'}" for kind, names in made_for)
    parts = [
        f"{measured_on.heading(results)}; its instructions for products: {listed}. All dtypes in turn: medians, and of "
        "a ratio, the time over float32's in the same round, the quartiles too."
    ]
    for row in results["rows"]:
        parts.append("\n".join(words_table(row) if row["section"] == "words" else encode_table(row)))
    return "\n\n".join(parts)


def words_table(row: Row) -> list[str]:
    lines = [
        f"{row['clips']} spoken words in batches of {row['batch']}, {row['threads']} threads:",
        "",
        "| dtype | words right | same answer | largest logit error | ms a word | time |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for dtype, accuracy in row["accuracy"].items():
        shares = f"{accuracy['right']:.1%} | {accuracy['same_answer']:.1%} | {accuracy['largest_logit_error']:.2g}"
        each = 1e3 * row["seconds"][dtype]["median"] / row["clips"]
        lines.append(f"| {NAMES.get(dtype, dtype)} | {shares} | {each:.3g} | {in_words(row['ratio'][dtype])} |")
    return lines


def encode_table(row: Row) -> list[str]:
    lines = [
        f"The layers of {row['size']} on one clip of {row['tokens']} tokens, {row['threads']} threads:",
        "",
        "| dtype | ms | time |",
        "|---|--:|--:|",
    ]
    for dtype, seconds in row["seconds"].items():
        lines.append(f"| {NAMES.get(dtype, dtype)} | {1e3 * seconds['median']:.4g} | {in_words(row['ratio'][dtype])} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
