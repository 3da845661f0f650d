"""Features and loading: clips of noise, in memory and as files."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio.log_mel import SAMPLE_RATE, log_mel, mel_filters
from ..data import AudioDataset, FeatureCache, make_loader, read_manifest
from ..data.loader import log_mel_of
from .case import Case
from .work import Work

SECONDS = 10.24  # 1022 frames
FILES = 64


def features(case: Case) -> Work:
    """Log-mel of a batch on one core: at once, or clip by clip as torchaudio computes it."""
    torch.set_num_threads(1)
    waves = torch.randn(case.batch, round(SECONDS * SAMPLE_RATE)) / 10
    if case.provider == "ssamba":
        return Work(lambda: log_mel(waves, SAMPLE_RATE))
    one = _torchaudio_fbank() if case.provider == "torchaudio" else kaldi_fbank
    return Work(lambda: [one(wave) for wave in waves])


def kaldi_fbank(wave: Tensor) -> Tensor:
    """One clip (samples,) by the steps of `torchaudio.compliance.kaldi.fbank`, which makes window and filters anew."""
    frames = wave.as_strided((1 + (len(wave) - 400) // 160, 400), (160, 1))
    frames = frames - frames.mean(dim=1, keepdim=True)
    frames = frames - 0.97 * F.pad(frames.unsqueeze(0), (1, 0), mode="replicate").squeeze(0)[:, :-1]
    frames = F.pad(frames * torch.hann_window(400, periodic=False).unsqueeze(0), (0, 112))
    power = torch.fft.rfft(frames).abs().pow(2.0)
    filters = torch.from_numpy(mel_filters()).float()
    return torch.max(power @ filters, torch.tensor(2.0**-23)).log()


def _torchaudio_fbank():
    try:
        from torchaudio.compliance.kaldi import fbank
    except OSError as error:  # installed, but made for another torch
        raise ImportError(f"torchaudio does not load beside this torch: {error}") from error
    options = {"htk_compat": True, "use_energy": False, "window_type": "hanning", "num_mel_bins": 128, "dither": 0.0}
    return lambda wave: fbank(wave[None], sample_frequency=SAMPLE_RATE, frame_shift=10, **options)


def loading(case: Case) -> Work:
    """An epoch of 64 wav files of 10.24 s, in batches of log-mel, as training reads them."""
    resources = ExitStack()
    folder = Path(resources.enter_context(tempfile.TemporaryDirectory()))
    random = np.random.default_rng(0)
    for index in range(FILES):
        samples = (random.standard_normal(round(SECONDS * SAMPLE_RATE)) / 10).astype(np.float32)
        soundfile.write(folder / f"{index}.wav", samples, SAMPLE_RATE)
    dataset = AudioDataset(
        read_manifest(folder),
        seconds=10.0,
        random_crop=True,
        cache=case.provider == "ssamba cached",
        feature_cache=FeatureCache(folder / "features") if case.provider == "ssamba feature cache" else None,
    )
    workers = 2 if "workers" in case.provider else 0
    loader = make_loader(dataset, case.batch, shuffle=True, seed=0, num_workers=workers)

    def epoch() -> int:
        return sum(len(log_mel_of(batch, SAMPLE_RATE)[0]) for batch in loader)

    return Work(epoch, notes={"clips": FILES}, resources=resources)
