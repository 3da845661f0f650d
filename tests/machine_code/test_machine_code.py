"""Machine code read, counted and judged: two kernels written by hand. Needs neither nvcc nor a disassembler."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import budget as budgets
import check
import rules
import tables
from counts import count, kinds, largest_loop, per_token, tile_path, width
from flow import Flow
from sass import Instruction, demangle, parse, short_name

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCAN, SUM = "selective_scan_kernel<float, 8 lanes, 64 threads, true>", "sum_partials_kernel<double>"
BREACHES = (
    *((rule, SUM) for rule in ("local", "calls", "atomics")),
    *((rule, SCAN) for rule in ("exponentials", "loads", "stores")),
)
NVCC = "13.0.88"

pytestmark = pytest.mark.skipif(shutil.which("c++filt") is None, reason="needs c++filt")


@pytest.fixture
def kernels():
    return demangle(list(parse((HERE / "fixture.sass").read_text().splitlines())))


@pytest.fixture
def scan(kernels):
    return kernels[0]


@pytest.fixture
def budget(kernels):
    """A budget of exactly the fixture, with exceptions for what is wrong with it."""
    exceptions = [
        {"rule": rule, "kernels": name, "architectures": "sm_90", "reason": "made up"} for rule, name in BREACHES
    ]
    return {"nvcc": NVCC, "exceptions": exceptions, **check.counted(kernels)}


def test_names_and_ends(kernels):
    assert [(kernel.architecture, kernel.name) for kernel in kernels] == [("sm_90", SCAN), ("sm_90", SUM)]
    assert kernels[0].instructions[-1].address == 0x1F0  # neither the branch to itself nor the NOP
    assert short_name("void f<(int)4, __nv_bfloat16, (bool)1>(ssamba::Args)") == "f<4, bf16, 1>"


def test_instructions(scan):
    branch = scan.instructions[7]
    assert branch == Instruction(0x70, "!P0", "BRA", "0xb0")
    assert (branch.target, branch.conditional) == (0xB0, True)
    assert not scan.instructions[10].conditional
    assert [width(one) for one in scan.instructions if one.name == "LDG"] == [64, 128, 32, 32]


def test_loop_is_one_that_every_way_enters_at_its_head(scan):
    """The block behind the end branches back, to an address before it, and is no loop of its own."""
    flow = Flow(scan.instructions)
    (loop,) = flow.loops()
    assert flow.blocks[loop.head].instructions[0].address == 0x20
    assert sum(1 for _ in flow.instructions(loop.blocks)) == 27


def test_tile_goes_past_edges_states_and_parted_lanes(scan):
    flow = Flow(scan.instructions)
    loop = largest_loop(flow)
    tile = [one.address for one in tile_path(flow, loop)]
    assert tile == [*range(0x20, 0x80, 0x10), 0x80, 0x90, 0xA0, 0x110, 0x160, 0x170, 0x180, 0x190]
    saving = [one.address for one in tile_path(flow, loop, saving=True)]
    assert set(saving) - set(tile) == {0x120, 0x130, 0x140, 0x150}
    assert len(flow.longest_path(loop)) > len(flow.longest_path(loop, longest=False))


def test_counts(kernels):
    assert count(kernels[0]) == {
        "instructions": 32, "barriers": 4, "shuffles": 2, "exponentials": 1,
        "LDG.128": 1, "LDG.64": 1, "LDG.32": 2, "STG.64": 1, "STG.32": 2, "loop": 27, "tile": 14, "saving": 18,
    }  # fmt: skip
    assert count(kernels[1]) == {"instructions": 10, "local": 2, "calls": 1, "atomics": 1, "barriers": 1}


def test_what_a_token_takes(scan):
    """A tile's 16 tokens of one channel are walked by 8 lanes."""
    assert per_token(14, SCAN) == 7
    assert kinds(scan.instructions)["shuffles"] == 2
    assert kinds([Instruction(0, "", "IMAD.MOV.U32", ""), Instruction(0, "", "IMAD.WIDE", "")]) == {
        "moves": 1,
        "integer arithmetic": 1,
    }


def test_a_call_that_nobody_returns_from_is_a_jump(kernels):
    flow = Flow(kernels[1].instructions)
    assert [one.address for one in flow.calls()] == [0x10]
    (loop,) = flow.loops()  # left by the jump
    assert flow.blocks[loop.head].instructions[0].address == 0x20


def test_tables_through_which_a_branch_goes_are_refused():
    with pytest.raises(ValueError, match="targets are not known"):
        Flow([Instruction(0, "", "BRX", "R2 -0x10")])


def test_every_rule_is_broken_somewhere(kernels):
    broken = {(breach.rule, breach.kernel) for kernel in kernels for breach in rules.breaches(kernel)}
    assert broken == set(BREACHES)


def test_barriers_are_as_many_as_the_source_says(scan):
    assert not [breach for breach in rules.breaches(scan) if breach.rule == "barriers"]
    scan.instructions = [one for one in scan.instructions if one.address != 0x1A0]
    (breach,) = (breach for breach in rules.breaches(scan) if breach.rule == "barriers")
    assert breach.said == "3 barriers, where its source says 4"


def test_the_sources_have_the_barriers_that_were_counted():
    """A barrier more or less in a source must be counted in rules.py."""
    expected = {file: number for _, file, number, _, _ in rules.BARRIERS}
    for file in sorted((ROOT / "csrc/cuda").iterdir()):
        assert file.read_text().count("__syncthreads()") == expected.get(file.name, 0), file.name


def test_packs_that_the_source_means():
    """Forward with 4 lanes, 4 channels to a pack: u, delta, z in 8 bytes, B and C in 8, the other's sums in 16."""
    loads, stores = rules.scan_accesses("selective_scan_kernel<bf16, 4 lanes, 64 threads, true>")
    assert (loads, stores) == ({64: 5, 128: 1}, {64: 1, 128: 1})
    assert rules.pack_loads("causal_conv1d_kernel<float, 4, 2, 4>") == {128: 14}
    assert rules.pack_loads("causal_conv1d_kernel<float, 4, 2, 1>") == {}
    assert rules.exponentials("selective_scan_kernel<bf16, 4 lanes, 64 threads, true>") == 64 + 8


def test_a_budget_that_is_kept(kernels, budget):
    assert check.judge(kernels, budget, NVCC) == ([], [])


def test_an_exception_must_have_a_reason(kernels, budget):
    budget["exceptions"][1]["reason"] = " "
    failures, _ = check.judge(kernels, budget, NVCC)
    assert len(failures) == 1
    assert f"{SUM} breaks the rule 'calls': it has 1 calls of subroutines" in failures[0]


def test_an_exception_that_is_not_needed_is_said(kernels, budget):
    budget["exceptions"].append({"rule": "local", "kernels": SCAN, "architectures": "sm_90", "reason": "once"})
    assert check.judge(kernels, budget, NVCC)[1] == [
        f"no kernel breaks the rule 'local' as {SCAN} was allowed to: drop the exception"
    ]


@pytest.mark.parametrize(("key", "allowed"), [("tile", 13), ("barriers", 3), ("shuffles", 1), ("loop", 26)])
def test_a_number_above_its_budget_fails(kernels, budget, key, allowed):
    found = budget["sm_90"][SCAN][key]
    budget["sm_90"][SCAN][key] = allowed
    failures, _ = check.judge(kernels, budget, NVCC)
    assert failures == [
        f"sm_90: {SCAN} has {key} {found}, its budget is {allowed}: if that is meant, run with --update --reason TEXT, "
        "which says why in the entry"
    ]


def test_tolerance_is_for_instructions_alone():
    assert not budgets.above("loop", 102, 100)
    assert budgets.above("loop", 103, 100)
    assert budgets.above("barriers", 101, 100)


def test_a_number_far_below_its_budget_is_said(kernels, budget):
    budget["sm_90"][SCAN]["loop"] = 30
    assert check.judge(kernels, budget, NVCC) == (
        [],
        [f"sm_90: {SCAN} has loop 27, its budget is 30: tighten it with --update"],
    )


def test_kernels_without_budget_and_budgets_without_kernel(kernels, budget):
    budget["sm_90"]["gone"] = budget["sm_90"].pop(SUM)
    failures, notes = check.judge(kernels, budget, NVCC)
    assert failures == [f"sm_90: {SUM} has no budget: add it with --update --reason TEXT"]
    assert notes == ["sm_90: gone is no longer built: --update drops it"]


def test_another_compiler_is_judged_by_rules_alone(kernels, budget):
    budget["sm_90"][SCAN]["tile"] = 1
    failures, notes = check.judge(kernels, budget, "13.9.1")
    assert failures == []
    assert notes == ["the budget's numbers are of nvcc 13.0.88, this is 13.9.1: only the rules were judged"]
    budget["exceptions"] = budget["exceptions"][1:]
    assert len(check.judge(kernels, budget, "13.9.1")[0]) == 1


def test_an_architecture_without_budget_is_judged_by_rules_alone(kernels, budget):
    del budget["sm_90"]
    assert check.judge(kernels, budget, NVCC) == (
        [],
        ["sm_90 has no budget: only the rules were judged; --update adds it"],
    )


def test_update_refuses_to_grow_without_a_reason(kernels, budget):
    budget["sm_90"][SCAN]["tile"] = 10
    before = json.dumps(budget)
    assert check.update(kernels, budget, NVCC, None) == [f"sm_90: {SCAN} would grow in tile"]
    assert json.dumps(budget) == before
    assert check.update(kernels, budget, NVCC, "a state more") == []
    assert budget["sm_90"][SCAN]["tile"] == 14
    assert budget["sm_90"][SCAN]["reason"] == "a state more"
    assert "reason" not in budget["sm_90"][SUM]


def test_update_tightens_and_keeps_reasons(kernels, budget):
    budget["sm_90"][SCAN].update(tile=99, reason="once needed")
    assert check.update(kernels, budget, NVCC, None) == []
    assert budget["sm_90"][SCAN]["tile"] == 14
    assert budget["sm_90"][SCAN]["reason"] == "once needed"


def test_a_budget_is_read_as_it_was_written(tmp_path, budget):
    budgets.write(tmp_path / "budget.json", budget)
    assert budgets.read(tmp_path / "budget.json") == budget
    assert sum(SCAN in line for line in (tmp_path / "budget.json").read_text().splitlines()) == 4


def test_the_budget_that_is_committed():
    """Every exception has a reason, and every architecture the same kernels."""
    committed = budgets.read(check.BUDGET)
    assert all(exception["reason"].strip() for exception in committed["exceptions"])
    assert set(committed["sm_80"]) == set(committed["sm_90"]) == set(committed["sm_100"])
    assert {name.split("<")[0] for name in committed["sm_90"]} >= {
        "selective_scan_kernel", "selective_scan_backward_kernel", "causal_conv1d_kernel",
        "causal_conv1d_backward_kernel", "patch_mask_kernel", "patch_mask_backward_kernel", "sum_partials_kernel",
        "sample_patch_mask_kernel",
    }  # fmt: skip


def test_peer_is_counted_like_ours(scan):
    """Its kernel for a length, and instructions a token: both loops, the state loop 16 times."""
    assert [tables.peer_layout(length) for length in (100, 513, 1025)] == [(32, 4), (64, 16), (128, 16)]
    code = [
        "MOV R0, R0", "FADD R1, R1, R1", "FMUL R2, R2, R2", "@P0 BRA 0x20", "@P1 BRA 0x10", "EXIT",
    ]  # fmt: skip
    lines = [f"        /*{16 * i:04x}*/ {one} ;" for i, one in enumerate(code)]
    (kernel,) = parse(["\tcode for sm_90", "\t\tFunction : k", *lines])
    most, least, whole, padding = tables.peer_counts(kernel, 513)
    assert padding == pytest.approx(1024 / 513)
    assert most == least == whole == pytest.approx((2 * 16 + 2) / 16 * 1024 / 513)
