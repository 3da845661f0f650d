"""AudioDataset and make_loader on real files: crops, seeds, workers, resuming, and files that turn out bad."""

import logging
import pickle

import numpy as np
import pytest
import soundfile
import torch

from signals import sweep
from ssamba.audio.reading import AudioError, read_audio
from ssamba.data import AudioDataset, Clip, Manifest, class_balanced_weights, make_loader


@pytest.fixture
def clips(write_wav):
    """Nine clips of 0.5 to 1.3 s, three at 8 kHz; classes a and b, the last clip in both."""
    seconds = [0.5 + 0.1 * i for i in range(9)]
    paths = [write_wav(f"{i}.wav", s, 8000 if i % 3 == 2 else 16000, i) for i, s in enumerate(seconds)]
    labels = [("a",)] * 6 + [("b",)] * 2 + [("a", "b")]
    return Manifest([Clip(path, label) for path, label in zip(paths, labels, strict=True)], ("b", "a"))


def batches(dataset, epochs=(0,), **options):
    loader = make_loader(dataset, **{"batch_size": 2, "shuffle": True, "seed": 5} | options)
    for epoch in epochs:
        loader.sampler.set_epoch(epoch)
        yield from loader


def assert_same(got, want):
    got, want = list(got), list(want)
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def damage(path, keep=0.5):
    """A FLAC under this name, cut off; its header is sound, so only decoding shows it."""
    rate = 16000
    soundfile.write(path, sweep(1.0, rate) + 0.01 * np.random.default_rng(0).standard_normal(rate), rate, format="FLAC")
    with open(path, "rb+") as file:
        file.truncate(round(keep * file.seek(0, 2)))


def test_items(clips):
    dataset = AudioDataset(clips)
    assert len(dataset) == 9
    assert dataset.classes == ("b", "a")
    np.testing.assert_allclose(dataset.durations, [0.5 + 0.1 * i for i in range(9)])
    for index in (0, 2, 6, 8):
        item = dataset[index]
        assert item["index"] == index
        assert item["wave"].dtype == item["labels"].dtype == torch.float32
        np.testing.assert_array_equal(item["wave"], read_audio(clips.clips[index].path))
        labels = clips.clips[index].labels
        assert item["labels"].tolist() == [float("b" in labels), float("a" in labels)]
    assert torch.equal(dataset[-1]["wave"], dataset[8]["wave"])
    with pytest.raises(IndexError):
        dataset[9]
    assert AudioDataset(clips.unlabelled())[0]["labels"].shape == (0,)
    assert len(AudioDataset(clips, sample_rate=8000)[0]["wave"]) == 4000


@pytest.mark.parametrize("cache", [False, True])
def test_crops(clips, cache):
    whole = AudioDataset(clips)
    head = AudioDataset(clips, seconds=0.8, cache=cache)
    random = AudioDataset(clips, seconds=0.8, random_crop=True, seed=1, cache=cache)
    starts = set()
    for epoch in range(6):
        random.set_epoch(epoch)
        for index in range(9):
            wave, full = random[index]["wave"].numpy(), whole[index]["wave"].numpy()
            assert len(wave) == min(12800, len(full))
            np.testing.assert_allclose(head[index]["wave"], full[:12800], rtol=0, atol=2e-6)
            windows = np.lib.stride_tricks.sliding_window_view(full, len(wave))
            start = int(np.abs(windows[:, ::97] - wave[::97]).sum(axis=1).argmin())
            np.testing.assert_allclose(wave, windows[start], rtol=0, atol=2e-6)
            if index == 8:
                starts.add(start)
    assert len(starts) == 6  # other epoch, other crop
    assert max(starts) - min(starts) > 2000  # and from all over the clip


def test_crops_follow_seed_epoch_and_index_only(clips):
    def crop(seed, epoch, index=8):
        dataset = AudioDataset(clips, seconds=0.5, random_crop=True, seed=seed)
        dataset.set_epoch(epoch)
        return dataset[index]["wave"]

    assert torch.equal(crop(1, 2), crop(1, 2))
    assert not torch.equal(crop(1, 2), crop(2, 1))
    assert not torch.equal(crop(1, 2), crop(1, 3))
    state = torch.get_rng_state()
    np.random.seed(0)
    torch.manual_seed(7)
    assert torch.equal(crop(1, 2), crop(1, 2))
    torch.set_rng_state(state)


def test_batches(clips):
    dataset = AudioDataset(clips)
    got = list(batches(dataset, shuffle=False, batch_size=4))
    assert [batch["index"].tolist() for batch in got] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    for batch in got:
        assert {name: value.dtype for name, value in batch.items()} == {
            "wave": torch.float32,
            "lengths": torch.int64,
            "labels": torch.float32,
            "index": torch.int64,
        }
        assert batch["wave"].shape == (len(batch["index"]), batch["lengths"].max())
        for wave, length, labels, index in zip(*batch.values(), strict=True):
            assert torch.equal(wave[:length], dataset[int(index)]["wave"])
            assert (wave[length:] == 0).all()
            assert torch.equal(labels, dataset[int(index)]["labels"])
    assert [len(batch["index"]) for batch in batches(dataset, batch_size=4, drop_last=True)] == [4, 4]


def test_order_follows_seed_and_epoch(clips):
    dataset = AudioDataset(clips)

    def order(seed, epoch):
        return [i for batch in batches(dataset, (epoch,), seed=seed) for i in batch["index"].tolist()]

    orders = [tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1, 2)]
    assert all(sorted(one) == list(range(9)) for one in orders)
    assert len(set(orders)) == 6
    assert order(1, 2) == list(orders[2])


def test_two_workers_give_what_none_give_over_epochs(clips):
    """Worker processes persist over epochs, so the epoch has to reach them."""
    dataset = AudioDataset(clips, seconds=0.5, random_crop=True, seed=3)
    assert_same(batches(dataset, (0, 1, 4), num_workers=2), batches(dataset, (0, 1, 4)))


def test_resuming_in_the_middle_of_an_epoch(clips):
    def run(skip):
        dataset = AudioDataset(clips, seconds=0.5, random_crop=True, seed=3)
        return list(batches(dataset, (7,)))[skip:]

    assert_same(run(2), run(0)[2:])


def test_loading_leaves_the_global_generators_alone(clips):
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(batches(AudioDataset(clips, seconds=0.5, random_crop=True), (0, 1)))
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()


def test_unusable_files_are_named_counted_and_left_out(clips, tmp_path, write_wav, caplog):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.mp3").write_bytes(b"no sound here" * 100)
    short = write_wav("short.wav", 0.1)
    bad = [str(tmp_path / "gone.wav"), str(tmp_path / "empty.wav"), str(tmp_path / "text.mp3"), short]
    mixed = [Clip(bad[0], ("a",)), *clips.clips[:2], Clip(bad[1]), Clip(bad[2], ("b",)), clips.clips[8], Clip(short)]
    manifest = Manifest(mixed, clips.classes)
    with caplog.at_level(logging.WARNING):
        dataset = AudioDataset(manifest)
    assert dataset.clips == [clips.clips[0], clips.clips[1], clips.clips[8]]
    assert dataset.durations == pytest.approx([0.5, 0.6, 1.3])
    assert [path for path, _ in dataset.skipped] == bad
    reasons = [reason for _, reason in dataset.skipped]
    assert reasons[:2] == ["does not exist", "is empty (0 bytes)"]
    assert reasons[3] == "is too short: 0.1 s, at least 0.175 s are needed"
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("4 of 7 files cannot be used and are left out:")
    assert all(f"{path}: {reason}" in caplog.messages[0] for path, reason in dataset.skipped)
    assert len(AudioDataset(Manifest([Clip(short)]), min_seconds=0.025)) == 1
    for cache in (False, True):
        with pytest.raises(AudioError, match=r"gone\.wav: does not exist \(4 of 7 files cannot be used\)"):
            AudioDataset(manifest, strict=True, cache=cache)
    with pytest.raises(AudioError, match=r"gone\.wav: does not exist$"):
        AudioDataset(Manifest(mixed[:1], clips.classes))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_damage_found_while_reading(clips, tmp_path, num_workers, caplog):
    silent = str(tmp_path / "silent.wav")
    soundfile.write(silent, np.zeros(16000), 16000)
    damage(clips.clips[3].path)
    manifest = Manifest([*clips.clips, Clip(silent, ("a",))], clips.classes)
    dataset = AudioDataset(manifest)
    assert len(dataset) == 10
    assert dataset.skipped == []
    seen = [b["index"].tolist() for b in batches(dataset, (0, 1), shuffle=False, batch_size=4, num_workers=num_workers)]
    assert seen == [[0, 1, 2], [4, 5, 6, 7], [8]] * 2
    (first, first_reason), (second, second_reason) = dataset.skipped
    assert (first, second) == (clips.clips[3].path, silent)
    assert "truncated or corrupt" in first_reason
    assert second_reason == "is silent: every sample is 0"
    if num_workers == 0:
        assert [message.split(": ")[0] for message in caplog.messages] == ["left out from now on"] * 2  # once each
    with pytest.raises(AudioError, match=r"silent\.wav: is silent"):
        dataset[9]


def test_damage_leaves_the_rest_of_the_epoch_alone(clips):
    """Every other clip keeps its place and its crop."""

    def epoch():
        return list(batches(AudioDataset(clips, seconds=0.5, random_crop=True, seed=2), (3,), batch_size=3))

    before = epoch()
    damage(clips.clips[4].path)
    for was, now in zip(before, epoch(), strict=True):
        keep = was["index"] != 4
        assert_same([now], [{name: value[keep] for name, value in was.items()}])


def test_a_batch_is_never_empty(clips):
    damage(clips.clips[3].path)
    damage(clips.clips[4].path)
    dataset = AudioDataset(clips)
    seen = [batch["index"].item() for batch in batches(dataset, shuffle=False, batch_size=1)]
    assert seen == [0, 1, 2, 5, 5, 5, 6, 7, 8]
    for clip in clips.clips:
        damage(clip.path)
    with pytest.raises(AudioError, match=r"truncated or corrupt.*; no other clip of this data set can be read either"):
        next(batches(dataset))


def test_strict_reading(clips):
    damage(clips.clips[3].path)
    with pytest.raises(AudioError, match=r"3\.wav: .*truncated or corrupt"):
        list(batches(AudioDataset(clips, strict=True)))


def test_cache_finds_everything_at_once_and_needs_the_files_no_more(clips):
    damage(clips.clips[3].path)
    want = [read_audio(clip.path) for i, clip in enumerate(clips.clips) if i != 3]
    dataset = AudioDataset(clips, cache=True)
    assert [path for path, _ in dataset.skipped] == [clips.clips[3].path]
    for clip in clips.clips:
        damage(clip.path)
    for index, wave in enumerate(want):
        np.testing.assert_array_equal(dataset[index]["wave"], wave)


def test_class_balanced_weights(clips):
    dataset = AudioDataset(clips)
    weights = class_balanced_weights(dataset)
    assert weights.tolist() == pytest.approx([1 / 7] * 6 + [1 / 3] * 2 + [1 / 7 + 1 / 3])
    sampler = make_loader(dataset, 2, True, 0, weights=weights).sampler
    drawn = torch.zeros(9)
    for epoch in range(600):
        sampler.set_epoch(epoch)
        drawn += torch.bincount(torch.tensor(list(sampler)), minlength=9)
    torch.testing.assert_close(drawn / drawn.sum(), (weights / weights.sum()).float(), rtol=0.15, atol=0)
    sampler.set_epoch(3)
    again = list(sampler)
    assert list(sampler) == again
    with pytest.raises(ValueError, match="need labelled clips"):
        class_balanced_weights(AudioDataset(clips.unlabelled()))


def test_a_data_set_can_be_sent_to_a_spawned_process(clips):
    dataset = AudioDataset(clips, seconds=0.5)
    dataset._epoch, dataset._unreadable = dataset._epoch.clone(), dataset._unreadable.clone()
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[3]["wave"], dataset[3]["wave"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0.1}, r"seconds must be at least min_seconds \(0\.175\), got 0\.1"),
        ({"random_crop": True}, "random_crop needs the length of the crop"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_bad_arguments(clips, options, message):
    with pytest.raises(ValueError, match=message):
        AudioDataset(clips, **options)


def test_bad_loader_arguments(clips):
    dataset = AudioDataset(clips)
    with pytest.raises(ValueError, match="no clips"):
        AudioDataset(Manifest([]))
    with pytest.raises(ValueError, match="seed must be at least 0"):
        make_loader(dataset, 2, True, -1)
    for weights in (torch.ones(8), torch.zeros(9), torch.full((9,), torch.nan), -torch.ones(9)):
        with pytest.raises(ValueError, match="weights must be 9 finite numbers"):
            make_loader(dataset, 2, True, 0, weights=weights)
    with pytest.raises(ValueError, match="need shuffle=True"):
        make_loader(dataset, 2, False, 0, weights=torch.ones(9))


def test_files_that_are_read_all_the_same_are_named_once(clips, caplog):
    """A recorder that crashed, and an mp3 without a length: each with its whole sound, in a loader as alone."""
    first, second, third = (clip.path for clip in clips.clips[:3])
    with open(first, "rb+") as file:
        file.seek(40)
        file.write(bytes(4))
    soundfile.write(second, 300 * sweep(0.6, 16000), 16000, format="WAV", subtype="FLOAT")
    soundfile.write(third, sweep(0.7, 16000), 16000, format="MP3")
    dataset = AudioDataset(clips)
    assert len(dataset) == 9
    np.testing.assert_allclose(dataset.durations[:3], [0.5, 0.6, 0.7], atol=1e-9)
    assert caplog.messages == [
        f"1 of 9 files are read all the same:\n  {first}: its header states 0 s, the file holds 0.5 s: read to its end"
    ]
    for _ in range(2):
        assert sum(len(batch["index"]) for batch in batches(dataset)) == 9
    assert len(caplog.messages) == 2  # what only decoding shows, once
    assert f"{second}: has samples as large as" in caplog.messages[1]


def test_crops_of_mp3_without_a_length_lie_in_the_sound(tmp_path):
    """Libsndfile's own estimate is longer than the sound by up to a half per cent."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, sweep(30.0, 44100), 44100, format="MP3", bitrate_mode="CONSTANT", compression_level=0.9)
    data = path.read_bytes()
    second = data.index(data[:2], 100)  # behind the Info frame
    assert b"Info" in data[:second]
    path.write_bytes(data[second:])
    dataset = AudioDataset(Manifest([Clip(str(path), ("a",))], ("a",)), seconds=0.5, random_crop=True)
    assert round(dataset.durations[0] * 16000) == len(read_audio(path))
    for epoch in range(40):
        dataset.set_epoch(epoch)
        assert len(dataset[0]["wave"]) == 8000
