"""Standard output and error that are closed, full, ASCII, or read by nobody."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys

import pytest

from ssamba.cli import main


class Broken(io.StringIO):
    """A stream that cannot be written."""

    def __init__(self, error: OSError):
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


GONE = BrokenPipeError(errno.EPIPE, "Broken pipe")
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("stream", "reason"),
    [(Broken(GONE), "its reader has gone"), (Broken(FULL), "No space left on device"), (None, "closed")],
)
@pytest.mark.parametrize("verb", ["predict", "--help"])
def test_output_that_cannot_be_written(finetuned, clips, monkeypatch, capsys, stream, reason, verb):
    line = [verb, "--checkpoint", str(finetuned), str(clips / "low")] if verb == "predict" else [verb]
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(line) == 1
    assert capsys.readouterr().err == f"ssamba: error: standard output: {reason}\n"


@pytest.mark.parametrize("stream", [None, Broken(FULL)])
def test_without_stderr_the_work_is_done(finetuned, clips, monkeypatch, capsys, tmp_path, stream):
    (tmp_path / "bad.wav").write_bytes(b"")
    for line, code in [
        (["predict", "--checkpoint", str(finetuned), str(clips / "low"), str(tmp_path)], 1),
        (["stats", "--data", str(clips)], 0),
        (["evaluate", "--checkpoint", str(finetuned), "--data", str(clips)], 0),
        (["stats", "--data", str(tmp_path / "nowhere")], 2),
    ]:
        monkeypatch.setattr(sys, "stderr", stream)
        assert main(line) == code
        assert bool(capsys.readouterr().out) == (code < 2)
        assert sys.stderr is stream


def test_names_that_are_not_utf8_come_out_with_backslashes(monkeypatch):
    from ssamba.cli.results.row_printers import Table
    from ssamba.cli.streams import usable_streams

    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    with usable_streams():
        Table([]).add({"file": os.fsdecode(b"caf\xe9.wav"), "labels": [{"label": "ü", "score": 1}]})
    assert output.buffer.getvalue() == rb"caf\xe9.wav  \xfc 1.000" + b"\n"
    assert output.errors == "strict"


@pytest.mark.skipif(os.name != "posix", reason="closes descriptors")
def test_a_process_whose_reader_has_gone():
    """Nothing is left in a buffer, which would fail at exit, after `main`."""
    read, write = os.pipe()
    os.close(read)
    for buffered in ("", "1"):
        run = subprocess.run(
            [sys.executable, "-m", "ssamba", "--help"],
            stdout=write,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
        )
        assert (run.returncode, run.stderr) == (1, b"ssamba: error: standard output: its reader has gone\n")
    os.close(write)


@pytest.mark.skipif(os.name != "posix", reason="closes descriptors")
def test_what_c_libraries_print_goes_into_no_file():
    """Without a descriptor 2 the first file that is opened would become what they take for stderr."""
    script = (
        "import os, tempfile; from ssamba.cli.streams import usable_streams\n"
        "with usable_streams(), tempfile.TemporaryFile() as file:\n    print(file.fileno())"
    )
    run = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&- <&-', sys.executable, script], capture_output=True, text=True
    )
    assert int(run.stdout) > 2
