"""What csrc/cuda/scan_blocks.h expects of the scans, beside what benchmarks/gpu.py has measured.

python benchmarks/gpu_predictions.py benchmarks/results/gpu/ops.json     # a table to read

The header's clocks choose between blocks, so they need to be right relative to each other. Where a prediction is off by
half, a kernel has changed since they were measured, or a card is unlike an H100.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path

HEADER = Path(__file__).parents[1] / "csrc" / "cuda" / "scan_blocks.h"
TILE_TOKENS, DIRECTIONS, WARP, SCHEDULERS = 16, 2, 32, 4
CLOCKS_A_NANOSECOND = 1.98  # of an H100 under load


@dataclass(frozen=True)
class Block:
    lanes: int
    threads: int
    latency: int
    issue: int
    resident: int

    def clocks(self, clips: int, channels: int, multiprocessors: int) -> float:
        """For a tile of every block."""
        blocks = clips * math.ceil(channels / (self.threads // self.lanes))
        warps = math.ceil(math.ceil(blocks / multiprocessors) * DIRECTIONS * self.threads / (WARP * SCHEDULERS))
        rounds = max(1.0, warps / self.resident)
        return rounds * (self.latency + min(warps, self.resident) * self.issue)


def blocks(direction: str, header: str | None = None) -> list[Block]:
    """The candidates of kForwardBlocks or kBackwardBlocks."""
    line = re.search(rf"k{direction}Blocks\[\] = \{{(.*)\}};", header or HEADER.read_text())
    if line is None:
        raise ValueError(f"{HEADER} has no line with k{direction}Blocks; this program reads its numbers there")
    return [Block(*map(int, numbers.split(","))) for numbers in re.findall(r"\{([\d, ]+)\}", line[1])]


def choose(candidates: list[Block], clips: int, channels: int, multiprocessors: int) -> Block:
    best = candidates[0]
    for block in candidates[1:]:
        sizes = (clips, channels, multiprocessors)
        if 10 * block.clocks(*sizes) < 9 * best.clocks(*sizes):
            best = block
    return best


def predicted_ms(direction: str, shape: dict[str, int], multiprocessors: int) -> float:
    block = choose(blocks(direction), shape["B"], shape["D"], multiprocessors)
    tiles = math.ceil(shape["L"] / TILE_TOKENS)
    return tiles * block.clocks(shape["B"], shape["D"], multiprocessors) / CLOCKS_A_NANOSECOND / 1e6


def table(run: dict) -> str:
    multiprocessors = run["machine"]["multiprocessors"] or 132
    lines = ["| what | predicted ms | measured ms | measured / predicted |", "|---|--:|--:|--:|"]
    for row in run["rows"]:
        if row["provider"] != "ssamba" or not row["group"].startswith("bi_scan"):
            continue
        predicted = predicted_ms("Forward", row["shape"], multiprocessors)
        if "backward" in row["group"]:
            predicted += predicted_ms("Backward", row["shape"], multiprocessors)
        measured = row["median_ms"]
        lines.append(f"| {row['group']} | {predicted:.3g} | {measured:.3g} | {measured / predicted:.2f} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="JSON of benchmarks/gpu.py")
    print(table(json.loads(parser.parse_args(argv).run.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
