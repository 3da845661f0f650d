"""FeatureCache: what it gives equals what is computed, however it was made, changed, damaged or kept from writing."""

import errno
import logging
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from signals import sweep
from ssamba.audio.log_mel import log_mel
from ssamba.audio.reading import AudioError, read_audio
from ssamba.config import SSAMBAConfig
from ssamba.data import AudioDataset, Clip, FeatureCache, Manifest, dataset_statistics, feature_cache, make_loader
from ssamba.model import SSAMBA

# By subtract_mean. A part of a file and a part of its resampled whole differ by float32 rounding; so do sounds less the
# mean of the part and of the whole. Faint bins show it most.
ROUNDING = {False: 1e-4, True: 3e-3}


@pytest.fixture
def sound(tmp_path):
    """sound(name, seconds, rate): a noisy sweep in a file below tmp_path."""

    def write(name="sound.wav", seconds=6.0, rate=16000, seed=0):
        noise = 0.01 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
        soundfile.write(tmp_path / name, sweep(seconds, rate, seed) + noise, rate)
        return str(tmp_path / name)

    return write


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


@pytest.fixture
def computed(monkeypatch):
    """Paths whose features were computed, in order."""
    paths = []
    compute = FeatureCache._compute
    monkeypatch.setattr(FeatureCache, "_compute", lambda *args: (paths.append(args[1]), compute(*args))[1])
    return paths


def entries(cache):
    return sorted(cache.entries.glob("*/*"))


def expected(path, subtract_mean=False):
    return log_mel(read_audio(path), 16000, subtract_mean=subtract_mean)[0]


def test_hits_are_what_was_computed(sound, cache, computed):
    path = sound()
    for _ in range(3):
        assert torch.equal(cache.read(path), expected(path))
    assert torch.equal(FeatureCache(cache.folder).read(path), expected(path))  # as another process would find it
    assert computed == [path]
    assert len(entries(cache)) == 1


@pytest.mark.parametrize("subtract_mean", [False, True])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_part_has_the_features_of_that_part_of_the_sound(sound, tmp_path, computed, subtract_mean, rate):
    """598 frames are three blocks of 256, the last not full."""
    path = sound(rate=rate)
    cache = FeatureCache(tmp_path / "cache", subtract_mean=subtract_mean)
    cache.read(path)
    wave = read_audio(path)
    for first, frames in [(0, 1), (0, 598), (255, 1), (256, 256), (255, 258), (300, 297), (597, 1), (511, 50)]:
        part = wave[first * 160 : (first + frames - 1) * 160 + 400]
        want = log_mel(part, 16000, subtract_mean=subtract_mean)[0]
        torch.testing.assert_close(cache.read(path, first, frames), want, rtol=0, atol=ROUNDING[subtract_mean])
    assert len(cache.read(path, 590, 100)) == 8
    assert len(cache.read(path, 598, 10)) == len(cache.read(path, 5000, 10)) == 0
    assert computed == [path]


def test_a_changed_file_is_computed_again_in_the_same_place(sound, cache, computed):
    path = sound()
    before = cache.read(path)
    stamp = os.stat(path)
    sound(seed=1)  # same name and size
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert torch.equal(cache.read(path), expected(path))
    assert not torch.equal(cache.read(path), before)
    sound(seconds=7.0)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert torch.equal(cache.read(path), expected(path))
    assert computed == [path] * 3
    assert len(entries(cache)) == 1


def test_other_settings_and_other_code_have_entries_of_their_own(sound, tmp_path, computed, monkeypatch):
    path = sound(rate=8000)

    def caches():
        return [FeatureCache(tmp_path / "cache", *settings) for settings in [(16000, False), (16000, True), (8000,)]]

    before = caches()
    for cache in before:
        cache.read(path)
    sources = feature_cache._sources()
    assert {source.name for source in sources} >= {"reading.py", "log_mel.py", "sndfile_source.py", "feature_cache.py"}
    edited = tmp_path / "edited.py"
    for number, source in enumerate(sources):
        edited.write_bytes(source.read_bytes() + b"#")
        with monkeypatch.context() as patch:
            others = [*sources[:number], edited, *sources[number + 1 :]]
            patch.setattr(feature_cache, "_sources", lambda others=others: others)
            before += caches()
    libraries = {torch: "__version__", soundfile: "__libsndfile_version__", soxr: "__version__"}
    for module, name in libraries.items():
        with monkeypatch.context() as patch:
            patch.setattr(module, name, "0.0")
            before += caches()
    assert len({cache.entries for cache in before}) == len(before) == 3 * (1 + len(sources) + 3)
    assert [cache.entries for cache in caches()] == [cache.entries for cache in before[:3]]
    for cache in caches():
        cache.read(path)
    assert len(computed) == 3
    torch.testing.assert_close(before[1].read(path), expected(path, subtract_mean=True), rtol=0, atol=ROUNDING[True])


def flip(entry, place):
    content = bytearray(entry.read_bytes())
    content[place] ^= 4
    entry.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda entry: flip(entry, -1), "a checksum is wrong"),
        (lambda entry: flip(entry, -300 * 512), "a checksum is wrong"),
        (lambda entry: flip(entry, 20), "its header is damaged"),
        (lambda entry: flip(entry, 3), "its header is damaged"),
        (lambda entry: os.truncate(entry, 700), "it is cut short"),
        (lambda entry: os.truncate(entry, 30), "its header is damaged"),
        (lambda entry: os.truncate(entry, 0), "its header is damaged"),
        (lambda entry: entry.write_bytes(bytes(70000)), "its header is damaged"),
        (lambda entry: (entry.unlink(), entry.mkdir()), "Is a directory"),
    ],
)
def test_a_damaged_entry_is_named_and_made_anew(sound, cache, computed, caplog, damage, reason):
    path = sound()
    cache.read(path)
    (entry,) = entries(cache)
    damage(entry)
    assert torch.equal(cache.read(path), expected(path))
    assert len(computed) == 2
    assert caplog.messages[0].startswith(f"feature cache: {entry} of {path} is made anew: ")
    assert reason in caplog.messages[0]
    if entry.is_file():
        assert torch.equal(cache.read(path), expected(path))
        assert len(computed) == 2
        assert len(caplog.messages) == 1


def test_damage_in_one_block_is_not_seen_by_who_reads_another(sound, cache, computed):
    path = sound()
    cache.read(path)
    flip(entries(cache)[0], -1)
    assert torch.equal(cache.read(path, 0, 512), expected(path)[:512])
    assert len(computed) == 1
    assert torch.equal(cache.read(path, 512, 1), expected(path)[512:513])
    assert len(computed) == 2


def test_a_full_disk_costs_time_only(sound, cache, computed, caplog):
    paths = [sound(f"{seed}.wav", seed=seed) for seed in range(3)]
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        for path in paths * 2:
            assert torch.equal(cache.read(path), expected(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert computed == paths * 2
    assert entries(cache) == []
    assert caplog.messages == [
        f"feature cache: cannot write to {cache.folder} ({os.strerror(errno.EFBIG)}: more than this file system "
        "or ulimit -f allows); what is not in it is computed each time"
    ]


def test_a_read_only_folder_gives_what_it_has(sound, cache, computed, caplog, monkeypatch):
    """Refused by open, for tests may run as root, whom no folder refuses."""
    kept, missing = sound("kept.wav"), sound("missing.wav", seed=1)
    cache.read(kept)
    monkeypatch.setattr(Path, "open", refusing_to_write(Path.open))
    reopened = FeatureCache(cache.folder)
    for path in (kept, missing) * 2:
        assert torch.equal(reopened.read(path), expected(path))
    assert computed == [kept, missing, missing]
    assert [message.split(";")[0] for message in caplog.messages] == [
        f"feature cache: cannot write to {cache.folder} (Read-only file system)"
    ]


def refusing_to_write(original):
    def refuse(path, mode="r", *args, **options):
        if "w" in mode:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return original(path, mode, *args, **options)

    return refuse


def read_all(folder, paths, barrier):
    torch.set_num_threads(1)
    cache = FeatureCache(folder)
    barrier.wait()
    for _ in range(5):
        for path in paths:
            if not torch.equal(cache.read(path), expected(path)):
                sys.exit(1)
            for entry in cache.entries.glob("*/*.f32"):
                entry.unlink(missing_ok=True)  # so that everybody keeps writing


def test_several_processes_write_at_once(sound, cache):
    paths = [sound(f"{seed}.wav", 1.0, seed=seed) for seed in range(3)]
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    readers = [context.Process(target=read_all, args=(cache.folder, paths, barrier)) for _ in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert [reader.exitcode for reader in readers] == [0, 0, 0]
    assert all(entry.suffix == ".f32" for entry in entries(cache))


def test_killed_while_writing(sound, cache, computed, tmp_path):
    """Nothing of a half-written entry is read; what it leaves is cleared away once it is old."""
    path = sound()
    program = f"""
import os, signal
from ssamba.data import FeatureCache, feature_cache
write = feature_cache._write_entry
def half(target, about, x):
    write(target, about, x)
    os.truncate(target, 1000)
    os.kill(os.getpid(), signal.SIGKILL)
feature_cache._write_entry = half
FeatureCache({str(cache.folder)!r}).read({path!r})
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == -signal.SIGKILL
    (left,) = entries(cache)
    assert left.name.endswith(".part")
    assert torch.equal(cache.read(path), expected(path))
    assert computed == [path]
    cache.describe(1.0)
    assert left.exists()  # another process may still be writing it
    os.utime(left, (time.time() - 7200,) * 2)
    cache.describe(1.0)
    assert [entry.suffix for entry in entries(cache)] == [".f32"]


def test_files_that_cannot_be_used_are_not_kept(sound, cache, tmp_path):
    silent, short = str(tmp_path / "silent.wav"), sound("short.wav", 0.02)
    soundfile.write(silent, np.zeros(16000), 16000)
    for path, reason in [(silent, "is silent"), (short, "is too short: 0.02 s"), (str(tmp_path / "gone"), "No such")]:
        for _ in range(2):
            with pytest.raises(AudioError, match=re.escape(path) + ".*" + reason):
                cache.read(path)
    assert entries(cache) == []


def test_room_is_said(sound, cache):
    path = sound()
    cache.read(path)
    (cache.folder / "log-mel-of-old" / "aa").mkdir(parents=True)
    (cache.folder / "log-mel-of-old" / "aa" / "b.f32").write_bytes(bytes(12345))
    said = cache.describe(6.0)
    assert said.startswith(f"feature cache {cache.folder}: 306 kB in it, 307 kB needed for these clips, ")
    assert said.endswith(
        "12.3 kB more of other settings or versions, which you may delete: " + str(cache.folder / "log-mel-of-old")
    )


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"feature_cache is .*file, where there can be no folder: File exists"):
        FeatureCache(tmp_path / "file")
    with pytest.raises(ValueError, match=r"feature_cache is .*below, where there can be no folder: Not a directory"):
        FeatureCache(tmp_path / "file" / "below")


# data sets that read from it


@pytest.fixture
def manifest(sound):
    """Nine clips of 0.5 to 2.1 s, every third at 8 kHz."""
    paths = [sound(f"{i}.wav", 0.5 + 0.2 * i, 8000 if i % 3 == 2 else 16000, i) for i in range(9)]
    return Manifest([Clip(path, ("a" if i % 2 else "b",)) for i, path in enumerate(paths)], ("a", "b"))


def batches(dataset, epochs=(0,), num_workers=0):
    loader = make_loader(dataset, batch_size=4, shuffle=True, seed=5, num_workers=num_workers)
    for epoch in epochs:
        loader.sampler.set_epoch(epoch)
        yield from loader


@pytest.mark.parametrize("features", ["sound", "compat"])
@pytest.mark.parametrize("seconds", [None, 1.0])
def test_the_model_reads_the_same_with_and_without(manifest, cache, features, seconds):
    config = SSAMBAConfig.tiny(depth=2, embed_dim=16, input_tdim=128, masked_patches=8, features=features)
    model = SSAMBA(config)
    cache = FeatureCache(cache.folder, subtract_mean=features == "compat")
    cached = AudioDataset(manifest, seconds=seconds, feature_cache=cache)
    for with_cache, without in zip(batches(cached), batches(AudioDataset(manifest, seconds=seconds)), strict=True):
        assert with_cache["log_mel"].dtype == torch.float32
        assert torch.equal(with_cache["labels"], without["labels"])
        assert torch.equal(with_cache["index"], without["index"])
        x, frames = model.normalise(with_cache["log_mel"], with_cache["frames"])
        want, want_frames = model.features(without["wave"], without["lengths"])
        torch.testing.assert_close(x, want, rtol=0, atol=ROUNDING[features == "compat"])
        assert (frames is None) == (want_frames is None)
        assert frames is None or torch.equal(frames, want_frames)


def test_crops_begin_at_whole_frames_all_over_the_clip(manifest, cache):
    dataset = AudioDataset(manifest, seconds=0.8, random_crop=True, seed=1, feature_cache=cache)
    starts, wholes = set(), [expected(clip.path) for clip in manifest.clips]
    for epoch in range(40):
        dataset.set_epoch(epoch)
        for index in range(9):
            x, whole = dataset[index]["log_mel"], wholes[index]
            assert len(x) == min(78, len(whole))
            places = (whole.unfold(0, len(x), 1).mT - x).abs().amax(dim=(1, 2))
            assert places.min() == 0
            if index == 8:
                starts.add(int(places.argmin()))
    assert min(starts) < 20
    assert max(starts) > 110  # of 0..130
    dataset.set_epoch(3)
    again = AudioDataset(manifest, seconds=0.8, random_crop=True, seed=1, feature_cache=cache)
    again.set_epoch(3)
    assert torch.equal(again[8]["log_mel"], dataset[8]["log_mel"])


def test_two_workers_give_what_none_give(manifest, tmp_path):
    def run(name, num_workers):
        cache = FeatureCache(tmp_path / name)
        dataset = AudioDataset(manifest, seconds=0.5, random_crop=True, seed=3, feature_cache=cache)
        return list(batches(dataset, (0, 1), num_workers))

    for one, other in zip(run("one", 2), run("two", 0), strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_damage_is_left_out_of_batches(manifest, cache, tmp_path, caplog):
    silent = str(tmp_path / "silent.wav")
    soundfile.write(silent, np.zeros(16000), 16000)
    dataset = AudioDataset(Manifest([*manifest.clips, Clip(silent)], manifest.classes), feature_cache=cache)
    with caplog.at_level(logging.WARNING):
        seen = sorted(index for batch in batches(dataset, (0, 1)) for index in batch["index"].tolist())
    assert seen == sorted([*range(9)] * 2)
    assert dataset.skipped == [(silent, "is silent: every sample is 0")]
    assert len(caplog.messages) == 1


def test_statistics_are_the_same(manifest, cache):
    with_cache = dataset_statistics(AudioDataset(manifest, seconds=1.0, feature_cache=cache))
    without = dataset_statistics(AudioDataset(manifest, seconds=1.0))
    assert (with_cache.clips, with_cache.frames) == (without.clips, without.frames)
    assert (with_cache.mean, with_cache.std) == pytest.approx((without.mean, without.std), abs=1e-5)


def test_two_caches_are_one_too_many(manifest, cache):
    with pytest.raises(ValueError, match="cache keeps waveforms, which feature_cache does not read"):
        AudioDataset(manifest, cache=True, feature_cache=cache)
