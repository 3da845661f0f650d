"""The list of faults fits the sources, and what is made of it is right. `make mutants` tries the faults themselves."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from mutants import report
from mutants.faults import all_faults
from mutants.plant import ROOT, Fault, in_file, plant, replace

FAULTS = all_faults()
FILES = sorted({fault.file for fault in FAULTS})


def fault(site: str, number: int, **fields) -> Fault:
    return Fault("kind", site, "means", file="file", number=number, **fields)


@pytest.mark.parametrize("file", FILES)
def test_faults_of_a_file_can_be_planted(file):
    """An entry fails here when the text that it changes has changed."""
    source = (ROOT / file).read_text(encoding="utf-8")
    for one in FAULTS:
        if one.file == file:
            assert replace(source, one) != source, one.name
    planted = plant(source, [one for one in FAULTS if one.file == file and not one.own])
    numbers = [f"fault_is({one.number})" for one in FAULTS if one.file == file and not one.own]
    assert all(planted.count(number) == 1 for number in numbers)


# The machine itself, the choice of an instruction set, and what only checks and passes on.
WITHOUT = {
    "csrc/cpu/causal_conv1d.cpp",
    "csrc/cpu/isa.cpp",
    "csrc/cpu/product.cpp",
    "csrc/cpu/selective_scan.cpp",
    "csrc/cuda/device.cuh",
}


def test_every_kernel_file_has_faults():
    kernels = [*(ROOT / "csrc" / "cuda").glob("*.cu*"), *(ROOT / "csrc" / "cpu").glob("*.cpp")]
    assert {path.relative_to(ROOT).as_posix() for path in kernels} - set(FILES) == WITHOUT


def test_entries_are_complete():
    assert len(FAULTS) >= 200
    assert max(one.number for one in FAULTS) < 4096  # the array in fault.h
    assert not [one.name for one in FAULTS if one.equivalent and one.survives]
    assert {one.library for one in FAULTS} == {"simt", "cpu", "launch"}


def test_an_expression_is_chosen():
    assert plant("a = b + c;", [fault("a = {{b + c => b - c}};", 7)]) == "a = (fault_is(7) ? (b - c) : (b + c));"


def test_statements_are_chosen():
    planted = plant("if (x) f(); else g();", [fault("{{f(); => }} else", 7)])
    assert planted == "if (x) { if (fault_is(7)) {  } else { f(); } } else g();"


def test_faults_of_one_place_and_within_each_other_are_chained():
    source = "return a < b ? a : b;"
    faults = [fault("{{a < b => a <= b}} ?", 1), fault("{{a < b => true}} ?", 2), fault("{{a < b ? a : b => a}};", 3)]
    assert plant(source, faults) == (
        "return (fault_is(3) ? (a) : ((fault_is(1) ? (a <= b) : ((fault_is(2) ? (true) : (a < b)))) ? a : b));"
    )


def test_faults_that_overlap_are_refused():
    with pytest.raises(ValueError, match="overlap"):
        plant("a + b + c", [fault("{{a + b => a}}", 1), fault("{{b + c => b}}", 2)])


@pytest.mark.parametrize("source", ["f(a);", "f(b); f(b);"])
def test_a_text_that_is_not_there_once_is_refused(source):
    with pytest.raises(ValueError, match="renew the entry"):
        plant(source, [fault("f({{b => c}});", 1)])


def test_lines_may_be_broken_anew():
    assert replace("f(a,\n      b);", fault("f(a, {{b => c}});", 1)) == "f(a,\n      c);"


def test_numbers_follow_each_other_and_name_the_library():
    faults = in_file("csrc/cpu/simd.h", 5, Fault("kind", "{{a => b}}", ""), Fault("kind", "{{c => d}}", ""))
    assert [(one.number, one.library, one.file) for one in faults] == [
        (5, "cpu", "csrc/cpu/simd.h"),
        (6, "cpu", "csrc/cpu/simd.h"),
    ]
    assert in_file("csrc/rows.h", 5, Fault("kind", "{{a => b}}", ""))[0].library == "simt"


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a compiler")
def test_the_number_chooses_when_running_and_never_when_compiling(tmp_path):
    source = """
    #include <cstdio>
    #include <cstdlib>
    constexpr int half(int x) { return x / 2; }
    static_assert(half(6) == 3);
    int main(int, char** arguments) {
      ssamba_fault_number = std::atoi(arguments[1]);
      int n = half(6);
      n += 10;
      std::printf("%d %d%d\\n", n, ssamba_fault_reached[1], ssamba_fault_reached[3]);
    }
    """
    faults = [fault("return {{x / 2 => x / 3}};", 1), fault("{{n += 10; => n -= 10;}}", 2)]
    (tmp_path / "main.cpp").write_text(plant(source, faults))
    header = ROOT / "tests" / "mutants" / "fault.h"
    subprocess.run(["c++", "-std=c++20", "-include", header, "main.cpp", "-o", "main"], cwd=tmp_path, check=True)
    found = [subprocess.check_output([tmp_path / "main", str(n)], text=True).strip() for n in range(3)]
    assert found == ["13 10", "12 10", "-7 10"]


def outcome(killed: bool) -> dict:
    return {"killed": killed}


def test_report_counts_by_kind(capsys):
    faults = [fault("{{a => b}}", n, equivalent="why" if n == 3 else "") for n in range(1, 4)]
    assert report.report(faults, {"1": outcome(True), "2": outcome(True), "3": outcome(False)}) == 0
    text = capsys.readouterr().out
    assert "kind 3 2 1 0" in " ".join(text.split())
    assert "2 of 2 killed, 100.0%" in text


@pytest.mark.parametrize(
    ("fields", "killed", "message"),
    [
        ({}, False, "survived without a reason: [200]"),
        ({"equivalent": "why"}, True, "said to survive, but killed: [200]"),
        ({"survives": "why"}, True, "said to survive, but killed: [200]"),
        ({}, None, "not judged: [200]"),
    ],
)
def test_report_fails(fields, killed, message, capsys):
    faults = [fault("{{a => b}}", n) for n in range(1, 200)] + [fault("{{a => b}}", 200, **fields)]
    results = {str(n): outcome(True) for n in range(1, 200)}
    if killed is not None:
        results["200"] = outcome(killed)
    assert report.report(faults, results) == 1
    assert message in capsys.readouterr().out


def test_report_fails_below_its_rate_whatever_the_reasons(capsys):
    faults = [fault("{{a => b}}", n, survives="" if n > 4 else "why") for n in range(1, 101)]
    assert report.report(faults, {str(n): outcome(n > 4) for n in range(1, 101)}) == 1
    assert "96 of 100 killed, 96.0%" in capsys.readouterr().out
