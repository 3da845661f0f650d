"""Learning rate as a pure function of the step, so that nothing about it has to be saved."""

from __future__ import annotations

import math


def warmup_length(total_steps: int, warmup_steps: int | None = None) -> int:
    """Steps of warm-up: as asked, or a tenth of all steps and 1000 at most; always fewer than `total_steps`."""
    wanted = min(1000, total_steps // 10) if warmup_steps is None else warmup_steps
    return max(0, min(wanted, total_steps - 1))


def learning_rate_scale(
    step: int, total_steps: int, warmup: int, schedule: str = "cosine", final: float = 0.0
) -> float:
    """Factor of the highest learning rate at optimiser step `step` (0-based), in (0, 1].

    Warm-up is linear and never zero: (step + 1) / (warmup + 1). Then, with r from 0 to 1 over the remaining steps,
    cosine: final + (1 - final) (1 + cos(pi r)) / 2; linear: 1 - (1 - final) r; constant: 1. The last step has r = 1.
    Raises ValueError for a step outside [0, total_steps) or an unknown schedule.
    """
    if not 0 <= step < total_steps:
        raise ValueError(f"step is {step}, expected 0 to {total_steps - 1}")
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, total_steps - 1 - warmup)
    if schedule == "cosine":
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
    if schedule == "linear":
        return 1 - (1 - final) * progress
    if schedule == "constant":
        return 1.0
    raise ValueError(f"schedule is {schedule!r}, expected cosine, linear or constant")
