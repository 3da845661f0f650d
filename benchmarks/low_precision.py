"""Accuracy beside speed of a fine-tuned model in float32, bfloat16 and int8 on the CPU.

python benchmarks/low_precision.py --checkpoint runs/demo/seed-0/finetune --data runs/demo/words/test
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor

import ssamba
from ssamba.data import AudioDataset, make_loader, read_manifest
from ssamba.training.loading import class_names, load_classifier

ROUNDS = 5


def variants(model: ssamba.SSAMBA) -> dict[str, ssamba.FrozenSSAMBA]:
    return {
        "float32": model.frozen(),
        "bfloat16": model.frozen(torch.bfloat16),
        "int8 dynamic": model.frozen("int8"),
        "int8 weights only": model.frozen("int8_weight_only"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, readout = load_classifier(arguments.checkpoint)
    config = model.eval().config
    manifest = read_manifest(arguments.data, classes=class_names(model))
    dataset = AudioDataset(manifest, config.sample_rate, seconds=config.input_tdim / 100 + 0.015)
    loader = make_loader(dataset, arguments.batch_size, shuffle=False, seed=0)
    with torch.inference_mode():
        batches = [(model.features(batch["wave"], batch["lengths"]), batch["labels"]) for batch in loader]
        report({name: scored(other, readout.pooling, batches) for name, other in variants(model).items()})


def scored(model: ssamba.FrozenSSAMBA, pooling: str, batches: list) -> tuple[float, Tensor, Tensor]:
    """(median seconds of a pass, logits, right or wrong) over all clips."""
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        logits = torch.cat([model.classify(x, pooling, frames).float() for (x, frames), _ in batches])
        seconds.append(time.perf_counter() - begin)
    wanted = torch.cat([labels for _, labels in batches]).argmax(dim=1)
    return statistics.median(seconds), logits, logits.argmax(dim=1) == wanted


def report(results: dict[str, tuple[float, Tensor, Tensor]]) -> None:
    seconds, exact, _ = results["float32"]
    print("| numbers | accuracy | same answer | largest logit error | time |\n|---|--:|--:|--:|--:|")
    for name, (own, logits, right) in results.items():
        same = (logits.argmax(dim=1) == exact.argmax(dim=1)).float().mean()
        error = (logits - exact).abs().max()
        print(f"| {name} | {right.float().mean():.4f} | {same:.4f} | {error:.3g} | {own / seconds:.2f} × |")


if __name__ == "__main__":
    main()
