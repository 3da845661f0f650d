"""SSAMBA: self-supervised audio representation learning with bidirectional Mamba (arXiv 2405.11831)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .audio.log_mel import log_mel
    from .config import SSAMBAConfig
    from .inference.frozen import FrozenSSAMBA, quantize_int8
    from .inference.memory import keep_freed_memory
    from .model import SSAMBA
    from .objectives.losses import PretrainOutput

__all__ = [
    "SSAMBA",
    "FrozenSSAMBA",
    "PretrainOutput",
    "SSAMBAConfig",
    "__version__",
    "keep_freed_memory",
    "log_mel",
    "quantize_int8",
]

_HOMES = {
    "SSAMBA": "model",
    "SSAMBAConfig": "config",
    "FrozenSSAMBA": "inference.frozen",
    "log_mel": "audio.log_mel",
    "PretrainOutput": "objectives.losses",
    "keep_freed_memory": "inference.memory",
    "quantize_int8": "inference.frozen",
}


def __getattr__(name: str):
    """Imports a public name when it is first used, so that the command line starts without torch."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("ssamba")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
