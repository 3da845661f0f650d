import pytest
import torch

from ssamba_ops._library import cuda_problem


@pytest.fixture(autouse=True)
def gpu():
    if problem := cuda_problem():
        pytest.skip(f"needs a GPU: {problem}")
    torch.use_deterministic_algorithms(True)
    yield torch.device("cuda")
    torch.use_deterministic_algorithms(False)
