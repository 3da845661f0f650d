"""Real audio files, made on the spot."""

import pytest
import soundfile

from signals import sweep


@pytest.fixture
def write_wav(tmp_path):
    """write_wav(name, seconds, rate, seed) writes a mono 16-bit file below tmp_path and returns its path as text."""

    def write(name, seconds=1.0, rate=16000, seed=0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sweep(seconds, rate, seed), rate)
        return str(path)

    return write
