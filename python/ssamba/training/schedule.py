"""Learning rate as a function of the step and the epoch; only `Plateau` depends on results and has to be saved."""

from __future__ import annotations

import math
from dataclasses import dataclass


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


def epoch_decay(epoch: int, start: int, every: int, factor: float) -> float:
    """Factor of the learning rate after `epoch` whole passes: factor to the power of the milestones reached.

    Milestones are start, start + every, start + 2 every, …, so the first `start` passes run at the full rate.
    """
    return 1.0 if epoch < start else factor ** (1 + (epoch - start) // every)


@dataclass
class Plateau:
    """Lowers the learning rate when a validation value has stopped improving (torch's ReduceLROnPlateau).

    `scale` is multiplied by a factor at the validation that is one more than `patience` in a row without an
    improvement of the best value by 1e-4 of it.
    """

    scale: float = 1.0
    best: float | None = None
    waited: int = 0  # validations without improvement, since the last one or the last reduction

    def update(self, value: float, lowest: bool, factor: float, patience: int) -> None:
        """Take in a validation value; `lowest` says that small values are good."""
        margin = -1e-4 if lowest else 1e-4
        bound = None if self.best is None else self.best * (1 + margin)
        if bound is None or (value < bound if lowest else value > bound):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited > patience:
            self.scale, self.waited = self.scale * factor, 0
