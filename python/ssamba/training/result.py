"""What a finished run hands back, and what it says at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..audio.names import printable
from .checkpoints import resolve_checkpoint
from .data_summary import say_found
from .loop import TrainingLoop
from .progress import say
from .start import Data


@dataclass
class RunResult:
    """How a run ended: `status` is "finished", "stopped early" or "already finished".

    `checkpoint` is the best checkpoint by validation (the last one if nothing was held out), `best` its validation
    values, `best_step` its step; `skipped` are the (path, reason) of files left out.
    """

    directory: Path
    checkpoint: Path
    status: str
    step: int
    best_step: int
    best: dict[str, float]
    skipped: list[tuple[str, str]]


def report_skipped(skipped: Sequence[tuple[str, str]], shown: int = 20) -> None:
    """Name and count on stderr the files that were left out."""
    for path, reason in skipped[:shown]:
        say(f"skipped {printable(path)}: {reason}")
    if len(skipped) > shown:
        say(f"... and {len(skipped) - shown} more")
    count_skipped(skipped)


def count_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    """Count on stderr the files that were left out, which a data set has named as it met them."""
    if skipped:
        say("1 file was skipped" if len(skipped) == 1 else f"{len(skipped)} files were skipped")


def run_to_end(loop: TrainingLoop, resume: bool, data: Data) -> RunResult:
    """Run the loop; say what it learns from, how it ended, and how many files were left out (also after an error)."""
    say_found("training on", data.train, data.validation, quiet=loop.settings.quiet)
    try:
        status = loop.run(resume)
    finally:
        if loop.accelerator.is_main_process:
            count_skipped(data.skipped)
    position, directory = loop.position, loop.directory
    result = RunResult(
        directory=directory.path,
        checkpoint=resolve_checkpoint(directory.path),
        status=status,
        step=position.step,
        best_step=position.best_step,
        best=dict(position.best),
        skipped=data.skipped,
    )
    if loop.accelerator.is_main_process and not loop.settings.quiet:
        best = ", ".join(f"{name} {value:.4f}" for name, value in result.best.items())
        best = (
            f"best at step {result.best_step}: {best}"
            if best
            else "nothing was held out, so the last checkpoint stands"
        )
        say(f"{status} at step {result.step}; {best}")
        say(str(result.checkpoint))
    return result
