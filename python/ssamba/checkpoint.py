"""Writing files so that a crash leaves the old one, and reading weights so that nothing is left out in silence."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .config import SSAMBAConfig
from .position import adapt_position_table

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"

# Fields that decide the shape or the meaning of the weights, and so cannot change on loading.
FIXED_FIELDS = [
    *("embed_dim", "depth", "state_size", "conv_width", "expand", "dt_rank"),
    *("fshape", "tshape", "input_fdim", "layout", "norm", "norm_eps"),
]


def save_atomically(path: str | os.PathLike, write: Callable[[Path], object]) -> None:
    """Calls `write` with the path of a temporary file beside `path`, flushes it to disk and renames it to `path`.

    Whoever reads `path` sees the whole old file or the whole new one; when `write` raises, the old one stays. Makes
    missing directories.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        write(temporary)
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_directory(path.parent)


def write_pretrained(directory: str | os.PathLike, config: SSAMBAConfig, tensors: Mapping[str, Tensor]) -> None:
    """Writes config.json and model.safetensors into `directory`."""
    copies = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(config.to_dict(), indent=2) + "\n"
    save_atomically(Path(directory) / WEIGHTS_FILE, lambda path: save_file(copies, path, metadata={"format": "pt"}))
    save_atomically(Path(directory) / CONFIG_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def read_pretrained(
    directory: str | os.PathLike, overrides: Mapping[str, Any]
) -> tuple[SSAMBAConfig, dict[str, Tensor], set[str]]:
    """Reads what `write_pretrained` wrote, carried over to the overridden configuration.

    Returns the configuration, the tensors, and the names of tensors that the overrides leave to fresh initialisation.
    Raises FileNotFoundError naming what is missing, ValueError for an override that would change other weights.
    """
    directory = Path(directory)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (directory / name).is_file():
            raise FileNotFoundError(f"{directory} holds no {name}; give a directory written by save_pretrained")
    try:
        stored = SSAMBAConfig.from_dict(json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{directory / CONFIG_FILE}: {error}") from error
    config = override_config(stored, overrides)
    tensors = load_file(directory / WEIGHTS_FILE)
    fresh: set[str] = set()
    if (config.num_classes, config.classes) != (stored.num_classes, stored.classes):
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
        if config.num_classes is not None:
            fresh = {"head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"}
    if "pos_embed" in tensors:
        ratio = (config.fstride / stored.fstride, config.tstride / stored.tstride)
        tensors["pos_embed"] = adapt_position_table(
            tensors["pos_embed"], stored.grid, config.grid, config.layout, ratio
        )
    return config, tensors, fresh


def override_config(stored: SSAMBAConfig, overrides: Mapping[str, Any]) -> SSAMBAConfig:
    """`stored` with some fields replaced; raises ValueError for a field that the weights are bound to."""
    bound = [name for name in overrides if name in FIXED_FIELDS and overrides[name] != getattr(stored, name)]
    if bound:
        found = ", ".join(f"{name} {getattr(stored, name)!r} (asked for {overrides[name]!r})" for name in bound)
        raise ValueError(f"the stored weights are bound to {found}; make a new SSAMBA(config) to change that")
    fields = {**stored.to_dict(), **overrides}
    if "num_classes" in overrides and "classes" not in overrides and overrides["num_classes"] != stored.num_classes:
        fields["classes"] = None
    if "classes" in overrides and "num_classes" not in overrides:
        fields["num_classes"] = None
    return SSAMBAConfig.from_dict(fields)


def load_strictly(
    model: nn.Module, tensors: Mapping[str, Tensor], fresh: Collection[str] = (), source: str = ""
) -> None:
    """Copies `tensors` into the model; raises ValueError listing every missing, unexpected or misshapen one.

    Tensors named in `fresh` keep their initialisation and must not be among `tensors`.
    """
    own = model.state_dict()
    problems = [f"missing {name} {tuple(own[name].shape)}" for name in own if name not in tensors and name not in fresh]
    problems += [
        f"unexpected {name} {tuple(tensors[name].shape)}" for name in tensors if name not in own or name in fresh
    ]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}, the model wants {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if problems:
        raise ValueError(
            f"weights{' of ' + source if source else ''} do not fit the model:\n  " + "\n  ".join(problems)
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def load_official_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads the state_dict of a published pretraining checkpoint (`module.…` names) into a paired model.

    Dropped are the 1000-class ImageNet head, which nothing uses, and the two size scalars, after checking them against
    the configuration. Raises ValueError when a size differs or any tensor is missing, unexpected or misshapen.
    """
    config: SSAMBAConfig = model.config
    if config.layout != "paired":
        raise ValueError(f"published weights need layout 'paired', the model has {config.layout!r}")
    tensors = {name.removeprefix("module.").removeprefix("v."): tensor for name, tensor in state.items()}
    for name, size in (("p_input_fdim", config.input_fdim), ("p_input_tdim", config.input_tdim)):
        if name in tensors and int(tensors[name]) != size:
            raise ValueError(
                f"the checkpoint was made for {name.removeprefix('p_')} {int(tensors[name])}, the model for {size}"
            )
    unused = {"head.weight", "head.bias", "p_input_fdim", "p_input_tdim"}
    fresh = [name for name in model.state_dict() if name.startswith("head.")]
    load_strictly(
        model, {name: tensor for name, tensor in tensors.items() if name not in unused}, fresh, "the checkpoint"
    )


def _flush_directory(directory: Path) -> None:
    """Makes a rename last through a power cut, where the system allows opening directories."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
