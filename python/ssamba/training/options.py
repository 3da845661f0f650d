"""Settings as dataclasses: one field is one keyword, one command line option, one YAML key, checked when it is set.

This module imports nothing but the standard library, so that the command line can print its help at once.
"""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from dataclasses import dataclass, field
from typing import Any


def option(
    default: Any,
    help: str,
    *,
    group: str,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    affects_result: bool = True,
    positional: bool = False,
    path: bool = False,
) -> Any:
    """A dataclass field with what its command line option needs to know: help text, group, and allowed values.

    `minimum` and `maximum` are inclusive, `above` is exclusive. `affects_result=False` marks what a resumed run may
    change (number of workers, how often to log); `positional` arguments come without a name; in a
    `path`, ~ is the home folder. `default=REQUIRED` makes the option required.
    """
    limits = {"minimum": minimum, "above": above, "maximum": maximum}
    metadata = {"help": help, "group": group, "choices": choices, "affects_result": affects_result, **limits}
    metadata |= {"positional": positional, "path": path}
    return field(default=default, metadata=metadata)


REQUIRED = dataclasses.MISSING


def plain_type(annotation: Any) -> tuple[type, bool]:
    """(type, may be None) of a field annotation such as `int | None`; a tuple of paths counts as tuple."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        (inner,) = (kind for kind in typing.get_args(annotation) if kind is not type(None))
        return plain_type(inner)[0], True
    return typing.get_origin(annotation) or annotation, False


def convert(name: str, value: Any, annotation: Any) -> Any:
    """`value` as the field's type, where that is lossless ("1e-4" and 3 are floats, 2.5 is no int); else ValueError."""
    kind, optional = plain_type(annotation)
    if value is None and optional:
        return None
    if kind is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if kind is tuple:
        return (str(value),) if isinstance(value, (str, os.PathLike)) else tuple(str(item) for item in value)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    if kind in (int, float) and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = kind(value)
        except ValueError:
            number = None
        if number is not None and (isinstance(value, str) or number == value):
            return number
    expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
    raise ValueError(f"{name} is {value!r}, expected {expected}")


@dataclass(kw_only=True)
class Settings:
    """Base of all settings: converts and checks every field by its type and limits; raises ValueError naming it."""

    def __post_init__(self) -> None:
        annotations = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):
            value = convert(item.name, getattr(self, item.name), annotations[item.name])
            if item.metadata["path"] and value is not None:
                value = tuple(map(at_home, value)) if isinstance(value, tuple) else at_home(value)
            setattr(self, item.name, value)
            if value is not None:
                _check_limits(item.name, value, item.metadata)

    @classmethod
    def paths(cls) -> list[str]:
        """Names of the fields that are files or folders."""
        return [item.name for item in dataclasses.fields(cls) if item.metadata["path"]]

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, JSON-able."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


def at_home(path: str) -> str:
    """`path` with the home folder for a leading ~, which a shell fills in only where it stands alone."""
    if path.startswith("$") and not os.path.lexists(path):
        raise ValueError(f"{path}: variables stay as they are here; write the folder's name, or ~ for the home folder")
    return os.path.expanduser(path) if path == "~" or path.startswith("~/") else path


def _check_limits(name: str, value: Any, metadata: Any) -> None:
    choices = metadata.get("choices")
    if choices and value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of: {', '.join(choices)}")
    if isinstance(value, float) and value != value:
        raise ValueError(f"{name} is not a number")
    if metadata.get("minimum") is not None and value < metadata["minimum"]:
        raise ValueError(f"{name} is {value}, expected at least {metadata['minimum']}")
    if metadata.get("above") is not None and value <= metadata["above"]:
        raise ValueError(f"{name} is {value}, expected more than {metadata['above']}")
    if metadata.get("maximum") is not None and value > metadata["maximum"]:
        raise ValueError(f"{name} is {value}, expected at most {metadata['maximum']}")
