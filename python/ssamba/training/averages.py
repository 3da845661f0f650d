"""Averages between two lines of the log: losses, throughput, and the share of time spent waiting for data."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class StepAverages:
    """Collects steps; `flush` gives their means and starts again. `sums` and `steps` belong in a checkpoint."""

    sums: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    clips: int = 0
    busy: float = 0.0  # seconds in steps
    waiting: float = 0.0  # seconds until a batch came

    def add(self, values: dict[str, float], clips: int, busy: float) -> None:
        self.steps += 1
        self.clips += clips
        self.busy += busy
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    @property
    def clips_per_second(self) -> float:
        return self.clips / max(self.busy + self.waiting, 1e-9)

    def flush(self) -> dict[str, float]:
        means = {name: total / self.steps for name, total in self.sums.items()}
        rates = {
            "clips_per_second": self.clips_per_second,
            "data_wait": self.waiting / max(self.busy + self.waiting, 1e-9),  # part of the time, 0 to 1
        }
        self.__init__()
        return {**means, **rates}
