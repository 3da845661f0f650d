"""Tables, lines and pictures say what the rows say."""

from __future__ import annotations

import pytest

from ssamba.bench.charts import write_charts
from ssamba.bench.readme_section import replace_section
from ssamba.bench.report import BEGIN, END, r_squared, readme_part, report
from ssamba.bench.results import new_results, read_results, write_results


@pytest.fixture
def results(row):
    rows = [
        row("ssamba", 0.5, floor={"products": 0.2, "scans": 0.15, "bytes": 0.05}),
        row("SSAST sdpa", 0.25, peak_bytes=3 * 2**20),
        row("SSAST explicit", status="out of memory", why="2 GB | more"),
        row("ssamba", 2.0, tokens=2052),
        row("SSAST sdpa", 4.0, tokens=2052),
        row("ssamba", 4.0, tokens=4104),
    ]
    return new_results(rows, threads=2, isa="avx2")


def test_ratios_floor_and_reasons(results):
    lines = report(results).splitlines()
    ours = "| tiny 1 x 513 float32 | ssamba | 500 | 1 | 1.00 × | 1.00 × | "
    assert ours + "80% of the floor (products 200, scans 150, bytes 50 ms) |" in lines
    assert "| tiny 1 x 513 float32 | SSAST sdpa | 250 | 3 | 0.50 × | 3.00 × |  |" in lines
    assert "| tiny 1 x 513 float32 | SSAST explicit |  |  |  |  | out of memory: 2 GB / more |" in lines
    assert "| tiny 1 x 2052 float32 | SSAST sdpa | 4000 | 1 | 2.00 × | 1.00 × |  |" in lines
    assert lines[0].startswith(f"Measured on 2 threads of: {results['machine']['cpu']} (avx2); torch")
    assert any("513 to 4104, is a straight line with R² = 1.00000" in line for line in lines)


def test_r_squared():
    assert r_squared([(1, 2.0), (2, 4.0), (3, 6.0)]) == pytest.approx(1)
    assert r_squared([(1, 1.0), (2, 4.0), (3, 9.0), (4, 16.0)]) == pytest.approx(125 / 129)


def test_results_survive_the_file(results, tmp_path):
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results
    assert {"torch", "mambapy"} <= set(results["versions"])
    assert results["machine"]["cpu"]
    assert results["machine"]["isa"] == "avx2"


@pytest.mark.parametrize(("text", "message"), [("{", "no JSON"), ("[1]", "no results of `ssamba bench`")])
def test_broken_results(tmp_path, text, message):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_results(tmp_path / "results.json")


def test_readme_between_its_marks(results, row, tmp_path):
    more = [("SSAST sdpa", 0.3, {}), ("ssamba", 0.2, {"size": "base"}), ("published mambapy", 3.0, {"tokens": 4096})]
    rows = [*results["rows"], *(row(provider, seconds, **other) for provider, seconds, other in more)]
    rows += [row("ssamba", 4.0, tokens=4096), row("SSAST sdpa", status="out of memory", why="2 GB", tokens=4096)]
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        replace_section(readme, BEGIN, END, readme_part({**results, "rows": rows}))
        text = readme.read_text()
        assert text.startswith(f"before\n{BEGIN}\nMeasured on 2 threads")
        assert text.endswith(f"|\n{END}\nafter\n")
        assert "old" not in text
    assert text.splitlines()[6:-2] == [
        "| encode 10 s (513 tokens) | 500 ms, 1 MiB | 0.60 ×, 1.00 × |  |",
        "| encode 82 s (4,096 tokens) | 4000 ms, 1 MiB | out of memory | 0.75 ×, 1.00 × |",
    ]
    readme.write_text("no marks")
    with pytest.raises(ValueError, match="has no line"):
        replace_section(readme, BEGIN, END, "text")


def test_pictures_only_of_more_than_one_length(results, row, tmp_path):
    results["rows"].append(row("ssamba", 1.0, size="base"))
    (path,) = write_charts(results, tmp_path)
    assert path.name == "encoder-tiny-1-float32.png"
    assert path.read_bytes().startswith(b"\x89PNG")
