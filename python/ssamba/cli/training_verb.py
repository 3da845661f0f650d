"""What `pretrain` and `finetune` do with their options: a resumed run brings its own settings."""

from __future__ import annotations

from argparse import Namespace

from .arguments import S, make_settings, read_config


def training_settings(settings_class: type[S], args: Namespace, verb: str) -> S:
    """Settings from the command line; with --resume, those not given are taken from the run in --out."""
    given = {**read_config(args.config, settings_class.__dataclass_fields__), **vars(args)}
    saved = None
    if given.get("resume") and given.get("out"):
        from ..training.run_directory import saved_settings

        saved = saved_settings(given["out"], verb)
        if saved:
            del saved["quiet"]  # concerns the person, not the run
    return make_settings(settings_class, args, saved)
