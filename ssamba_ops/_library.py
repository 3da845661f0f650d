"""Loads the compiled op libraries, and says what to do when that fails."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import sys
import warnings
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

import torch

from ssamba_ops import device_check
from ssamba_ops.selftest import cuda_selftest
from ssamba_ops.sources import sources

CLONE = Path(__file__).resolve().parents[1]  # if there are sources
ADVICE = "Install it with `pip install .` in a clone (or `pip install ssamba`), which compiles it for this machine."
CUDA_ADVICE = "Reinstall with `SSAMBA_CUDA=1 pip install .` in a clone, which needs nvcc."


def _compiled() -> ModuleType:
    """ssamba_ops._C, beside this file or, in a clone from which the package was installed, there."""
    try:
        return importlib.import_module("ssamba_ops._C")
    except ImportError as error:
        found = _installed() if isinstance(error, ModuleNotFoundError) else None
        if found is None:
            raise ImportError(
                f"ssamba_ops: the compiled module ssamba_ops._C does not import ({error}). {ADVICE}"
            ) from error
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    if getattr(module, "sources", None) != sources(CLONE):
        raise ImportError(
            f"ssamba_ops: this clone, {CLONE}, comes before the installed package on the path, and the kernels in "
            f"{Path(found.origin).parent} were built from other sources. Run `pip install .` in the clone again, or "
            "start Python in another folder."
        )
    sys.modules["ssamba_ops._C"] = sys.modules["ssamba_ops"]._C = module
    return module


def _installed() -> importlib.machinery.ModuleSpec | None:
    """Where ssamba_ops._C was installed, if this is a clone that hides it: a clone's root is on the path of whatever is
    started there."""
    if not sources(CLONE):
        return None
    elsewhere = [entry for entry in sys.path if Path(entry).resolve() != CLONE]
    package = PathFinder.find_spec("ssamba_ops", elsewhere)
    return package and PathFinder.find_spec("ssamba_ops._C", package.submodule_search_locations)


def _load() -> ctypes.CDLL:
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


def _load_cuda() -> str | None:
    """Loads the kernels for GPUs. Returns None, or why there are none; warns if they are there but broken."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is not a CUDA build"
    if not _C.cuda_library:
        return f"ssamba_ops was built without CUDA kernels. {CUDA_ADVICE}"
    path = HERE / _C.cuda_library
    try:
        torch.ops.load_library(path)
    except OSError as error:
        why = f"the library of CUDA kernels {path} does not load ({error}). {CUDA_ADVICE}"
        warnings.warn(f"ssamba_ops runs on the CPU only: {why}", stacklevel=2)
        return why
    device_check.install(ctypes.CDLL(str(path)), device_check.DeviceCheck(cuda_selftest))
    return None


def cuda_problem() -> str | None:
    """Why the CUDA kernels cannot run here, or None if they can. Asks the driver, which import does not."""
    if why_no_cuda is not None:
        return why_no_cuda
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return f"torch cannot use a GPU ({str(error).splitlines()[0]}); install a driver that its CUDA version supports"
    for index in range(torch.cuda.device_count()):
        if why := unsupported(torch.cuda.get_device_capability(index), _C.cuda_archs):
            return f"{torch.cuda.get_device_name(index)} (cuda:{index}) {why}"
    return None


def unsupported(capability: tuple[int, int], archs: list[str]) -> str | None:
    """What to do about a GPU that none of the built architectures serves: code for its own generation that is not newer
    than it is, or the PTX of the last, which any later GPU compiles."""
    major, minor = capability
    built = [int(arch.rstrip("af")) for arch in archs]
    if any(arch // 10 == major and arch % 10 <= minor for arch in built) or major * 10 + minor >= built[-1]:
        return None
    return (
        f"has compute capability {major}.{minor}, and the kernels were built for {', '.join(archs)}. "
        f"Reinstall with `SSAMBA_CUDA=1 SSAMBA_CUDA_ARCHS={major}{minor} pip install .`"
    )


_C = _compiled()
HERE = Path(_C.__file__).parent
library = _load()
why_no_cuda = _load_cuda()
