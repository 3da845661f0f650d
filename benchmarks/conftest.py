import pytest
import torch

from ssamba.inference.memory import keep_freed_memory


@pytest.fixture(autouse=True, scope="session")
def two_threads():
    """The project's figures are for two cores, whatever the machine has."""
    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True, scope="session")
def kept_memory():
    """Freed memory stays with the process, for every provider: whether glibc hands it back between two calls depends
    on the heap's layout, and on some virtual machines fresh pages cost more than an op."""
    keep_freed_memory()
