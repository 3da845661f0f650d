"""Loads the compiled op libraries, and says what to do when that fails."""

from __future__ import annotations

import ctypes
import warnings
from pathlib import Path

import torch

from ssamba_ops import device_check
from ssamba_ops.selftest import cuda_selftest

HERE = Path(__file__).parent
ADVICE = "Reinstall it with `pip install .` in a clone (or `pip install ssamba`), which compiles it for this machine."
CUDA_ADVICE = "Reinstall with `SSAMBA_CUDA=1 pip install .` in a clone, which needs nvcc."


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


def _load_cuda() -> str | None:
    """Loads the kernels for GPUs. Returns None, or why there are none; warns if they are there but broken."""
    from ssamba_ops import _C

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
    from ssamba_ops import _C

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


library = _load()
why_no_cuda = _load_cuda()
