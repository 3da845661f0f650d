"""What a signal does to a command: a line and an exit code, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from ssamba.cli.signals import Stopped, stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("verb", ["stats", "evaluate"])
def test_verbs_that_keep_nothing_say_that_they_were_stopped(ssamba, monkeypatch, number, verb):
    monkeypatch.setattr(f"ssamba.cli.{verb}.run", lambda args: os.kill(os.getpid(), number))
    assert ssamba(verb, "--data", "x") == (128 + number, "", f"ssamba: {number.name}: stopped\n")


def test_an_ignored_signal_stays_ignored():
    """As nohup wants it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        with pytest.raises(Stopped), stopping():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_while_modules_are_imported_nothing_can_swallow_it(tmp_path):
    (tmp_path / "swallows.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    pass\n"
    )
    script = "from ssamba.cli.signals import stopping\nwith stopping():\n    import swallows\nprint('went on')"
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "ssamba: SIGINT: stopped\n")
