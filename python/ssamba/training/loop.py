"""The training loop that pretraining and fine-tuning share."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, skip_first_batches
from accelerate.utils import gather_object
from torch import Tensor, nn

from ..data.workers import WorkerError, naming_worker_faults
from .agreement import agreed
from .averages import StepAverages
from .checkpoints import load_training_state, replace_directory, save_training_state
from .interrupt import Interrupted, SignalWatch, StopWaiting
from .metrics_log import MetricsLog
from .nonfinite import NonFiniteError, first_nonfinite_module, last_nonfinite_gradient
from .position import Position
from .progress import ProgressDisplay
from .run_directory import RunDirectory
from .schedule import epoch_decay, learning_rate_scale, warmup_length
from .seeding import seed_everything
from .settings import TrainingSettings
from .weight_average import WeightAverage

MOST_OVERFLOWS = 25  # fp16 steps skipped in a row before the run counts as diverged
Batch = dict[str, Tensor]


@dataclass
class Task:
    """What a verb hands to the loop.

    `module(batch) -> {"loss": 0-dim, ...}` is trained; `save(path)` writes the model inside it to a directory.
    `validate() -> {name: value}` changes nothing, so that a signal may end it anywhere; the checkpoint with the best
    `select` value is kept (lowest "loss", highest anything else). `describe(batch)` names the clips of a batch.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    loader: Any
    save: Callable[[Path], None]
    describe: Callable[[Batch], str]
    validate: Callable[[], dict[str, float]] | None
    select: str = "loss"
    average: tuple[int, int] | None = None  # first and last epoch, counted from 1, whose weights are averaged


class TrainingLoop:
    """Runs a task to its end, a signal, or an error; `position` says how far it has come."""

    def __init__(self, accelerator: Accelerator, settings: TrainingSettings, task: Task, directory: RunDirectory):
        self.accelerator, self.settings, self.task, self.directory = accelerator, settings, task, directory
        self.module, self.optimizer, self.loader = accelerator.prepare(task.module, task.optimizer, task.loader)
        self.steps_per_epoch = math.ceil(len(self.loader) / settings.accumulate)
        self.total_steps = settings.max_steps or settings.epochs * self.steps_per_epoch
        self.warmup = warmup_length(self.total_steps, settings.warmup_steps)
        self.position = Position()
        self.averages = StepAverages()
        self.overflows = 0
        self.weight_average = WeightAverage()
        self.saved_step: int | None = None  # of checkpoints/last

    def run(self, resume: bool) -> str:
        """Train to the end: "finished", "stopped early" or "already finished".

        Raises Interrupted after a signal (all is saved), NonFiniteError when a loss or gradient is not finite, OSError
        when a file of the run cannot be written, WorkerError when the processes that read cannot go on; these two say
        what is saved.
        """
        if resume:
            self._load()
        if self.position.finished:
            return "already finished"
        main = self.accelerator.is_main_process
        self.log = None
        self.display = ProgressDisplay(self.total_steps, self.position.step, self.settings.quiet or not main)
        try:
            if main:
                self.log = MetricsLog(self.directory.metrics, self.directory.tensorboard, self.position.step)
            with SignalWatch() as self.watch, naming_worker_faults(self.task.loader):
                return self._train()
        except WorkerError as error:
            raise WorkerError(f"{error}; {self._way_on()}") from error
        except OSError as error:
            if error.filename is None or not Path(error.filename).is_relative_to(self.directory.path):
                raise
            raise OSError(error.errno, f"{error.strerror}; {self._way_on()}", error.filename) from error
        finally:
            self.display.close()
            if self.log:
                self.log.close()

    def _way_on(self) -> str:
        """What is saved of a run that cannot go on as it is, and how it goes on."""
        if self.saved_step is None:
            return "nothing of the run is saved yet; when that is mended, start it again"
        return (
            f"the last good checkpoint is of step {self.saved_step}; when that is mended, continue with "
            f"--out {self.directory.path} --resume"
        )

    def _train(self) -> str:
        position, step_batches, received = self.position, self._step_batches(), 0
        while True:
            received = received or self._validate_if_due()
            worn_out = self.settings.patience is not None and position.without_improvement >= self.settings.patience
            position.finished = not received and (position.step >= self.total_steps or worn_out)
            if position.finished and self.weight_average.count:
                received = self._validate_average()
                position.finished = not received
            if received or position.finished or position.step % self.settings.save_every == 0:
                self._save(self.directory.last, with_state=True)
            if position.finished:
                return "finished" if position.step >= self.total_steps else "stopped early"
            if received:
                name = signal.Signals(received).name
                raise Interrupted(
                    f"{name}: stopped after step {position.step} of {self.total_steps}, all of it saved in "
                    f"{self.directory.path}; continue with --out {self.directory.path} --resume",
                    received,
                )
            batches = self._next(step_batches)
            if batches is None:
                received = self.watch.received
                continue
            received = self._step(batches)
            if position.step % self.settings.log_every == 0 or position.step == self.total_steps:
                self._write_log("train", self.averages.flush())

    def _next(self, step_batches: Iterator[list[Batch]]) -> list[Batch] | None:
        """The batches of the next step; None if a signal came while they were waited for.

        Several processes stop together, so that one of them waits for its batches to the end.
        """
        alone = self.accelerator.num_processes == 1
        try:
            with self.watch.at_once(alone), naming_worker_faults(self.task.loader):
                return next(step_batches)
        except StopWaiting:
            return None
        except WorkerError:
            if alone:  # a step that is done need not be done again
                self._save(self.directory.last, with_state=True)
            raise

    def _step_batches(self) -> Iterator[list[Batch]]:
        """The batches of each optimiser step, from the current position on, without end."""
        while True:
            done = self.position.batch
            self.task.loader.sampler.set_epoch(self.position.epoch)
            self.loader.set_epoch(self.position.epoch)
            batches = iter(skip_first_batches(self.loader, done) if done else self.loader)
            while done < len(self.loader):
                group, started = [], time.perf_counter()
                while len(group) < self.settings.accumulate and done < len(self.loader):
                    group.append(next(batches))
                    done += 1
                self.averages.waiting += time.perf_counter() - started
                yield group

    def _step(self, batches: list[Batch]) -> int:
        """One optimiser step; returns the number of the signal that came meanwhile, 0 for none."""
        started, settings = time.perf_counter(), self.settings
        scale = self._learning_rate_scale()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * scale
        self.module.train()
        outputs = []
        for micro, batch in enumerate(batches):
            last = micro == len(batches) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.module):
                outputs.append(self._forward(micro, batch))
                self.accelerator.backward(outputs[-1]["loss"] / len(batches))
        norm = float(self.accelerator.clip_grad_norm_(self.module.parameters(), settings.clip_norm or math.inf))
        values, received = self._averaged(outputs)
        self._check_finite(values["loss"], norm, batches)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._advance(len(batches))
        clips = sum(len(batch["index"]) for batch in batches) * self.accelerator.num_processes
        values |= {
            "grad_norm": norm if math.isfinite(norm) else 0.0,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        self.averages.add(values, clips, time.perf_counter() - started)
        self.display.step(self._epoch_text(), values["loss"], self.averages.clips_per_second)
        return received

    def _learning_rate_scale(self) -> float:
        settings, position = self.settings, self.position
        by_step = settings.schedule if settings.schedule in ("cosine", "linear") else "constant"
        scale = learning_rate_scale(position.step, self.total_steps, self.warmup, by_step, settings.final_learning_rate)
        if settings.schedule == "epochs":
            scale *= epoch_decay(position.epoch, settings.decay_start, settings.decay_every, settings.decay_factor)
        return scale * position.plateau.scale

    def _forward(self, micro: int, batch: Batch) -> dict[str, Tensor]:
        """Losses of one batch; all randomness in it follows from the step, so that it can be repeated."""
        process = self.accelerator.process_index
        seed_everything(self.settings.seed, "step", self.position.step, micro, process)
        return self.module(batch)

    def _averaged(self, outputs: list[dict[str, Tensor]]) -> tuple[dict[str, float], int]:
        """Means over batches and processes, and a signal if any process got one."""
        means = [torch.stack([output[name].detach().float() for output in outputs]).mean() for name in outputs[0]]
        received = torch.tensor(float(self.watch.received), device=means[0].device)
        *means, received = self.accelerator.reduce(torch.stack([*means, received]), "mean").tolist()
        return dict(zip(outputs[0], means, strict=True)), (self.watch.received or signal.SIGTERM) if received else 0

    def _advance(self, batches: int) -> None:
        position = self.position
        position.step += 1
        position.batch += batches
        if position.batch >= len(self.loader):
            position.epoch, position.batch = position.epoch + 1, 0
            if self.task.average and self.task.average[0] <= position.epoch <= self.task.average[1]:
                self.weight_average.add(self.task.module)

    def _check_finite(self, loss: float, norm: float, batches: list[Batch]) -> None:
        """Stop before a step that would spoil the weights; with fp16 a gradient may overflow, the scaler skips it."""
        scaled = self.accelerator.scaler is not None
        self.overflows = self.overflows + 1 if scaled and not math.isfinite(norm) else 0
        if math.isfinite(loss) and (math.isfinite(norm) or (scaled and self.overflows < MOST_OVERFLOWS)):
            return
        reports = []
        for micro, batch in enumerate(batches):
            found = first_nonfinite_module(self.module, lambda m=micro, b=batch: self._forward(m, b))
            if found:
                reports.append(f"first at {found}, clips {self.task.describe(batch)}")
        gradient = last_nonfinite_gradient(self.module)
        if not reports and gradient:
            reports.append(f"in the backward pass, first at the gradient of {gradient}")
        reports = gather_object(reports) or ["the same batch computed again is finite"]
        saved = f"the last good checkpoint is {self.directory.last}"
        what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient norm is {norm} (loss {loss:.4g})"
        text = reports[0].replace("module.", "")
        raise NonFiniteError(
            f"{what} at step {self.position.step + 1}: {text}; {saved}; try a lower learning_rate or precision no"
        )

    def _validate_if_due(self) -> int:
        """Validate at the end of an epoch (or every `validate_every` steps); returns the signal that cut it short."""
        position, every = self.position, self.settings.validate_every
        due = position.step % every == 0 if every else position.batch == 0
        due = (due or position.step >= self.total_steps) and position.validated != position.step
        return self._validate("validation") if due and self.task.validate is not None else 0

    def _validate_average(self) -> int:
        """Write the average of the weights; where there is validation, it competes for the best checkpoint."""
        with self.weight_average.applied_to(self.task.module):
            received = self._validate("average") if self.task.validate is not None else 0
            if not received:
                self._save(self.directory.average)
        return received

    def _validate(self, split: str) -> int:
        """Validate the weights as they are, and keep them if they are the best yet."""
        position = self.position
        self.module.eval()
        try:
            with self.watch.at_once(self.accelerator.num_processes == 1):
                values = self.task.validate()
        except StopWaiting:
            return self.watch.received
        position.validated = position.step
        if self.task.select not in values:
            raise ValueError(f"validation clips of one class only give no {self.task.select}; select another value")
        if not math.isfinite(values[self.task.select]):
            raise NonFiniteError(f"validation {self.task.select} is not finite after step {position.step}")
        better = not position.best or self._merit(values) > self._merit(position.best)
        position.without_improvement = 0 if better else position.without_improvement + 1
        if self.settings.schedule == "plateau":
            self.position.plateau.update(
                values[self.task.select],
                self.task.select == "loss",
                self.settings.decay_factor,
                self.settings.plateau_patience,
            )
        self._write_log(split, values)
        text = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        self.display.message(f"{self._epoch_text()}: {split} {text}{' (best)' if better else ''}")
        if better:
            position.best, position.best_step = values, position.step
            self._save(self.directory.best)
        return 0

    def _merit(self, values: dict[str, float]) -> tuple[float, float]:
        """What the best checkpoint has most of: the selected value, and at equal values the lower loss."""
        return (-values["loss"] if self.task.select == "loss" else values[self.task.select], -values["loss"])

    def _epoch_text(self) -> str:
        epochs = math.ceil(self.total_steps / self.steps_per_epoch)
        return f"epoch {min(self.position.epoch + (self.position.batch > 0), epochs)}/{epochs}"

    def _write_log(self, split: str, values: dict[str, float]) -> None:
        if self.log:
            self.log.write(self.position.step, split, {"epoch": self.position.epoch, **values})

    # checkpoints

    def _save(self, target: Path, with_state: bool = False) -> None:
        def write(path: Path) -> None:
            self.task.save(path)
            if with_state:
                save_training_state(path, self._state())

        agreed(self.accelerator, lambda: replace_directory(target, write))
        if with_state:
            self.saved_step = self.position.step

    def _state(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {
            "position": dataclasses.asdict(self.position),
            "averages": {"sums": dict(self.averages.sums), "steps": self.averages.steps},
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
            "weight_average": self.weight_average.state_dict(),
        }

    def _load(self) -> None:
        state = load_training_state(self.directory.last)
        self.position = Position(**state["position"])
        self.saved_step = self.position.step
        self.averages = StepAverages(**state["averages"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.weight_average.load_state_dict(state["weight_average"])
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
