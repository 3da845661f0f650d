"""dataset_statistics against the direct computation over all frames at once."""

import numpy as np
import pytest
import soundfile
import torch

from ssamba.audio.log_mel import log_mel
from ssamba.audio.reading import AudioError, read_audio
from ssamba.data import AudioDataset, Clip, Manifest, dataset_statistics


@pytest.fixture
def manifest(write_wav):
    lengths = [0.4, 1.3, 0.2, 0.77, 2.0, 0.5, 1.0]
    return Manifest([Clip(write_wav(f"{i}.wav", s, 16000, i)) for i, s in enumerate(lengths)])


def direct(paths):
    frames = torch.cat([log_mel(read_audio(path), 16000)[0] for path in paths]).double().numpy()
    return frames.mean(), frames.std(), len(frames)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_equals_the_direct_computation(manifest, batch_size):
    mean, std, frames = direct([clip.path for clip in manifest.clips])
    found = dataset_statistics(manifest, batch_size=batch_size)
    assert found.mean == pytest.approx(mean, abs=1e-6)
    assert found.std == pytest.approx(std, abs=1e-6)
    assert (found.clips, found.frames, found.skipped) == (7, frames, ())


@pytest.mark.parametrize("batch_size", [1, 3])
def test_unusable_files_are_left_out_and_named(manifest, tmp_path, batch_size):
    silent, gone = str(tmp_path / "silent.wav"), str(tmp_path / "gone.wav")
    soundfile.write(silent, np.zeros(16000), 16000)
    clips = [*manifest.clips[:3], Clip(silent), Clip(gone), *manifest.clips[3:]]
    mean, std, frames = direct([clip.path for clip in manifest.clips])
    found = dataset_statistics(Manifest(clips), batch_size=batch_size)
    assert found.mean == pytest.approx(mean, abs=1e-6)  # a clip that stands in for another counts once
    assert found.std == pytest.approx(std, abs=1e-6)
    assert (found.clips, found.frames) == (7, frames)
    assert found.skipped == ((gone, "does not exist"), (silent, "is silent: every sample is 0"))
    with pytest.raises(AudioError, match=r"silent\.wav: is silent"):
        dataset_statistics(AudioDataset(Manifest(clips[:4]), strict=True))


def test_crop_and_rate_of_a_data_set_apply(write_wav):
    paths = [write_wav(f"{i}.wav", 1.0 + i, 8000, i) for i in range(2)]
    manifest = Manifest([Clip(path) for path in paths])
    heads = torch.cat([log_mel(read_audio(path, seconds=0.5), 16000)[0] for path in paths]).double()
    found = dataset_statistics(AudioDataset(manifest, seconds=0.5))
    assert found.mean == pytest.approx(heads.mean().item(), abs=1e-6)
    assert found.frames == len(heads)
    at_8k = dataset_statistics(AudioDataset(manifest, sample_rate=8000, seconds=0.5))
    assert at_8k.frames == len(heads)
    assert at_8k.mean == pytest.approx(heads.mean().item(), abs=0.1)
