"""No op runs on a GPU where the kernels are wrong: the CUDA library asks here before the first one on each device."""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from ssamba_ops.selftest import Check, is_running

OVERRIDE = "SSAMBA_UNCHECKED"

# As in csrc/cuda/device_check.cpp.
REFUSED, ALLOWED_THIS_TIME, RIGHT = range(3)
ASK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_callbacks = []  # the library calls them as long as the process lives


class Refusal(Exception):
    """Why kernels must not run."""


class DeviceCheck:
    """Answers whether kernels may run on a device: the first time by `selftest`, afterwards from memory.

    May be asked by several threads at once; one of them tests while the others wait.
    """

    def __init__(self, selftest: Callable[[int], list[Check]]):
        self._selftest = selftest
        self._lock = threading.Lock()
        self._right: set[int] = set()
        self._wrong: dict[int, str] = {}

    def answer(self, device: int) -> int:
        """RIGHT, or ALLOWED_THIS_TIME; raises Refusal where kernels must not run."""
        if is_running():
            return ALLOWED_THIS_TIME
        with self._lock:
            if device not in self._right:
                self._examine(device)
                self._right.add(device)
        return RIGHT

    def _examine(self, device: int) -> None:
        if os.environ.get(OVERRIDE, "") not in ("", "0"):
            warnings.warn(f"{OVERRIDE} is set: ssamba's kernels run on cuda:{device} unchecked", stacklevel=2)
            return
        if device in self._wrong:
            raise Refusal(self._wrong[device])
        if torch.cuda.is_current_stream_capturing():
            raise Refusal(
                f"ssamba: the first op on cuda:{device} compares the kernels with the reference, which a CUDA graph "
                f"cannot capture; call an op there once before the capture, or set {OVERRIDE}=1"
            )
        # In a thread of its own the self-test has its own stream, and sees nothing of the caller's modes: no_grad,
        # autocast, what the dispatcher leaves out below autograd.
        with ThreadPoolExecutor(1) as thread:
            checks = thread.submit(self._selftest, device).result()
        failed = next((check for check in checks if not check.passed), None)
        if failed is None:
            return
        if failed.failure:  # says nothing about results: the next op tries again
            raise Refusal(
                f"ssamba: the self-test before the first op on cuda:{device} stopped at {failed.op}: {failed.failure}; "
                f"`ssamba doctor` may say more, and {OVERRIDE}=1 runs the ops without the test"
            )
        self._wrong[device] = (
            f"ssamba: {failed.op} is off by {failed.error:.1e} on cuda:{device}, so no op runs on this GPU; the ops "
            f"keep working on the CPU, please report what `ssamba doctor` says, and {OVERRIDE}=1 runs them all the same"
        )
        raise Refusal(self._wrong[device])


def install(library: ctypes.CDLL, check: DeviceCheck) -> None:
    """Lets a library of kernels ask `check` from now on."""

    def ask(device: int, reason: int, capacity: int) -> int:
        try:
            return check.answer(device)
        except Refusal as refusal:
            why = str(refusal)
        except BaseException as error:  # an exception cannot pass through C
            why = f"ssamba: the check of cuda:{device} was interrupted by {error!r}; call the op again"
        text = why.encode("ascii", "replace")[: capacity - 1] + b"\0"
        ctypes.memmove(reason, text, len(text))
        return REFUSED

    _callbacks.append(ASK(ask))
    library.ssamba_ask_about_devices(_callbacks[-1])
