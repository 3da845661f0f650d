"""Metrics of a run as JSON lines and TensorBoard curves, continued without gaps or doubles after a resume."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from ..checkpoints.disk import refused
from ..checkpoints.folder import save_atomically


class MetricsLog:
    """Appends records {"step", "split", name: value} to metrics.jsonl, at once and line by line, and to TensorBoard.

    Raises OSError naming the file that cannot be written.
    """

    def __init__(self, jsonl: Path, tensorboard: Path, step: int):
        """Open both for writing; records of steps after `step` (from a run that was killed) are dropped."""
        self._jsonl, self._tensorboard = jsonl, tensorboard
        _drop_after(jsonl, step)
        self._file = jsonl.open("ab", buffering=0)  # or what a full disk refused would be tried again on closing
        with _named(tensorboard):
            self._writer = SummaryWriter(str(tensorboard), purge_step=step + 1 if step else None)

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Write one record; an infinite or undefined value is null in JSON and left out of TensorBoard."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        record = {"step": step, "split": split, **{name: finite.get(name) for name in values}}
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        with _named(self._jsonl):
            while line:
                line = line[self._file.write(line) :]
        with _named(self._tensorboard):
            for name, value in finite.items():
                self._writer.add_scalar(f"{split}/{name}", value, step)
            self._writer.flush()

    def close(self) -> None:
        self._file.close()
        with contextlib.suppress(OSError):  # which `write` has raised
            self._writer.close()


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise refused(error, path) from error


def _drop_after(jsonl: Path, step: int) -> None:
    if not jsonl.exists():
        return
    lines = jsonl.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    if len(kept) != len(lines):
        save_atomically(jsonl, lambda partial: Path(partial).write_text("".join(kept), encoding="utf-8"))
