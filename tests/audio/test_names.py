"""Names of files in messages: readable where they are text, escaped where they are not."""

import os

import pytest

from ssamba.audio.names import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a b/-c 'd'.wav", "a b/-c 'd'.wav"),
        ("café/naïve ü.wav", "café/naïve ü.wav"),
        ("cafe\u0301.wav", "cafe\u0301.wav"),
        ("日本語.wav", "日本語.wav"),
        (os.fsdecode(b"caf\xe9.wav"), r"caf\xe9.wav"),
        ("two\nlines\t.wav", r"two\nlines\t.wav"),
        ("\x1b[31mred.wav", r"\x1b[31mred.wav"),
        ("\ud800.wav", r"\ud800.wav"),
    ],
)
def test_printable(name, shown):
    assert printable(name) == shown
    assert printable(name).encode()  # any terminal of UTF-8 takes it
