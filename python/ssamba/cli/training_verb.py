"""What the training verbs do with their options: a recipe comes by its name, a resumed run brings its settings."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from ..training.options import Settings
from .arguments import Parser, S, UsageError, add_settings, make_settings, read_config

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
FOR_PRETRAINING = ("pretraining",)


def add_training_settings(parser: Parser, settings_class: type[Settings], verb: str) -> None:
    """Options of the verb, and --recipe."""
    add_settings(parser, settings_class)
    about = (
        f"settings of a published experiment, which --config and the command line override: {', '.join(recipes(verb))}"
    )
    parser.add_argument("--recipe", metavar="NAME", help=about)


def recipes(verb: str) -> list[str]:
    """Names of the recipes for `verb`."""
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    return [name for name in names if (name in FOR_PRETRAINING) == (verb == "pretrain")]


def read_recipe(name: str | None, settings_class: type[Settings], verb: str) -> dict[str, Any]:
    """Settings of a recipe; raises UsageError for an unknown one, or one of another verb."""
    if name is None:
        return {}
    stem = name.replace("-", "_")
    known = recipes(verb)
    if stem not in known:
        if (RECIPES / f"{stem}.yaml").is_file():
            other = "pretrain" if stem in FOR_PRETRAINING else "finetune and repeat"
            raise UsageError(f"recipe {name} is for ssamba {other}; for {verb} there are: {', '.join(known)}")
        raise UsageError.unknown("recipe", name, known, f"known are: {', '.join(known)}")
    return read_config(str(RECIPES / f"{stem}.yaml"), settings_class.__dataclass_fields__)


def training_settings(settings_class: type[S], args: Namespace, verb: str) -> S:
    """Settings from the command line, --config and --recipe; with --resume, all others from the run in --out."""
    recipe = read_recipe(args.recipe, settings_class, verb)
    given = {**recipe, **read_config(args.config, settings_class.__dataclass_fields__), **vars(args)}
    saved = None
    if given.get("resume") and given.get("out"):
        from ..training.run_directory import saved_settings

        saved = saved_settings(given["out"], verb)
        if saved:
            del saved["quiet"]  # concerns the person, not the run
    return make_settings(settings_class, args, {**(saved or {}), **recipe})
