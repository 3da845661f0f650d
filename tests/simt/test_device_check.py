"""Before the first kernel on a device the library asks whether kernels are right there, and refuses if they are not."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch._subclasses import FakeTensorMode

import emulator
import ssamba_ops
from ssamba_ops.device_check import OVERRIDE, RIGHT, DeviceCheck, Refusal, install
from ssamba_ops.selftest import CPU, Check, run_on

if emulator.LIBRARY is None:
    pytest.skip("needs the emulated GPU: make simt", allow_module_level=True)

LIBRARY = emulator.load()
PASSED, WRONG = Check("bi_scan", "cuda:0", 1e-7), Check("bi_conv1d", "cuda:0", 0.02)
STOPPED = Check("bi_scan", "cuda:0", float("inf"), "out of memory")
REFUSAL = r"ssamba: bi_conv1d is off by .* on cuda:0, so no op runs on this GPU; the ops keep working on the CPU"


class SelfTest:
    """Finds what it is told to, and counts how often it is asked."""

    def __init__(self, *found: Check):
        self.found, self.runs = found, 0

    def __call__(self, device: int) -> list[Check]:
        self.runs += 1
        time.sleep(0.05)
        return list(self.found)


class RealSelfTest(SelfTest):
    def __call__(self, device: int) -> list[Check]:
        self.runs += 1
        return run_on(CPU, f"cuda:{device}")


@pytest.fixture(autouse=True)
def capture(monkeypatch):
    """Whether a CUDA graph is being captured, for tests to set."""
    capture = {"running": False}
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: capture["running"])
    monkeypatch.delenv(OVERRIDE, raising=False)
    with emulator.emulated():
        yield capture
    LIBRARY.ssamba_ask_about_devices(None)


def installed(selftest: SelfTest) -> SelfTest:
    install(ctypes.CDLL(emulator.LIBRARY), DeviceCheck(selftest))
    gc.collect()  # what was installed stays, whatever becomes of the library's object
    return selftest


def call() -> torch.Tensor:
    """One kernel, straight through the dispatcher."""
    mask = torch.tensor([[True, False, True]])
    return torch.ops.ssamba.patch_mask(torch.ones(1, 3, 4), mask, torch.zeros(4))


def refused(match: str = REFUSAL):
    return pytest.raises(RuntimeError, match=match)


@contextlib.contextmanager
def broken(op: str):
    """Within the block the op's results are off by a thousandth."""
    kernel = getattr(torch.ops.ssamba_simt, op).default

    def wrong(*inputs):
        result = kernel(*inputs)
        return tuple(1.001 * x for x in result) if isinstance(result, tuple) else 1.001 * result

    library = torch.library.Library("ssamba", "IMPL", "CPU")
    library.impl(op, wrong, allow_override=True)
    try:
        yield
    finally:
        library._destroy()


@pytest.mark.parametrize(
    "mode",
    [contextlib.nullcontext, torch.inference_mode, lambda: torch.autocast("cpu"), lambda: torch.device("meta")],
    ids=["plain", "inference", "autocast", "default device"],
)
def test_right_kernels_run_after_one_selftest_whatever_the_callers_mode(mode):
    selftest = installed(RealSelfTest())
    x, weight = torch.randn(1, 5, 3), torch.randn(3, 4)
    with mode():
        for _ in range(2):
            ssamba_ops.causal_conv1d(x, weight)
    x.requires_grad_()
    ssamba_ops.causal_conv1d(x, weight).sum().backward()
    assert selftest.runs == 1


def test_a_wrong_kernel_makes_every_op_refuse_for_good():
    selftest = installed(RealSelfTest())
    with broken("bi_conv1d"):
        for _ in range(2):
            with refused():
                call()
            with refused():
                ssamba_ops.causal_conv1d(torch.randn(1, 5, 3), torch.randn(3, 4))
            with refused():
                ssamba_ops.sample_patch_mask(1, 2, 2, 1, 1, 1, 0, device="cpu")
    assert selftest.runs == 1


def test_a_right_device_is_never_asked_about_again(monkeypatch):
    asked = []
    check = DeviceCheck(SelfTest(PASSED))
    answer = check.answer
    monkeypatch.setattr(check, "answer", lambda device: asked.append(device) or answer(device))
    install(LIBRARY, check)
    for _ in range(3):
        call()
    assert asked == [0]


def test_a_broken_gradient_is_found():
    installed(RealSelfTest())
    with broken("patch_mask_backward"), refused("patch_mask is off by"):
        call()


@pytest.mark.parametrize("found", [PASSED, WRONG], ids=["right", "wrong"])
def test_threads_that_come_at_once_wait_for_one_selftest(found):
    selftest = installed(SelfTest(found))

    def outcome(_):
        try:
            return call().sum().item()
        except RuntimeError as error:
            return str(error)

    with ThreadPoolExecutor(8) as threads:
        outcomes = set(threads.map(outcome, range(16)))
    assert selftest.runs == 1
    assert len(outcomes) == 1
    assert (outcomes == {4.0}) == found.passed


def test_traced_functions_are_refused_when_they_run():
    selftest = installed(SelfTest(WRONG))
    arguments = torch.ones(1, 3, 4), torch.tensor([[True, False, True]]), torch.zeros(4)
    with FakeTensorMode() as fake:
        ssamba_ops.patch_mask(*(fake.from_tensor(x) for x in arguments))
    assert selftest.runs == 0
    traced = torch.compile(ssamba_ops.patch_mask, backend="eager", fullgraph=True)
    with refused():
        traced(*arguments)
    installed(SelfTest(PASSED))
    assert traced(*arguments).sum() == 4


def test_no_selftest_while_a_graph_is_captured(capture):
    selftest = installed(SelfTest(PASSED))
    capture["running"] = True
    with refused("a CUDA graph cannot capture; call an op there once before the capture"):
        call()
    assert selftest.runs == 0
    capture["running"] = False
    call()
    capture["running"] = True
    call()
    assert selftest.runs == 1


def test_a_selftest_that_stops_refuses_but_is_tried_again():
    selftest = installed(SelfTest(STOPPED))
    for _ in range(2):
        with refused("self-test before the first op on cuda:0 stopped at bi_scan: out of memory; `ssamba doctor`"):
            call()
    selftest.found = (PASSED,)
    call()
    assert selftest.runs == 3


def test_an_interrupted_selftest_refuses_but_is_tried_again():
    def interrupted(device):
        raise KeyboardInterrupt

    install(LIBRARY, DeviceCheck(interrupted))
    for _ in range(2):
        with refused(r"the check of cuda:0 was interrupted by KeyboardInterrupt\(\); call the op again"):
            call()


def test_the_override_warns_once_and_runs_without_a_selftest(monkeypatch):
    selftest = installed(SelfTest(WRONG))
    with refused():
        call()
    monkeypatch.setenv(OVERRIDE, "1")
    with pytest.warns(UserWarning, match=f"{OVERRIDE} is set: ssamba's kernels run on cuda:0 unchecked"):
        call()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call()
    assert selftest.runs == 1


def test_a_program_that_sets_nobody_to_ask_runs():
    LIBRARY.ssamba_ask_about_devices(None)
    assert call().sum() == 4


def test_each_device_has_a_check_of_its_own():
    asked = []

    def selftest(device):
        asked.append(device)
        return [WRONG if device == 1 else PASSED]

    check = DeviceCheck(selftest)
    for _ in range(2):
        assert check.answer(0) == check.answer(2) == RIGHT
        with pytest.raises(Refusal, match="on cuda:1"):
            check.answer(1)
    assert asked == [0, 2, 1]
