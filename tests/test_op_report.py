"""The table of the ops' benchmark."""

from __future__ import annotations

import json

import report

RUN = {
    "machine": {"cpu": "one", "threads": 2},
    "versions": {"torch": "2.13.0"},
    "rows": [
        {"group": "scan (1, 64)", "provider": "peer", "median_ms": 30.0},
        {"group": "scan (1, 64)", "provider": "ssamba", "median_ms": 2.0, "gigabytes_per_second": 5.04},
        {"group": "scan (8, 64)", "provider": "ssamba", "median_ms": 16.0},
    ],
}


def test_chosen_groups_go_between_the_marks(tmp_path, capsys):
    run, readme = tmp_path / "run.json", tmp_path / "README.md"
    run.write_text(json.dumps(RUN))
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    assert report.main([str(run), "--groups", r"\(1,", "--readme", str(readme)]) == 0
    table = capsys.readouterr().out
    assert readme.read_text() == f"before\n{report.BEGIN}\n{table.rstrip()}\n{report.END}\nafter\n"
    assert "| scan (1, 64) | ssamba | 2 | 1.00 | 5.0 GB/s |" in table
    assert "| scan (1, 64) | peer | 30 | 15.00 |  |" in table
    assert "(8, 64)" not in table
