import contextlib
import zlib

import pytest
import torch

import emulator
import machine as machines
import ssamba_ops


def pytest_generate_tests(metafunc):
    """A test runs once on every machine; one that asks for `isa`, once on every instruction set.

    Tests marked `host` are about the CPU.
    """
    if metafunc.definition.get_closest_marker("host"):
        return
    chosen = machines.machines(asked_for_cuda="cuda" in metafunc.config.getoption("markexpr"))
    if "isa" in metafunc.fixturenames:
        metafunc.parametrize(("machine", "isa"), chosen, indirect=True)
    else:
        one_each = {getattr(case, "values", case)[0]: case for case in chosen}
        names = [pytest.param(name, marks=getattr(case, "marks", ())) for name, case in one_each.items()]
        metafunc.parametrize("machine", names, indirect=True)


def pytest_collection_modifyitems(config, items):
    if "large" not in config.getoption("markexpr"):
        large = [item for item in items if item.get_closest_marker("large")]
        config.hook.pytest_deselected(items=large)
        items[:] = [item for item in items if item not in large]
    if emulator.LIBRARY is not None:
        for item in items:
            if item.get_closest_marker("host"):
                item.add_marker(pytest.mark.skip(reason="about the CPU, not the emulated GPU"))


@pytest.fixture(autouse=True)
def poisoned_outputs():
    """Fresh tensors are filled with NaN, in C++ too, so that a value nobody wrote is seen."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def emulated_gpu():
    library = emulator.load()
    with emulator.emulated():
        yield library


@pytest.fixture(autouse=True)
def machine(request):
    """Where the test runs. On the emulated GPU each test has an order of threads, and of errors, of its own."""
    name = getattr(request, "param", "cpu")
    if name == "emulated":
        drawn = zlib.crc32(request.node.nodeid.encode())
        library = request.getfixturevalue("emulated_gpu")
        library.ssamba_simt_seed(emulator.SEEDS[drawn % len(emulator.SEEDS)])
        library.ssamba_simt_error_seed(drawn)
    with machines.on_gpu() if name == "cuda" else contextlib.nullcontext():
        yield name


@pytest.fixture
def isa(request):
    """The instruction set that the test runs on, if it runs on the CPU."""
    if request.param in ("emulated", "cuda"):
        yield request.param
        return
    with ssamba_ops.cpu_isa(request.param):
        assert ssamba_ops.current_cpu_isa() == request.param
        yield request.param
