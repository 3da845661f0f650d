"""log_mel_blocks: the log-mel of the whole file, a block at a time."""

import numpy as np
import pytest
import soundfile
import torch

from signals import sweep
from ssamba.audio import AudioFile, read_audio
from ssamba.audio.log_mel import log_mel
from ssamba.audio.log_mel_blocks import ROUNDS_ALIKE, log_mel_blocks, mean_of_blocks

BLOCK = ROUNDS_ALIKE * 160  # samples


def waves(file, rate=16000):
    return map(torch.from_numpy, file.blocks(rate, 10.0))


def blocks_of(path, rate=16000, step=1):
    with AudioFile(path) as file:
        return list(log_mel_blocks(waves(file, rate), rate, step=step))


@pytest.mark.parametrize("samples", [400, 559, 560, BLOCK + 239, BLOCK + 240, BLOCK + 399, BLOCK + 400, 2 * BLOCK + 77])
def test_together_they_are_the_whole(tmp_path, samples):
    noise = 0.01 * np.random.default_rng(0).standard_normal(samples)
    soundfile.write(tmp_path / "a.wav", sweep(samples / 16000, 16000) + noise, 16000)
    want = log_mel(read_audio(tmp_path / "a.wav"), 16000)[0]
    alike = blocks_of(tmp_path / "a.wav", step=ROUNDS_ALIKE)
    assert all(len(block) == ROUNDS_ALIKE for block in alike[:-1])
    assert torch.equal(torch.cat(alike), want)
    torch.testing.assert_close(torch.cat(blocks_of(tmp_path / "a.wav")), want, rtol=0, atol=1e-4)


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
    with AudioFile(tmp_path / "a.wav") as file:
        x = torch.cat(list(log_mel_blocks(waves(file), mean=mean_of_blocks(waves(file)))))
    want = log_mel(read_audio(tmp_path / "a.wav"), 16000, subtract_mean=True)[0]
    torch.testing.assert_close(x, want, rtol=0, atol=3e-3)
    assert (x - want).abs().mean() < 1e-5


def test_shorter_than_a_frame(tmp_path):
    soundfile.write(tmp_path / "a.wav", sweep(399 / 16000, 16000), 16000)
    with pytest.raises(ValueError, match="399 samples; one frame"):
        blocks_of(tmp_path / "a.wav")
