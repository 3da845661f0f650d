"""`ssamba doctor` says what decodes sound here, or how to get it."""

import io
import sys

import pytest
import soundfile

from ssamba.cli import diagnosis


def decoders() -> str:
    stream, advice = io.StringIO(), []
    diagnosis._decoders(stream, advice)
    assert not advice
    return stream.getvalue()


def test_both_are_named():
    av = pytest.importorskip("av", reason="needs PyAV: pip install '.[formats]'")
    libsndfile, ffmpeg = soundfile.__libsndfile_version__, av.ffmpeg_version_info
    assert decoders() == f"decoders         libsndfile {libsndfile}; FFmpeg {ffmpeg} by PyAV {av.__version__}\n"


def test_how_to_get_ffmpeg(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert decoders().endswith("; no FFmpeg; pip install 'ssamba[formats]' if you want m4a, wma, webm and the like\n")


def test_in_the_report(monkeypatch):
    monkeypatch.setattr(diagnosis, "_kernels", lambda stream, advice: None)
    stream = io.StringIO()
    assert diagnosis.run(stream) == 0
    assert sum(line.startswith("decoders ") for line in stream.getvalue().splitlines()) == 1
