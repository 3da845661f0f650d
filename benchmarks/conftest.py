import ctypes
import platform

import pytest
import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


@pytest.fixture(autouse=True, scope="session")
def two_threads():
    """The project's figures are for two cores, whatever the machine has."""
    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True, scope="session")
def kept_memory():
    """Memory up to 32 MB a tensor stays with the process, for every provider: whether glibc hands it back between two
    calls depends on the heap's layout, and on some virtual machines fresh pages cost more than an op."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
