"""Supervised training of a classifier, from a pretrained model or from scratch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..config import SSAMBAConfig
from ..data.augment import add_noise, mixup, roll, spec_augment
from ..data.manifest import Manifest
from ..model import SSAMBA
from .agreement import agreed
from .clip_names import describe_clips
from .loading import Readout, load_classifier, load_config, load_model, save_classifier
from .loop import Task, TrainingLoop
from .metrics import classification_metrics
from .network_input import network_input
from .optimizer import make_optimizer, parameter_groups
from .result import RunResult, run_to_end
from .run_directory import RunDirectory
from .scoring import classification_loss, labelled_seconds, score_clips
from .seeding import seed_everything
from .settings import FinetuneSettings
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

CHANGEABLE = ("drop_path", "fstride", "tstride")  # of a pretrained model


class ClassificationStep(nn.Module):
    """A batch to its classification loss, augmented in training mode."""

    def __init__(self, model: SSAMBA, settings: FinetuneSettings, loss: str):
        super().__init__()
        self.model, self.settings, self.loss = model, settings, loss

    def train(self, mode: bool = True) -> ClassificationStep:
        super().train(mode)
        if self.settings.freeze_encoder:
            self.model.eval()  # no stochastic depth in an encoder that does not learn
        return self

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        settings, labels = self.settings, batch["labels"]
        if self.training and settings.mixup > 0:
            wave, labels = mixup(batch["wave"], labels, settings.mixup, lengths=batch["lengths"])
            batch = {**batch, "wave": wave}
        x, frames = network_input(self.model, batch)
        if self.training and (settings.freq_mask or settings.time_mask):
            x = spec_augment(x, settings.freq_mask, settings.time_mask, lengths=frames)
        if self.training and settings.noise:
            x = roll(add_noise(x, lengths=frames), lengths=frames)
        logits = self.model.classify(x, settings.pooling, frames)
        if settings.pooling == "segments":
            logits, labels = labelled_seconds(logits, labels)
        hits = labels.gather(1, logits.argmax(dim=1, keepdim=True)) > 0
        return {"loss": classification_loss(logits, labels, self.loss), "accuracy": hits.float().mean()}


def finetune(settings: FinetuneSettings) -> RunResult:
    """Train a classifier on the labelled clips in `settings.data` and leave a run directory in `settings.out`.

    The best checkpoint is chosen on held-out clips. Resuming is as exact as in `pretrain`.

    Raises as `pretrain` does.
    """
    directory = RunDirectory(settings.out)
    accelerator = make_accelerator(settings.precision, settings.device)
    with open_run(directory.path, accelerator, lambda: directory.check_startable("finetune", settings)) as resuming:
        train, validation = training_and_validation(settings)
        loss = loss_for(settings, train, validation)
        config = load_config(directory.last) if resuming else classifier_config(settings, train.classes)
        by_second = settings.pooling == "segments"
        data = make_data(settings, train, validation, config, settings.balance, per_second=by_second)
        facts = {**data.facts(settings, accelerator), "classes": list(train.classes)}
        if resuming:
            agreed(accelerator, lambda: directory.go_on(settings, facts))
            model, _ = load_classifier(directory.last)
        else:
            model = new_classifier(settings, config, data)
            about = {"model": model.config.to_dict(), "loss": loss}
            agreed(accelerator, lambda: directory.write_config("finetune", settings, facts, **about))
        for part in (model.cpredlayer, model.gpredlayer, model.mask_embed):
            part.requires_grad_(False)  # of pretraining only
        if settings.freeze_encoder:
            model.requires_grad_(False)
            model.head.requires_grad_(True)
        model.gradient_checkpointing_enable(settings.gradient_checkpointing)
        task = make_task(settings, model, data, accelerator, loss)
        return run_to_end(TrainingLoop(accelerator, settings, task, directory), resuming, data)


def loss_for(settings: FinetuneSettings, train: Manifest, validation: Manifest | None) -> str:
    """ "ce" or "bce": as set, or by whether every clip has one label; raises ValueError if that cannot work."""
    if not train.classes:
        raise ValueError(
            f"{settings.data} has no labels; fine-tuning needs a folder of class folders, or a manifest with labels"
        )
    present = [name for name, count in train.counts().items() if count]
    if len(present) == 1:
        raise ValueError(
            f"{settings.data} has clips of one class only, {present[0]}, and so nothing to tell apart; give a folder "
            "with a folder for each class, or a manifest with several classes"
        )
    if settings.pooling == "segments":
        return settings.loss or "ce"  # a second has one label
    several = [c for c in [*train.clips, *(validation.clips if validation else [])] if len(c.labels) != 1]
    if several and settings.loss == "ce":
        raise ValueError(
            f"loss ce needs one label a clip, but {several[0].path} has {len(several[0].labels)}; use loss bce"
        )
    return settings.loss or ("bce" if several else "ce")


def classifier_config(settings: FinetuneSettings, classes: tuple[str, ...]) -> SSAMBAConfig:
    """The configuration to train: the pretrained model's with the changes it allows, or a new one."""
    overrides = size_overrides(settings)
    overrides |= {name: getattr(settings, name) for name in ("mean", "std") if getattr(settings, name) is not None}
    if settings.pretrained is None:
        return getattr(SSAMBAConfig, settings.size or "tiny")(
            input_tdim=input_frames(settings, 1024), classes=classes, **overrides
        )
    if settings.size is not None:
        raise ValueError("size has no meaning beside pretrained, which has its own; leave one of the two out")
    stored = load_config(settings.pretrained)
    fixed = [k for k in overrides if k not in (*CHANGEABLE, "mean", "std") and overrides[k] != getattr(stored, k)]
    if fixed:
        raise ValueError(
            f"{fixed[0]} is {overrides[fixed[0]]}, but the pretrained model's is {getattr(stored, fixed[0])} and stays "
            f"so; leave {fixed[0]} out"
        )
    frames = input_frames(settings, stored.input_tdim)
    return dataclasses.replace(stored, **overrides, input_tdim=frames, classes=classes, num_classes=len(classes))


def new_classifier(settings: FinetuneSettings, config: SSAMBAConfig, data: Data) -> SSAMBA:
    """The model to start from, with a new head."""
    seed_everything(settings.seed, "weights")
    if settings.pretrained is None:
        return SSAMBA(dataclasses.replace(config, **measured(settings, data)))
    names = ("input_tdim", "classes", "mean", "std", *CHANGEABLE)
    return load_model(settings.pretrained, **{name: getattr(config, name) for name in names})


def make_task(settings: FinetuneSettings, model: SSAMBA, data: Data, accelerator: Accelerator, loss: str) -> Task:
    readout = Readout(settings.pooling, "softmax" if loss == "ce" else "sigmoid")
    groups = parameter_groups(
        model,
        settings.learning_rate,
        settings.weight_decay,
        head_multiplier=settings.head_lr_multiplier,
        decay_all=settings.decay_all,
    )
    return Task(
        module=ClassificationStep(model, settings, loss),
        optimizer=make_optimizer(groups, settings.beta1, settings.beta2, settings.optimizer),
        loader=data.loader,
        save=lambda path: save_classifier(model, readout, path),
        describe=lambda batch: describe_clips(data.train, batch),
        validate=data.validation and validator(settings, model, data, accelerator, loss),
        select=settings.select or ("accuracy" if loss == "ce" else "map"),
        average=settings.average_from and (settings.average_from, settings.average_to or settings.epochs),
    )


def validator(
    settings: FinetuneSettings, model: SSAMBA, data: Data, accelerator: Accelerator, loss: str
) -> Callable[[Callable[[], bool]], dict[str, float] | None]:
    """validate() → loss and metrics on the held-out clips."""
    loader = validation_loader(data.validation, settings, accelerator)

    def validate() -> dict[str, float]:
        scored = score_clips(model, loader, settings.pooling, accelerator, settings.quiet)
        value = classification_loss(torch.from_numpy(scored.logits), torch.from_numpy(scored.targets), loss)
        return {"loss": float(value), **classification_metrics(scored.logits, scored.targets).values()}

    return validate
