"""The speech engine: repeatable, audible, distinct sounds, and one clear error for each thing that can go wrong."""

import re
import subprocess
import sys

import numpy as np
import pytest

from ssamba.demo import speech_engine
from ssamba.demo.speech_engine import SpeechEngineError, Utterance, speak

pytestmark = pytest.mark.usefixtures("engine")
SEVEN = Utterance("seven", "en-us", "f2")


def duration(utterance: Utterance) -> float:
    (samples,), rate = speak([utterance])
    return len(samples) / rate


def test_the_same_utterances_give_the_same_samples():
    utterances = [SEVEN, Utterance("yes", "en", "m3"), Utterance("yes", "en-029", "whisper"), SEVEN]
    first, rate = speak(utterances)
    second, _ = speak(utterances)
    assert rate == 22050
    assert len(first) == len(utterances)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_words_voices_and_settings_sound_different_and_are_not_silent():
    utterances = [
        SEVEN,
        Utterance("six", "en-us", "f2"),
        Utterance("seven", "en-us", "m3"),
        Utterance("seven", "en-gb-scotland", "f2"),
        Utterance("seven", "en-us", "f2", pitch=85),
    ]
    spoken, rate = speak(utterances)
    for samples in spoken:
        assert 0.1 < len(samples) / rate < 1.5
        assert np.sqrt(np.mean(samples.astype(float) ** 2)) > 300  # of 32768
    shortest = min(map(len, spoken))
    for index, one in enumerate(spoken):
        for other in spoken[index + 1 :]:
            assert not np.array_equal(one[:shortest], other[:shortest])


def test_rate_is_in_words_per_minute():
    slow, fast = (duration(Utterance("seven", "en-us", "m3", rate=rate)) for rate in (120, 240))
    assert 1.5 < slow / fast < 3.0


def test_no_utterances_are_no_samples():
    assert speak([])[0] == []


@pytest.mark.parametrize(
    ("utterance", "message"),
    [
        (Utterance("one", "en-us", "nobody"), "no voice variant 'nobody'"),
        (Utterance("one", "en-moon", "f2"), "no voice 'en-moon\\+f2'"),
        (Utterance("", "en-us", "f2"), "said nothing"),
    ],
)
def test_what_the_engine_cannot_say_is_named(utterance, message):
    with pytest.raises(SpeechEngineError, match=message):
        speak([utterance])


def test_a_crash_of_the_engine_is_one_clear_error(monkeypatch):
    def crash(command, **options):
        return subprocess.CompletedProcess(command, -11, "", "")

    monkeypatch.setattr(speech_engine.subprocess, "run", crash)
    with pytest.raises(SpeechEngineError, match=r"crashed \(SIGSEGV\).*pip install"):
        speak([SEVEN])


def test_an_engine_that_hangs_is_stopped(monkeypatch, tmp_path):
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(speech_engine, "__file__", str(sleeper))
    with pytest.raises(SpeechEngineError, match="did not say 1 words within 0 s"):
        speak([SEVEN], seconds_allowed=0.3)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ("raise ImportError('none')", "the eSpeak NG engine is not installed.*pip install"),
        (
            "def get_library_path(): return 'missing.so'\ndef get_data_path(): return '.'",
            "cannot load the eSpeak NG library missing.so",
        ),
    ],
)
def test_a_missing_engine_says_what_to_install(monkeypatch, tmp_path, loader, message):
    (tmp_path / "espeakng_loader.py").write_text(loader)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SpeechEngineError, match=message):
        speak([SEVEN])


def test_the_version_is_asked_of_the_installed_engine(monkeypatch):
    assert re.fullmatch(r"\d+\.\d+.*", speech_engine.engine_version())

    def absent(name):
        raise speech_engine.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(speech_engine.metadata, "version", absent)
    with pytest.raises(SpeechEngineError, match=r"not installed.*pip install"):
        speech_engine.engine_version()


def test_missing_voice_data_is_one_clear_error(monkeypatch, tmp_path):
    import espeakng_loader

    (tmp_path / "espeakng_loader.py").write_text(
        f"def get_library_path(): return {espeakng_loader.get_library_path()!r}\n"
        f"def get_data_path(): return {str(tmp_path / 'nowhere')!r}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SpeechEngineError, match=r"cannot start with its data at .*nowhere"):
        speak([SEVEN])


def test_voice_data_in_a_deep_folder_is_found(monkeypatch, tmp_path):
    import espeakng_loader

    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    (deep / "espeak-ng-data").symlink_to(espeakng_loader.get_data_path(), target_is_directory=True)
    (tmp_path / "espeakng_loader.py").write_text(
        f"def get_library_path(): return {espeakng_loader.get_library_path()!r}\n"
        f"def get_data_path(): return {str(deep / 'espeak-ng-data')!r}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    expected, _ = speak([SEVEN])
    monkeypatch.delenv("PYTHONPATH")
    actual, _ = speak([SEVEN])
    np.testing.assert_array_equal(actual[0], expected[0])


def test_the_engine_program_needs_nothing_of_the_package():
    code = f"import sys; sys.argv = ['x']; import runpy; runpy.run_path({speech_engine.__file__!r}, run_name='engine')"
    done = subprocess.run([sys.executable, "-I", "-c", f"{code}; assert 'torch' not in sys.modules"], check=False)
    assert done.returncode == 0
