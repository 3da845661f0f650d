"""What a person sees while files are read."""

from __future__ import annotations

import io
import sys

from ssamba.training.progress import SoundProgress, say, shows_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_moves_with_the_seconds_of_a_file(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = SoundProgress(2, "predicting")
    shown = []
    for _ in range(3):
        progress.heard(1200, duration=3600)
        shown.append(progress._bar.n)
    progress.file_done()
    progress.heard(10, duration=5)  # a header that says too little
    shown.append(progress._bar.n)
    progress.file_done()
    assert [round(n, 3) for n in shown] == [0.333, 0.667, 1, 2]
    assert str(progress._bar).startswith("predicting 100%|")
    assert "2.0/2 files" in str(progress._bar)
    assert "1:00:10 of sound" in str(progress._bar)
    progress.close()


def test_without_stderr_there_is_nobody_to_tell(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert not shows_progress(quiet=False)
    say("a line")
    progress = SoundProgress(1, "predicting")
    progress.heard(1, 1)
    progress.close()
