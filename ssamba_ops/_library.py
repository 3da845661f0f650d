"""Loads the compiled op libraries, and says what to do when that fails."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

HERE = Path(__file__).parent
ADVICE = "Reinstall it with `pip install .` in a clone (or `pip install ssamba`), which compiles it for this machine."


def _load() -> ctypes.CDLL:
    try:
        from ssamba_ops import _C
    except ImportError as error:
        raise ImportError(
            f"ssamba_ops: the compiled module ssamba_ops._C does not import ({error}). {ADVICE}"
        ) from error
    path = HERE / _C.cpu_library
    if not path.is_file():
        raise ImportError(f"ssamba_ops: the op library {path} is missing. {ADVICE}")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 11):
        raise ImportError(f"ssamba_ops needs torch 2.11 or newer, but torch {torch.__version__} is installed.")
    try:
        torch.ops.load_library(path)
    except OSError as error:
        raise ImportError(f"ssamba_ops: the op library {path} does not load ({error}). {ADVICE}") from error
    return ctypes.CDLL(str(path))


library = _load()
