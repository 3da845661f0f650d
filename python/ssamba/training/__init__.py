"""Pretraining, fine-tuning and evaluation on top of `accelerate`.

`pretrain(PretrainSettings(...))`, `finetune(FinetuneSettings(...))`, `evaluate(EvaluateSettings(...))`,
`repeat(RepeatSettings(...))`. Nothing
heavy is imported before one of them is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .settings import EvaluateSettings, FinetuneSettings, PretrainSettings, RepeatSettings

if TYPE_CHECKING:
    from .evaluation import Evaluation, evaluate
    from .finetuning import finetune
    from .interrupt import Interrupted
    from .nonfinite import NonFiniteError
    from .pretraining import pretrain
    from .repeating import repeat
    from .result import RunResult

__all__ = [
    "EvaluateSettings",
    "Evaluation",
    "FinetuneSettings",
    "Interrupted",
    "NonFiniteError",
    "PretrainSettings",
    "RepeatSettings",
    "RunResult",
    "evaluate",
    "finetune",
    "pretrain",
    "repeat",
]

_HOMES = {
    "Evaluation": "evaluation",
    "Interrupted": "interrupt",
    "NonFiniteError": "nonfinite",
    "RunResult": "result",
    "evaluate": "evaluation",
    "finetune": "finetuning",
    "pretrain": "pretraining",
    "repeat": "repeating",
}


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
