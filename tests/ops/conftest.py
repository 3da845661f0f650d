import pytest
import torch

import emulator
import ssamba_ops

EMULATED = emulator.LIBRARY is not None
OPS = ("bi_scan", "selective_scan", "causal_conv1d", "bi_conv1d", "patch_mask")


@pytest.fixture(autouse=True)
def poisoned_outputs():
    """Fresh tensors are filled with NaN, in C++ too, so that a value nobody wrote is seen."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True, scope="session")
def machine():
    """Where CPU tensors are computed: on the CPU, or on the emulated GPU under `make simt`."""
    if not EMULATED:
        yield
        return
    emulator.load()
    with emulator.emulated(OPS):
        yield


@pytest.fixture(params=["emulated"] if EMULATED else ssamba_ops.available_cpu_isas())
def isa(request):
    """Runs a test once on every instruction set that this machine has."""
    if EMULATED:
        yield request.param
        return
    with ssamba_ops.cpu_isa(request.param):
        assert ssamba_ops.current_cpu_isa() == request.param
        yield request.param
