"""Command line arguments made from settings dataclasses, so that options, keywords and YAML keys are one thing."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

from ..training.options import REQUIRED, Settings, plain_type

S = TypeVar("S", bound=Settings)
GROUPS = ("files", "data", "run", "output", "features", "optimisation", "augmentation", "masking", "model")


class UsageError(Exception):
    """The command line is wrong; the message says how."""

    @classmethod
    def unknown(cls, what: str, name: str, known: Iterable[str], hint: str = "") -> UsageError:
        """Unknown name, with the nearest known one."""
        bare = {option.lstrip("-"): option for option in known}  # dashes are alike in all of them
        nearest = difflib.get_close_matches(name.lstrip("-"), bare, n=1)
        parts = [f"unknown {what} {name}", f"did you mean {bare[nearest[0]]}?" if nearest else "", hint]
        return cls("; ".join(part for part in parts if part))


class Parser(argparse.ArgumentParser):
    """ArgumentParser whose help fits 80 columns and whose errors are one line with the nearest known option."""

    def __init__(self, **options: Any):
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **options)

    def error(self, message: str) -> typing.NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")

    def parse_args(self, args: list[str] | None = None, namespace: Any = None) -> argparse.Namespace:
        parsed, rest = self.parse_known_args(args, namespace)
        if rest:
            known = [option for action in self._actions for option in action.option_strings]
            if "--data" in known and not rest[0].startswith("-"):
                raise UsageError(f"unknown argument {rest[0]}; did you mean --data {rest[0]}? see {self.prog} --help")
            raise UsageError.unknown("argument", rest[0].partition("=")[0], known, f"see {self.prog} --help")
        return parsed


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=26, width=80)


def add_settings(parser: Parser, settings_class: type[Settings]) -> None:
    """One option for each field of `settings_class`, in groups, and --config."""
    annotations = typing.get_type_hints(settings_class)
    fields = sorted(dataclasses.fields(settings_class), key=lambda item: item.default is not REQUIRED)
    for group in GROUPS:
        members = [item for item in fields if item.metadata["group"] == group]
        section = parser.add_argument_group(group) if members else None
        for item in members:
            _add_field(section, item, plain_type(annotations[item.name])[0])
    parser.usage = " ".join([parser.prog, *_essentials(fields), "[options]"])
    parser.add_argument(
        "--config", metavar="FILE", help="YAML file of settings by option name; the command line overrides it"
    )


def _essentials(fields: list[dataclasses.Field]) -> list[str]:
    """What every call needs, for the usage line."""
    required = [f"--{item.name} {item.name.upper()}" for item in fields if item.default is REQUIRED]
    return required + [f"{item.name.upper()} ..." for item in fields if item.metadata["positional"]]


def _add_field(group: Any, item: dataclasses.Field, kind: type) -> None:
    about = item.metadata["help"].replace("%", "%%")
    if item.metadata["positional"]:
        group.add_argument(item.name, nargs="*", default=argparse.SUPPRESS, metavar=item.name.upper(), help=about)
        return
    if item.default is REQUIRED:
        about += " (required)"
    elif not (item.default is None or item.default is False or item.default == ()):
        about += f" (default: {item.default})"
    option = "--" + item.name.replace("_", "-")
    if kind is bool:
        action = "store_true" if item.default is False else argparse.BooleanOptionalAction
        group.add_argument(option, action=action, default=argparse.SUPPRESS, help=about)
        return
    choices = item.metadata["choices"]
    metavar = "{" + ",".join(choices) + "}" if choices else {int: "N", float: "X", str: "TEXT", tuple: "TEXT"}[kind]
    more = {"nargs": "+"} if kind is tuple else {}
    group.add_argument(option, metavar=metavar, default=argparse.SUPPRESS, help=about, **more)


def make_settings(settings_class: type[S], args: argparse.Namespace, base: dict[str, Any] | None = None) -> S:
    """Settings from, in rising order: defaults, `base`, the YAML file, the command line.

    Raises UsageError for unknown or missing names, ValueError for values that do not fit.
    """
    fields = {item.name: item for item in dataclasses.fields(settings_class)}
    given = {name: value for name, value in vars(args).items() if name in fields}
    values = {**(base or {}), **read_config(args.config, fields), **given}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise UsageError(f"this version knows no setting {', '.join(unknown)}, with which the run was started")
    missing = [item for name, item in fields.items() if item.default is REQUIRED and name not in values]
    missing += [item for item in fields.values() if item.metadata["positional"] and not values.get(item.name)]
    if missing:
        names = [item.name.upper() if item.metadata["positional"] else "--" + item.name for item in missing]
        raise UsageError(f"missing: {', '.join(names).replace('_', '-')}")
    return settings_class(**values)


def read_config(path: str | None, known: Iterable[str]) -> dict[str, Any]:
    """Settings in a YAML file, keys with - or _; raises UsageError for a broken file or an unknown key."""
    if path is None:
        return {}
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold lines like 'batch_size: 64', found a {type(content).__name__}")
    settings = {str(key).replace("-", "_"): value for key, value in content.items()}
    for key in settings:
        if key not in set(known):
            raise UsageError.unknown("setting", key, known, f"in {path}")
    return settings
