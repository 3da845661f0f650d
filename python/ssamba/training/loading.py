"""Models from checkpoint directories, with what training has to know beside weights and configuration."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.folder import CONFIG_FILE
from ..checkpoints.published import read_official
from ..config import SSAMBAConfig
from ..encoder.audio_encoder import AudioEncoder
from ..inference.frozen import FrozenSSAMBA
from ..inference.instructions import without_instructions
from ..model import SSAMBA
from .checkpoints import resolve_checkpoint
from .devices import is_main_process
from .progress import say
from .run_directory import write_json

READOUT_FILE = "readout.json"


@dataclass(frozen=True)
class Readout:
    """How classes are read from a model: `pooling` of the tokens; scores "softmax" (one label a clip) or "sigmoid"."""

    pooling: str = "avgtok"
    scores: str = "softmax"


def load_config(path: str | Path) -> SSAMBAConfig:
    """The configuration of a run, checkpoint directory or published checkpoint."""
    path = resolve_checkpoint(path)
    if path.is_file():
        return read_official(path).config
    file = path / CONFIG_FILE
    try:
        return SSAMBAConfig.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{file} is missing or damaged: {error}") from error


def load_model(path: str | Path, **overrides: Any) -> SSAMBA:
    """The model of a run, checkpoint directory or published checkpoint; ValueError saying what is wrong with it."""
    path = resolve_checkpoint(path)
    if path.is_file():
        return SSAMBA.from_official(path, **overrides)
    return SSAMBA.from_pretrained(path, **overrides)


def freeze(model: SSAMBA, device: torch.device, dtype: str) -> FrozenSSAMBA:
    """The model, which gives its weights away, for inference on `device`; `dtype` as `SSAMBA.frozen` takes it.

    Says on stderr, once, if this processor has no instructions for products in it.
    """
    if device.type == "cpu" and is_main_process():
        _say_without_instructions(dtype, model.config.embed_dim)
    return model.frozen(dtype, device, release=True)


@cache
def _say_without_instructions(dtype: str, width: int) -> None:
    if about := without_instructions(dtype, width):
        say(about)


def load_classifier(path: str | Path) -> tuple[SSAMBA, Readout]:
    """A fine-tuned model and its readout; raises ValueError if it has no classes."""
    path = resolve_checkpoint(path)
    model = load_model(path)
    if model.head is None:
        raise ValueError(
            f"{path} has no classification head; fine-tune it first (ssamba finetune --pretrained {path} ...)"
        )
    file = path / READOUT_FILE
    return model, Readout(**json.loads(file.read_text())) if file.is_file() else Readout()


def save_classifier(model: SSAMBA, readout: Readout, path: Path) -> None:
    """Write the model and its readout to a directory."""
    model.save_pretrained(path)
    write_json(path / READOUT_FILE, asdict(readout))


def class_names(model: AudioEncoder) -> tuple[str, ...]:
    """The model's class names, or its class numbers if it has no names."""
    return model.config.classes or tuple(str(index) for index in range(model.config.num_classes))
