"""What only a GPU has: streams, graphs, several devices, and tensors beyond 32-bit indices. The ops' values are checked
in tests/ops, which `pytest -m cuda` runs on the device as well."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import ssamba_ops
from op_arguments import OPS, arguments
from ssamba_ops.selftest import cuda_selftest

pytestmark = pytest.mark.cuda

SLOW_CYCLES = 50_000_000


def inputs(device: str = "cuda") -> dict[str, tuple]:
    return arguments(300, device=device)


def step(op: str, arguments: tuple) -> list[torch.Tensor]:
    """Result and gradients."""
    leaves = [
        x.detach().clone().requires_grad_() if isinstance(x, torch.Tensor) and x.is_floating_point() else x
        for x in arguments
    ]
    out = getattr(ssamba_ops, op)(*leaves)
    out = out if isinstance(out, tuple) else (out,)
    wanted = [x for x in leaves if isinstance(x, torch.Tensor) and x.requires_grad]
    return [*(x.detach() for x in out), *torch.autograd.grad([x.square().sum() for x in out], wanted)]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_selftest_passes_on_every_gpu():
    for index in range(torch.cuda.device_count()):
        assert [check for check in cuda_selftest(index) if not check.passed] == []


def test_the_first_op_of_a_process_is_refused_where_the_selftest_fails():
    code = (
        "import torch, ssamba_ops; from ssamba_ops import selftest; selftest.TOLERANCE = -1.0; "
        "x = torch.ones(1, 2, 3, device='cuda'); ssamba_ops.causal_conv1d(x, torch.ones(3, 2, device='cuda'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert "on cuda:0, so no op runs on this GPU" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize("op", OPS)
def test_runs_on_the_current_stream(op):
    """Inputs that a slow stream has not written yet: an op on another stream would read what was there before."""
    arguments = inputs()[op]
    expected = step(op, arguments)
    late = [torch.zeros_like(x) if isinstance(x, torch.Tensor) else x for x in arguments]
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(SLOW_CYCLES)
        for to, x in zip(late, arguments, strict=True):
            if isinstance(x, torch.Tensor):
                to.copy_(x)
        result = step(op, late)
    stream.synchronize()
    assert same(result, expected)


@pytest.mark.parametrize("op", OPS)
def test_graph_replays(op):
    """A captured training step, replayed on new values: nothing synchronises and nothing is left on the host."""
    arguments = inputs()[op]
    held = [x.clone() if isinstance(x, torch.Tensor) else x for x in arguments]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step(op, held)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(op, held)
    for scale in (1.0, 0.5):
        changed = [x * scale if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in arguments]
        for to, x in zip(held, changed, strict=True):
            if isinstance(x, torch.Tensor):
                to.copy_(x)
        graph.replay()
        assert same(captured, step(op, changed))


@pytest.mark.parametrize("op", OPS)
def test_does_not_wait_for_the_device(op):
    arguments = inputs()[op]
    step(op, arguments)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(op, arguments)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("op", OPS)
def test_another_device_than_the_current(op):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    assert torch.cuda.current_device() == 0
    result = step(op, inputs("cuda:1")[op])
    assert {x.device.index for x in result} == {1}
    assert torch.cuda.current_device() == 0
    assert same([x.cpu() for x in result], [x.cpu() for x in step(op, inputs()[op])])


def test_tensors_on_two_devices_are_refused():
    x, weight, bias, silu = inputs()["bi_conv1d"]
    with pytest.raises(RuntimeError, match="bi_conv1d: bias is on another device than x"):
        ssamba_ops.bi_conv1d(x, weight, bias.cpu(), silu)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_more_elements_than_a_32_bit_index_counts(dtype):
    """2^31 elements and some; the last tokens are compared with those of the last tokens alone."""
    channels, tail = 1024, 64
    length = 2**31 // channels + 100
    if torch.cuda.mem_get_info()[0] < 4 * length * channels * dtype.itemsize:
        pytest.skip("needs memory for four tensors of 2^31 elements")
    x = torch.zeros(1, length, channels, dtype=dtype, device="cuda")
    x[:, -2 * tail :] = torch.randn(1, 2 * tail, channels, generator=torch.Generator().manual_seed(0)).to(x)
    weight = torch.randn(channels, 4, generator=torch.Generator().manual_seed(1)).cuda()
    out = ssamba_ops.causal_conv1d(x, weight, silu=True)
    expected = ssamba_ops.causal_conv1d(x[:, -2 * tail :].contiguous(), weight, silu=True)
    assert torch.equal(out[:, -tail:], expected[:, -tail:])
    del out
    mask = torch.zeros(1, length, dtype=torch.bool, device="cuda")
    mask[:, -1] = True
    token = torch.ones(channels, device="cuda")
    masked = ssamba_ops.patch_mask(x, mask, token)
    assert (masked[:, -1] == 1).all()
    assert torch.equal(masked[:, -tail:-1], x[:, -tail:-1])
