import pytest
import torch

import ssamba_ops


@pytest.fixture(autouse=True)
def poisoned_outputs():
    """Fresh tensors are filled with NaN, in C++ too, so that a value nobody wrote is seen."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=ssamba_ops.available_cpu_isas())
def isa(request):
    """Runs a test once on every instruction set that this machine has."""
    with ssamba_ops.cpu_isa(request.param):
        assert ssamba_ops.current_cpu_isa() == request.param
        yield request.param
