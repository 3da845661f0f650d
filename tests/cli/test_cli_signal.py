"""Ctrl-C on a real process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

from safetensors.torch import load_file

from tone_clips import TINY_OPTIONS


def test_ctrl_c_saves_and_says_how_to_continue(clips, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "ssamba", "pretrain", "--data", clips, "--out", run, *TINY_OPTIONS]
    command += ["--max-steps", "100000", "--log-every", "1", "--device", "cpu"]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").read_text():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.splitlines()[-1]
    assert last.startswith("ssamba: SIGINT: stopped after step ")
    assert last.endswith(f"continue with --out {run} --resume")
    assert "Traceback" not in err
    step = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert f"after step {step} of 100000" in last
    assert load_file(run / "checkpoints" / "last" / "model.safetensors")
