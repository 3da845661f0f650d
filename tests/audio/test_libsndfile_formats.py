"""Every container and coding that libsndfile writes: whole, cut off, with something behind it, at several rates."""

import numpy as np
import pytest
import soundfile

from signals import sweep
from ssamba.audio import AudioError, AudioFile, read_audio

ERRORS = {  # of a coding, as a share of the mean power of the sound
    "PCM_S8": 2e-3,
    "PCM_U8": 2e-3,
    "ULAW": 1e-2,
    "ALAW": 1e-2,
    "DPCM_8": 1e-2,
    "IMA_ADPCM": 2e-2,
    "MS_ADPCM": 2e-2,
    "GSM610": 0.2,
    "G721_32": 2e-2,
    "G723_24": 5e-2,
    "G723_40": 1e-2,
    "NMS_ADPCM_16": 0.5,
    "NMS_ADPCM_24": 0.2,
    "NMS_ADPCM_32": 0.1,
    "VORBIS": 5e-3,
    "OPUS": 0.3,  # of six channels, some of which are low or shared
    "MPEG_LAYER_III": 5e-3,
}
PADDED = {  # samples that libsndfile adds to fill the last block of a coding, at most
    "IMA_ADPCM": 2041 * 2,
    "MS_ADPCM": 2036,
    "GSM610": 320,
    "G721_32": 120,
    "G723_24": 120,
    "G723_40": 120,
    "NMS_ADPCM_16": 160,
    "NMS_ADPCM_24": 160,
    "NMS_ADPCM_32": 160,
    "ULAW": 1,
    "ALAW": 1,
}
UNTOLD = {"IRCAM", "PAF", "PVF", "XI"}  # their headers state no length
RATES = {"WVE": 8000, "VOC": 8000, "XI": 44100}  # which their headers can state
UNREADABLE = {("AIFF", "DWVW_16"), ("AIFF", "DWVW_24"), ("PAF", "PCM_24")}  # libsndfile cannot read what it writes


def codings():
    for container in soundfile.available_formats():
        for coding in soundfile.available_subtypes(container):
            if container not in ("RAW", "SD2", "SDS") and (container, coding) not in UNREADABLE:
                yield container, coding


def write(path, container, coding, channels=1, seconds=0.3):
    """The sound, (samples, channels), and rate of a file, or None where libsndfile does not write this."""
    rate = RATES.get(container, 16000)
    wave = np.stack([sweep(seconds, rate, seed) for seed in range(channels)], axis=1)
    try:
        soundfile.write(path, wave, rate, format=container, subtype=coding)
    except (soundfile.SoundFileError, ValueError):
        return None
    return wave, rate


@pytest.mark.parametrize(("container", "coding"), list(codings()))
def test_whole_cut_and_with_junk(tmp_path, container, coding):
    path = tmp_path / "sound"
    for channels in (1, 6):
        written = write(path, container, coding, channels)
        if written is None:
            continue
        wave, rate = written
        mean = wave.mean(axis=1)
        with AudioFile(path) as file:
            assert file.notes == []
            read = file.read(rate)
            assert (file.info.channels, file.info.sample_rate, file.info.frames) == (channels, rate, len(read))
        assert 0 <= len(read) - len(mean) <= PADDED.get(coding, 0)
        error = np.var(read[: len(mean)] - mean) / np.var(mean)  # without the mean, which Opus removes
        assert error < ERRORS.get(coding, 1e-6)
        parts = [read_audio(path, rate, 0.0, 0.1), read_audio(path, rate, 0.1, 0.1)]
        np.testing.assert_allclose(np.concatenate(parts), read[: 2 * round(0.1 * rate)], rtol=0, atol=2e-6)
        data = path.read_bytes()
        for share in (0.4, 0.97):
            path.write_bytes(data[: round(len(data) * share)])
            check_cut(path, container, rate, read)
        path.write_bytes(data + b"something else behind the sound" * 3)
        check_with_more(path, container, rate, read)


def check_cut(path, container, rate, read):
    """Refused, or read to its end with a note; equal to the whole as far as it goes."""
    try:
        with AudioFile(path) as file:
            found, notes = file.read(rate), file.notes
    except AudioError:
        return
    assert len(found) <= len(read)
    assert notes or container in UNTOLD
    same = len(found) - 2100  # the last block of a coding may be half there
    np.testing.assert_allclose(found[: max(0, same)], read[: max(0, same)], rtol=0, atol=2e-6)


def check_with_more(path, container, rate, read):
    try:
        with AudioFile(path) as file:
            found, notes = file.read(rate), file.notes
    except AudioError:
        return
    assert len(found) >= len(read)
    assert len(found) == len(read) or notes or container in UNTOLD
    np.testing.assert_allclose(found[: len(read)], read, rtol=0, atol=2e-6)
