"""log_mel_blocks: the log-mel of the whole file, a block at a time."""

import numpy as np
import pytest
import soundfile
import torch

from signals import sweep
from ssamba.audio import AudioFile, read_audio
from ssamba.audio.log_mel import log_mel
from ssamba.audio.log_mel_blocks import BLOCK_FRAMES, log_mel_blocks

BLOCK = BLOCK_FRAMES * 160  # samples


def blocks_of(path, *args, **options):
    with AudioFile(path) as file:
        return list(log_mel_blocks(file, *args, **options))


@pytest.mark.parametrize("samples", [400, 559, 560, BLOCK + 239, BLOCK + 240, BLOCK + 399, BLOCK + 400, 2 * BLOCK + 77])
def test_together_they_are_the_whole(tmp_path, samples):
    noise = 0.01 * np.random.default_rng(0).standard_normal(samples)
    soundfile.write(tmp_path / "a.wav", sweep(samples / 16000, 16000) + noise, 16000)
    blocks = blocks_of(tmp_path / "a.wav")
    assert all(len(block) == BLOCK_FRAMES for block in blocks[:-1])
    assert torch.equal(torch.cat(blocks), log_mel(read_audio(tmp_path / "a.wav"), 16000)[0])


@pytest.mark.parametrize(("rate", "read_at"), [(44100, 16000), (8000, 16000), (44100, 32000), (16000, 8000)])
def test_of_files_and_readings_of_other_rates(tmp_path, rate, read_at):
    soundfile.write(
        tmp_path / "a.wav", sweep(25.0, rate) + 0.01 * np.random.default_rng(0).standard_normal(25 * rate), rate
    )
    x = torch.cat(blocks_of(tmp_path / "a.wav", read_at))
    torch.testing.assert_close(x, log_mel(read_audio(tmp_path / "a.wav", read_at), read_at)[0], rtol=0, atol=1e-4)


def test_less_the_mean_of_the_whole(tmp_path):
    noise = 0.01 * np.random.default_rng(0).standard_normal(25 * 16000)
    soundfile.write(tmp_path / "a.wav", sweep(25.0, 16000) + noise + np.linspace(0, 0.3, 25 * 16000), 16000)
    x = torch.cat(blocks_of(tmp_path / "a.wav", subtract_mean=True))
    want = log_mel(read_audio(tmp_path / "a.wav"), 16000, subtract_mean=True)[0]
    torch.testing.assert_close(x, want, rtol=0, atol=3e-3)
    assert (x - want).abs().mean() < 1e-5


def test_shorter_than_a_frame(tmp_path):
    soundfile.write(tmp_path / "a.wav", sweep(399 / 16000, 16000), 16000)
    assert blocks_of(tmp_path / "a.wav") == []
