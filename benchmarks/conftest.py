import pytest
import torch

import ssamba_ops
from ssamba.inference.memory import keep_freed_memory


@pytest.hookimpl(optionalhook=True)  # pytest-benchmark's
def pytest_benchmark_update_machine_info(machine_info):
    machine_info["isa"] = ssamba_ops.current_cpu_isa()


@pytest.fixture(autouse=True, scope="session")
def two_threads():
    """The project's figures are for two cores, whatever the machine has."""
    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True, scope="session")
def kept_memory():
    """Freed memory stays with the process, for every provider: whether glibc hands it back between two calls depends
    on the heap's layout, and on some virtual machines fresh pages cost more than an op."""
    keep_freed_memory()
