import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def two_threads():
    """The project's figures are for two cores, whatever the machine has."""
    torch.set_num_threads(min(2, torch.get_num_threads()))
