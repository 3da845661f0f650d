"""How far a run has come."""

from __future__ import annotations

from dataclasses import dataclass, field

from .schedule import Plateau


@dataclass
class Position:
    """How far a run has come: everything a resumed run needs beside weights and optimiser state."""

    step: int = 0  # optimiser steps done
    epoch: int = 0  # whole passes done
    batch: int = 0  # batches used of the current pass, by each process
    validated: int = 0  # step of the last validation
    best_step: int = 0
    best: dict[str, float] = field(default_factory=dict)  # validation values at best_step
    without_improvement: int = 0  # validations since
    finished: bool = False
    plateau: Plateau = field(default_factory=Plateau)

    def __post_init__(self) -> None:
        if isinstance(self.plateau, dict):  # read from a checkpoint
            self.plateau = Plateau(**self.plateau)
