"""Writing files so that a crash leaves the old one, and reading weights so that nothing is left out in silence."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..config import SSAMBAConfig
from ..encoder.position import adapt_position_table
from .disk import refused, system_error

CONFIG_FILE, WEIGHTS_FILE, FROZEN_FILE = "config.json", "model.safetensors", "frozen.safetensors"
READERS = {WEIGHTS_FILE: "SSAMBA.from_pretrained", FROZEN_FILE: "FrozenSSAMBA.from_pretrained"}

# Fields that decide the shape or the meaning of the weights, and so cannot change on loading.
FIXED_FIELDS = [
    *("embed_dim", "depth", "state_size", "conv_width", "expand", "dt_rank"),
    *("fshape", "tshape", "input_fdim", "layout", "norm", "norm_eps"),
]


def save_atomically(path: str | os.PathLike, write: Callable[[Path], object], durable: bool = True) -> None:
    """Calls `write` with the path of a temporary file beside `path`, flushes it to disk and renames it to `path`.

    Whoever reads `path` sees the whole old file or the whole new one; when `write` raises, the old one stays. Makes
    missing directories; who may read the file is up to the umask. `durable=False` does not flush, for what a power cut
    may spoil: it takes milliseconds.

    Raises what `write` raises; an error of the disk, also one that torch or safetensors hides, as OSError naming
    `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        if temporary.stat().st_mode != mode:  # safetensors makes a file of its own, which none but its owner may read
            temporary.chmod(mode)
        if durable:
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except Exception as error:
        temporary.unlink(missing_ok=True)
        found = system_error(error)
        if found is not None and found.filename in (None, str(temporary)):
            raise refused(found, path) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        _flush_directory(path.parent)


def unfinished_files(folder: str | os.PathLike) -> list[Path]:
    """What `save_atomically` was writing in a folder when its process was killed."""
    return [path for path in Path(folder).iterdir() if re.fullmatch(r"\..+\.[0-9a-f]{8}\.part", path.name)]


def save_objects(path: str | os.PathLike, state: Any) -> None:
    """`torch.save`, so that an error of the disk is known as one."""
    with open(path, "wb") as file:
        torch.save(state, file)


def write_pretrained(
    directory: str | os.PathLike,
    config: SSAMBAConfig,
    tensors: Mapping[str, Tensor],
    weights_file: str = WEIGHTS_FILE,
    about: Mapping[str, str] | None = None,
) -> None:
    """Writes config.json and the weights, `about` them in their metadata, into `directory`."""
    copies = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(config.to_dict(), indent=2) + "\n"
    metadata = {"format": "pt", **(about or {})}
    save_atomically(Path(directory) / weights_file, lambda path: save_file(copies, path, metadata=metadata))
    save_atomically(Path(directory) / CONFIG_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def read_pretrained(
    directory: str | os.PathLike, overrides: Mapping[str, Any]
) -> tuple[SSAMBAConfig, dict[str, Tensor], set[str]]:
    """Reads what `write_pretrained` wrote, carried over to the overridden configuration.

    Returns the configuration, the tensors, and the names of tensors that the overrides leave to fresh initialisation.
    Raises FileNotFoundError naming what is missing, ValueError for an override that would change other weights.
    """
    stored, tensors, _ = read_stored(directory)
    return carry_over(stored, tensors, overrides)


def read_stored(
    directory: str | os.PathLike, weights_file: str = WEIGHTS_FILE
) -> tuple[SSAMBAConfig, dict[str, Tensor], dict[str, str]]:
    """The configuration, the tensors, and what is written about them.

    Raises FileNotFoundError naming what is missing, ValueError when a file is damaged.
    """
    directory = Path(directory)
    for name in (CONFIG_FILE, weights_file):
        if not (directory / name).is_file():
            readers = {file: reader for file, reader in READERS.items() if (directory / file).is_file()}
            others = [f"{file}, which {reader} reads" for file, reader in readers.items()]
            hint = f", but {others[0]}" if others else "; give a directory written by save_pretrained"
            raise FileNotFoundError(f"{directory} holds no {name}{hint}")
    try:
        stored = SSAMBAConfig.from_dict(json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{directory / CONFIG_FILE}: {error}") from error
    try:
        with safe_open(directory / weights_file, "pt") as file:
            return stored, {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"checkpoint {directory} is damaged: {weights_file} is cut short or no safetensors file ({error})"
        ) from error


def carry_over(
    stored: SSAMBAConfig, tensors: dict[str, Tensor], overrides: Mapping[str, Any]
) -> tuple[SSAMBAConfig, dict[str, Tensor], set[str]]:
    """The overridden configuration, the tensors that fit it, and the names of those that start afresh.

    A new classification head starts afresh; the position table is carried to the new grid.
    """
    config = override_config(stored, overrides)
    fresh: set[str] = set()
    if (config.num_classes, config.classes) != (stored.num_classes, stored.classes):
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
        if config.num_classes is not None:
            fresh = {"head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"}
    if "pos_embed" in tensors:
        ratio = (config.fstride / stored.fstride, config.tstride / stored.tstride)
        table = adapt_position_table(tensors["pos_embed"], stored.grid, config.grid, config.layout, ratio)
        tensors = {**tensors, "pos_embed": table}
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
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    fresh: Collection[str] = (),
    source: str = "",
    name_in_file: Callable[[str], str] = str,
) -> None:
    """Copies `tensors` into a model's `own`; raises ValueError listing every missing, unexpected or misshapen one.

    Tensors named in `fresh` keep their initialisation and must not be among `tensors`. `name_in_file` gives the names
    by which errors call them. Nothing is copied unless everything fits.
    """
    check_fit({name: tensor.shape for name, tensor in own.items()}, tensors, fresh, source, name_in_file)
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def check_fit(
    own: Mapping[str, Sequence[int]],
    tensors: Mapping[str, Tensor],
    fresh: Collection[str] = (),
    source: str = "",
    name_in_file: Callable[[str], str] = str,
) -> None:
    """Raises ValueError as `load_strictly`, whose arguments these are; of the model's own tensors only the shapes."""
    problems = [
        f"missing {name_in_file(name)} {tuple(own[name])}" for name in own if name not in tensors and name not in fresh
    ]
    problems += [
        f"unexpected {name_in_file(name)} {tuple(tensors[name].shape)}"
        for name in tensors
        if name not in own or name in fresh
    ]
    problems += [
        f"{name_in_file(name)} has shape {tuple(tensors[name].shape)}, the model wants {tuple(own[name])}"
        for name in own
        if name in tensors and tuple(tensors[name].shape) != tuple(own[name])
    ]
    if problems:
        raise ValueError(
            f"weights{' of ' + source if source else ''} do not fit the model:\n  " + "\n  ".join(problems)
        )


def read_tensors(path: str | os.PathLike) -> dict[str, Tensor]:
    """The tensors of a file that torch.save wrote, on the CPU; nothing in the file is run.

    Raises FileNotFoundError, or ValueError when the file is cut short, damaged or holds anything but tensors by name.
    """
    if os.path.isdir(path):
        raise ValueError(f"{path} is a directory; SSAMBA.from_pretrained reads what save_pretrained wrote")
    if not os.path.exists(path):
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        broken = _broken_record(path)
    except OSError:
        raise
    except Exception as error:  # damaged files raise anything, from EOFError to KeyError
        raise ValueError(f"{path} is not a checkpoint that torch can read: {_reason(error)}") from error
    if broken is not None:
        raise ValueError(f"{path} is damaged: the checksum of its record {broken} is wrong; fetch the file again")
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        found = some_names(state) if isinstance(state, dict) else f"a {type(state).__name__}"
        raise ValueError(f"{path} holds {found}; expected a dict of tensors by name and nothing else")
    return {str(name): tensor for name, tensor in state.items()}


def some_names(state: Mapping[Any, Any]) -> str:
    """How many entries there are, and what a few are called, for an error message."""
    names = ", ".join(map(str, list(state)[:5]))
    return f"{len(state)} {'entry' if len(state) == 1 else 'entries'} ({names}{', …' if len(state) > 5 else ''})"


def _broken_record(path: str | os.PathLike) -> str | None:
    """Name of the first record whose checksum is wrong; torch does not look at them."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def _reason(error: Exception) -> str:
    """What torch's long message says is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    refused = [line for line in lines if "GLOBAL " in line]
    if refused:
        return f"it holds code or Python objects, which are never run ({refused[0]})"
    what = ": ".join([type(error).__name__, *lines[:1]])
    return f"it is cut short, damaged or of another kind ({what[:150]})"


def _flush_directory(directory: Path) -> None:
    """Makes a rename last through a power cut, where the system allows opening directories."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
