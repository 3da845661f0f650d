"""Trains the tiny model on a GPU in bfloat16 and in float32, from the same weights on the same clips, and compares.

python benchmarks/gpu_training.py             # 2,000 steps, seeds 0 to 2; writes benchmarks/results/gpu/training.json

Half precision is right if its loss stays finite and its curve differs from float32's no more than seeds differ from
each other. Clips are spectrograms made on the spot, a few gliding tones in noise, so there is something to learn. The
runs are processes of their own, side by side: nothing here is a timing.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from ssamba.config import SSAMBAConfig
from ssamba.model import SSAMBA

DTYPES = ("bfloat16", "float32")
CLIPS, FRAMES, BINS = 4, 1024, 128
WARMUP_STEPS, LEARNING_RATE, MOST_NORM = 50, 5e-4, 1.0
END = 100  # steps whose mean loss is compared


def clips(generator: torch.Generator, device: torch.device, frames: int) -> Tensor:
    """(CLIPS, frames, BINS): three tones that glide, over noise."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    time = torch.linspace(0, 1, frames, device=device)
    begin, glide = uniform(CLIPS, 3, 1) * BINS, (uniform(CLIPS, 3, 1) - 0.5) * BINS
    wobble = 6 * torch.sin(2 * math.pi * (2 + 6 * uniform(CLIPS, 3, 1)) * time)
    pitch = begin + glide * time + wobble  # (CLIPS, 3, frames)
    bins = torch.arange(BINS, device=device)
    tones = torch.exp(-(((bins - pitch.unsqueeze(-1)) / 3) ** 2)).sum(1)
    return 2 * tones + 0.3 * torch.randn(CLIPS, frames, BINS, generator=generator, device=device) - 0.5


def train(dtype: str, seed: int, steps: int, seconds: float, device: torch.device, frames: int) -> list[float]:
    """Losses of all steps, or of those that fit into the time."""
    end = time.monotonic() + seconds
    torch.manual_seed(seed)
    config = SSAMBAConfig.tiny(input_tdim=frames, masked_patches=100 * frames // FRAMES)
    model = SSAMBA(config).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE, betas=(0.95, 0.999), weight_decay=5e-7)
    warm = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / WARMUP_STEPS))
    generator = torch.Generator(device).manual_seed(seed)
    losses = []
    for step in range(steps):
        if time.monotonic() > end:
            break
        x = clips(generator, device, frames)
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = model.pretrain_loss(x, seed=seed * steps + step).loss
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MOST_NORM)
        optimiser.step()
        warm.step()
        losses.append(loss.detach())
    return torch.stack(losses).tolist()


def compare(runs: dict[str, dict[str, list[float]]]) -> dict:
    """runs[dtype][seed] → the mean loss at the end of each, after as many steps as all have, and whether bfloat16 is as
    float32."""
    steps = min(len(losses) for of in runs.values() for losses in of.values())
    last = slice(max(0, steps - END), steps)
    ends = {dtype: {seed: statistics.fmean(losses[last]) for seed, losses in of.items()} for dtype, of in runs.items()}
    finite = all(math.isfinite(x) for of in runs.values() for losses in of.values() for x in losses)
    exact = list(ends["float32"].values())
    spread = max(exact) - min(exact)
    apart = {seed: ends["bfloat16"][seed] - ends["float32"][seed] for seed in ends["float32"]}
    return {
        "steps": steps,
        "finite": finite,
        "mean_loss_at_the_end": ends,
        "spread_of_float32_over_seeds": spread,
        "bfloat16_less_float32_by_seed": apart,
        "as_float32": finite and all(abs(x) <= spread for x in apart.values()),
    }


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--seconds", type=float, default=math.inf, help="after which no step is begun")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--frames", type=int, default=FRAMES, help="of a clip")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "gpu" / "training.json")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # dtype,seed: what this program starts for itself
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    if arguments.one:
        dtype, seed = arguments.one.split(",")
        losses = train(
            dtype, int(seed), arguments.steps, arguments.seconds, torch.device(arguments.device), arguments.frames
        )
        print(json.dumps(losses))
        return 0
    seeds = arguments.seeds.split(",")
    options = [
        "--steps",
        str(arguments.steps),
        "--seconds",
        str(arguments.seconds),
        "--device",
        arguments.device,
        "--frames",
        str(arguments.frames),
    ]
    started = {
        (dtype, seed): subprocess.Popen(
            [sys.executable, __file__, *options, "--one", f"{dtype},{seed}"], stdout=subprocess.PIPE, text=True
        )
        for dtype in DTYPES
        for seed in seeds
    }
    texts = {key: process.communicate()[0] for key, process in started.items()}
    if failed := [key for key, process in started.items() if process.returncode]:
        print(f"gpu_training: these runs failed: {failed}", file=sys.stderr)
        return 1
    runs: dict = {dtype: {seed: json.loads(texts[dtype, seed]) for seed in seeds} for dtype in DTYPES}
    found = compare(runs)
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else arguments.device
    sampled = {
        dtype: {seed: losses[:: max(1, arguments.steps // 40)] for seed, losses in of.items()}
        for dtype, of in runs.items()
    }
    result = {"device": device, **found, "losses": sampled}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0 if found["finite"] else 1


if __name__ == "__main__":
    sys.exit(main())
