"""Fixtures of the demo tests."""

import pytest

from ssamba.demo import spoken_words


@pytest.fixture
def engine():
    pytest.importorskip("espeakng_loader", reason="needs the speech engine: pip install '.[demo]'")


@pytest.fixture
def few_voices(monkeypatch, engine):
    """Four words, three training voices and one each to validate and test, so that a data set takes a moment."""
    monkeypatch.setattr(spoken_words, "WORDS", ("zero", "seven", "left", "stop"))
    voices = {"train": ("m1", "f1", "aunty"), "valid": ("f4",), "test": ("f2",)}
    monkeypatch.setattr(spoken_words, "VOICES", voices)
    return voices
