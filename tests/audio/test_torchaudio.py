"""log_mel against torchaudio itself.

torchaudio is no dependency: its wheels need a matching build of torch. Where it does not import these tests are
skipped, and the golden features in test_log_mel.py, which torchaudio computed, stand for it.
"""

from __future__ import annotations

import pytest
import torch

from signals import sweep
from ssamba.audio.log_mel import log_mel

kaldi = pytest.importorskip("torchaudio.compliance.kaldi")


def fbank(wave):
    """The published features of wave (samples,), before padding."""
    options = {"htk_compat": True, "use_energy": False, "window_type": "hanning", "num_mel_bins": 128, "dither": 0.0}
    return kaldi.fbank(wave[None], sample_frequency=16000, frame_shift=10, **options)


@pytest.mark.parametrize("samples", [400, 559, 560, 16000, 163840])
def test_equals_torchaudio(samples):
    wave = torch.from_numpy(sweep(samples / 16000, 16000, 3))[:samples]
    wave = wave - wave.mean()
    wanted, found = fbank(wave.double()), log_mel(wave.double(), 16000)[0]
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < 5e-4  # torchaudio's window and filters are float32 even so
    narrow = (log_mel(wave.float(), 16000)[0] - fbank(wave.float())).abs()
    assert narrow.max() < 1e-2
    assert narrow.flatten().quantile(0.99) < 1e-3


def test_silence_and_the_empty_filter_are_the_same():
    assert torch.equal(log_mel(torch.zeros(2000), 16000)[0], fbank(torch.zeros(2000)))
    noise = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(log_mel(noise, 16000)[0][:, 3], fbank(noise)[:, 3])
