"""The emulator sees what it is there to see: its kernels are right, and fail as expected with a fault planted."""

from __future__ import annotations

import pytest
import torch

import emulator

if emulator.LIBRARY is None:
    pytest.skip("needs the emulated GPU: make simt", allow_module_level=True)

# As in planted_faults.cpp.
PLANTS = (
    "none",
    "missing_barrier",
    "off_by_one_store",
    "unwritten_output",
    "divergent_barrier",
    "different_barriers",
    "shared_out_of_bounds",
    "shared_too_small",
    "early_exit",
    "lane_left_out",
    "different_calls",
    "missing_warp_barrier",
    "misaligned",
    "empty_grid",
    "unwritten_shared",
    "missing_global_barrier",
    "overlapping_blocks",
    "block_reads_another",
    "not_atomic",
    "missing_wait",
    "wait_for_too_few",
    "missing_barrier_after_wait",
    "grid_too_high",
    "default_stream",
    "no_device",
    "beyond_a_row",
    "unshared_sum",
)
# Elements of x that an op takes.
OPS = {
    "sum": 256,
    "warp_sum": 32,
    "neighbour": 32,
    "copy": 128,
    "exchange": 96,
    "blocks": 96,
    "copies": 256,
    "table": 32,
}
LIBRARY = emulator.load()


@pytest.fixture(params=emulator.SEEDS, autouse=True)
def seed(request):
    LIBRARY.ssamba_simt_seed(request.param)
    torch.use_deterministic_algorithms(True)  # fills fresh tensors with NaN
    yield request.param
    torch.use_deterministic_algorithms(False)
    LIBRARY.ssamba_simt_seed(0)


def run(op: str, plant: str) -> torch.Tensor:
    x = torch.arange(OPS[op], dtype=torch.float32)
    return getattr(torch.ops.ssamba_simt_faults, op)(x, PLANTS.index(plant))


def expected(op: str) -> torch.Tensor:
    x = torch.arange(OPS[op], dtype=torch.float32)
    if op == "neighbour":
        return x.view(-1, 2).flip(1).flatten()
    return x.sum() + x if op in ("sum", "warp_sum") else x


@pytest.mark.parametrize("op", OPS)
def test_right_kernels_run(op):
    assert torch.equal(run(op, "none"), expected(op))


def test_unwritten_shared_memory_is_poison():
    assert run("sum", "unwritten_shared").isnan().all()


def test_an_unwritten_output_is_poison():
    out = run("sum", "unwritten_output")
    assert out.isnan().nonzero().flatten().tolist() == [255]


def test_what_a_copy_brings_is_poison_before_its_wait():
    assert run("copies", "missing_wait").isnan().nonzero().flatten().tolist() == list(range(128, 256))


@pytest.mark.parametrize(
    ("op", "plant", "message"),
    [
        ("sum", "off_by_one_store", r"thread \(255, 0, 0\): heap-buffer-overflow, WRITE of size 4 in sum_kernel.*cpp:"),
        (
            "sum",
            "missing_barrier",
            r"race at byte \d+ of shared memory: (read|written) at planted_faults\.cpp:\d+, (read|written) at "
            r"planted_faults\.cpp:\d+ by thread \d+, with no barrier between",
        ),
        ("neighbour", "missing_warp_barrier", r"race at byte \d+ of shared memory: .* with no barrier between"),
        ("sum", "shared_out_of_bounds", r"heap-buffer-overflow, READ of size 4 in sum_kernel .*planted_faults\.cpp:"),
        ("sum", "shared_too_small", "shared memory of 1024 bytes is used, but the launch gave 1020"),
        (
            "sum",
            "divergent_barrier",
            r"deadlock\. Threads at a barrier: 0 to 69 at planted_faults\.cpp:\d+, 71 to 255 .*; left: 70",
        ),
        ("sum", "different_barriers", r"\.cpp:\d+: the threads of the block wait at different barriers; the .*cpp"),
        ("warp_sum", "early_exit", "a shuffle with mask 0xffffffff, but lanes 0x8 have left the kernel or never were"),
        ("warp_sum", "lane_left_out", "a lane calls a shuffle with mask 0x7fffffff, which leaves it out"),
        ("warp_sum", "different_calls", "lanes of a warp meet in different calls: .*lane 5 is in __syncwarp|a shuffle"),
        ("copy", "misaligned", r"\.cpp:\d+: misaligned access: address 0x\w+ is no multiple of 16, as .*float4"),
        (
            "exchange",
            "missing_global_barrier",
            r"race at byte \d+ of 384 in global memory: (read|written) at planted_faults\.cpp:\d+, (read|written) at "
            r"planted_faults\.cpp:\d+ by thread \d+, with no barrier between",
        ),
        ("blocks", "overlapping_blocks", r"race at byte 124 of 384 in global memory: written .* nothing orders blocks"),
        ("blocks", "block_reads_another", r"race at byte 256 of 384 in global memory: .* nothing orders blocks"),
        ("blocks", "not_atomic", r"race at .*global memory: (read|written) .* nothing orders blocks"),
        ("copies", "missing_barrier_after_wait", r"race at byte \d+ of shared memory: .* with no barrier between"),
        ("copies", "wait_for_too_few", r"race at byte \d+ of shared memory: .* with no barrier between"),
        ("table", "beyond_a_row", r"\.cpp:\d+: index \d+ lies outside 'float \[32\]'"),
        ("table", "unshared_sum", r"race at byte \d+ of shared memory: .* with no barrier between"),
        ("sum", "grid_too_high", r"invalid launch: grid \(1, 4, 1\)"),
        ("sum", "default_stream", "a launch on another stream than torch's current one"),
        ("sum", "no_device", "a launch while the tensors' device is not the current one"),
        ("sum", "empty_grid", r"invalid launch: grid \(0, 1, 1\), block \(256, 1, 1\), 1024 bytes of shared memory"),
    ],
)
def test_a_planted_fault_is_reported(op, plant, message):
    with pytest.raises(RuntimeError, match=f"emulator: {op}_kernel, block .*{message}"):
        run(op, plant)
    assert torch.equal(run(op, "none"), expected(op)), "a fault must not outlive its launch"


def test_the_same_seed_gives_the_same_report():
    reports = []
    for _ in range(2):
        with pytest.raises(RuntimeError) as report:
            run("sum", "different_barriers")
        reports.append(str(report.value).splitlines()[0])
    assert reports[0] == reports[1]
