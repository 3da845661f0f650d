"""Self-supervised pretraining from unlabelled clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor, nn

from ..config import SSAMBAConfig
from ..model import SSAMBA
from .agreement import agreed
from .clip_names import describe_clips
from .loop import Task, TrainingLoop
from .network_input import network_input
from .optimizer import make_optimizer, parameter_groups
from .progress import progress_bar
from .result import RunResult, run_to_end
from .run_directory import RunDirectory
from .seeding import seed_everything
from .settings import PretrainSettings
from .start import (
    Data,
    input_frames,
    make_accelerator,
    make_data,
    measured,
    open_run,
    size_overrides,
    training_and_validation,
    validation_loader,
)

MASKED_SHARE = 400 / 512  # of the published model
MASKING_FIELDS = (
    *("objective", "infonce", "generative_weight", "masking", "features"),
    *("min_cluster", "max_cluster", "mean", "std"),
)


class PretrainStep(nn.Module):
    """A batch to its pretraining losses; all batches are `input_tdim` frames long, so masks are alike."""

    def __init__(self, model: SSAMBA):
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        x, frames = network_input(self.model, batch)
        x = F.pad(x, (0, 0, 0, self.model.config.input_tdim - x.shape[1]))
        output = self.model.pretrain_loss(x, frames)
        losses = {name: getattr(output, name) for name in ("loss", "discriminative", "generative", "accuracy")}
        return {name: value for name, value in losses.items() if value is not None}


def pretrain(settings: PretrainSettings) -> RunResult:
    """Pretrain a model on the clips in `settings.data`, labels unread, and leave a run directory in `settings.out`.

    The best checkpoint is the one with the lowest loss (or the highest accuracy, see `select`) on held-out clips, whose
    masks are the same every time. On the CPU, a run that was interrupted and resumed reaches bitwise the weights of one
    that was not.

    Raises ValueError for settings, data or a run directory that cannot be used or is in use, `Interrupted` after
    SIGINT, SIGTERM or SIGHUP (the run is saved), and what `TrainingLoop.run` raises.
    """
    directory = RunDirectory(settings.out)
    accelerator = make_accelerator(settings.precision, settings.device)
    with open_run(directory.path, accelerator, lambda: directory.check_startable("pretrain", settings)) as resuming:
        config = pretrain_config(settings)
        data = make_data(settings, *training_and_validation(settings, labels=False), config)
        facts = data.facts(settings, accelerator)
        if resuming:
            agreed(accelerator, lambda: directory.go_on(settings, facts))
            model = SSAMBA.from_pretrained(directory.last)
        else:
            config = dataclasses.replace(config, **measured(settings, data))
            seed_everything(settings.seed, "weights")
            model = SSAMBA(config)
            agreed(
                accelerator,
                lambda: directory.write_config("pretrain", settings, facts, model=config.to_dict()),
            )
        unused = {"discriminative": model.gpredlayer, "generative": model.cpredlayer}.get(settings.objective)
        if unused is not None:
            unused.requires_grad_(False)
        model.gradient_checkpointing_enable(settings.gradient_checkpointing)
        task = make_task(settings, model, data, accelerator)
        return run_to_end(TrainingLoop(accelerator, settings, task, directory), resuming, data)


def pretrain_config(settings: PretrainSettings) -> SSAMBAConfig:
    """The model's configuration; without `masked_patches` the published share of the grid is masked."""
    overrides = size_overrides(settings)
    overrides |= {k: getattr(settings, k) for k in MASKING_FIELDS if getattr(settings, k) is not None}
    if settings.select == "accuracy" and settings.objective == "generative":
        raise ValueError("select accuracy needs the discriminative objective; select loss, or change objective")
    config = getattr(SSAMBAConfig, settings.size or "tiny")(input_tdim=input_frames(settings, 1024), **overrides)
    masked = settings.masked_patches
    if masked is None:
        rows, columns = config.grid
        unit = rows if config.masking == "frame" else 1  # whole columns
        units = rows * columns // unit
        masked = min(max(1, round(MASKED_SHARE * units)), units - 1) * unit
    if not 0 < masked < config.num_patches:
        raise ValueError(
            f"masked_patches is {masked}, but {config.input_tdim} frames make only {config.num_patches} patches, some "
            "of which must stay visible; lower masked_patches or raise input_tdim"
        )
    return dataclasses.replace(config, masked_patches=masked)


def make_task(settings: PretrainSettings, model: SSAMBA, data: Data, accelerator: Accelerator) -> Task:
    step = PretrainStep(model)
    groups = parameter_groups(model, settings.learning_rate, settings.weight_decay, decay_all=settings.decay_all)
    return Task(
        module=step,
        optimizer=make_optimizer(groups, settings.beta1, settings.beta2, settings.optimizer),
        loader=data.loader,
        save=model.save_pretrained,
        describe=lambda batch: describe_clips(data.train, batch),
        validate=data.validation and validator(settings, step, data, accelerator),
        select=settings.select,
    )


def validator(settings: PretrainSettings, step: PretrainStep, data: Data, accelerator: Accelerator) -> Callable:
    """validate() → mean losses over the held-out clips, masked the same way every time."""
    loader = validation_loader(data.validation, settings, accelerator)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        totals: dict[str, float] = {}
        clips = 0
        for number, batch in enumerate(progress_bar(loader, "validation", settings.quiet)):
            seed_everything(settings.seed, "validation", number, accelerator.process_index)
            with accelerator.autocast():
                losses = step(send_to_device(batch, accelerator.device))
            size = len(batch["index"])
            clips += size
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + float(value) * size
        summed = accelerator.reduce(torch.tensor([*totals.values(), clips], device=accelerator.device), "sum").tolist()
        return {name: total / summed[-1] for name, total in zip(totals, summed[:-1], strict=True)}

    return validate
