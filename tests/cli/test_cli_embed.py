"""embed keeps what is done when it is stopped, goes on from there, and takes recordings of any length."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import soundfile
from safetensors import safe_open

from ssamba.audio.reading import AudioError, AudioFile, read_audio
from ssamba.cli import embedder
from ssamba.cli.audio_reader import at_most_together
from ssamba.cli.results.feature_file import FeatureFile
from ssamba.cli.results.feature_parts import FeatureParts
from ssamba.model import SSAMBA


def stored(path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path) as content:
            return {name: content[name] for name in content.files}
    with safe_open(path, "np") as content:
        arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        about = dict(content.metadata())
    return {**arrays, **about, "files": np.array(json.loads(about["files"]))}


def assert_same(a, b) -> None:
    a, b = stored(a), stored(b)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.fixture
def stop_at(monkeypatch):
    """stop_at(n): SIGTERM comes when the n-th file is opened."""
    original = embedder.AudioFile

    def arrange(file: int) -> None:
        opened = []

        def opening(path):
            opened.append(path)
            if len(opened) == file:
                os.kill(os.getpid(), signal.SIGTERM)
            return original(path)

        monkeypatch.setattr(embedder, "AudioFile", opening)

    return arrange


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".npz", ["--level", "frame"]), (".safetensors", ["--level", "patch", "--layers", "0,1"]), (".npz", [])],
)
def test_resumed_where_it_was_stopped(ssamba, pretrained, clips, tmp_path, stop_at, suffix, options):
    options = ["--checkpoint", pretrained, "--batch-size", "1", *options, clips / "low"]
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"f{suffix}"
    assert ssamba("embed", *options, "--out", whole)[0] == 0
    assert not whole.with_name(whole.name + ".part").exists()
    stop_at(6)
    code, text, err = ssamba("embed", *options, "--out", out)
    assert code == 143
    assert text == f"{out}.part: features of 5 files, up to {clips / 'low' / '4.wav'}\n"
    assert err == "ssamba: SIGTERM: stopped after 5 of 8 files; the same command with --resume goes on\n"
    assert not out.exists()
    code, _, err = ssamba("embed", *options, "--out", out)
    assert code == 2
    assert ".part holds the features of 5 files, of a command that was stopped: go on with --resume, or" in err
    code, _, err = ssamba("embed", *options, "--out", out, "--resume", "--dtype", "bfloat16")
    assert code == 2
    assert "was begun with other settings: dtype was 'float32', now 'bfloat16'" in err
    assert ssamba("embed", *options, "--out", out, "--resume")[0] == 0
    assert_same(whole, out)
    assert not out.with_name(out.name + ".part").exists()


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("level", ["clip", "frame"])
def test_files_that_came_later_join_a_finished_file(ssamba, pretrained, clips, tmp_path, suffix, level):
    options = ["--checkpoint", pretrained, "--level", level, "--resume"]
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"f{suffix}"
    assert ssamba("embed", *options, "--out", whole, clips / "high", clips / "low")[0] == 0
    assert ssamba("embed", *options, "--out", out, clips / "high")[0] == 0
    assert ssamba("embed", *options, "--out", out, clips / "high") == (0, f"{out}: already finished\n", "")
    assert ssamba("embed", *options, "--out", out, clips / "high", clips / "low")[0] == 0
    assert_same(whole, out)
    code, _, err = ssamba("embed", *options, "--layers", "0", "--out", out, clips)
    assert code == 2
    assert "layers was None, now '0'" in err
    out.unlink()
    if suffix == ".npz":
        np.savez(out, x=np.zeros(3))
    else:
        out.write_bytes(b"nothing")
    code, _, err = ssamba("embed", *options, "--out", out, clips)
    assert code == 2
    assert f"{out} was not written by ssamba embed; choose another --out" in err


@pytest.mark.parametrize("level", ["clip", "frame", "patch"])
def test_long_recordings_are_taken_in_blocks(ssamba, pretrained, tmp_path, monkeypatch, level):
    random = np.random.default_rng(0)
    files = [tmp_path / f"{i}.wav" for i in range(4)]
    for file, (length, rate) in zip(
        files, [(9000, 16000), (530_000, 16000), (9000, 16000), (100_000, 44100)], strict=True
    ):
        soundfile.write(file, 0.1 * random.standard_normal(length), rate)
    monkeypatch.setattr("ssamba.cli.audio_reader._SAMPLES_TOGETHER", 60_000)
    whole = []

    class Watched(AudioFile):
        def read(self, *args):
            whole.append(self.info.frames)
            return super().read(*args)

    monkeypatch.setattr(embedder, "AudioFile", Watched)
    out = tmp_path / "f.npz"
    assert ssamba("embed", "--checkpoint", pretrained, "--level", level, "--out", out, *files)[0] == 0
    assert whole == [9000, 9000]
    content = stored(out)
    assert content["files"].tolist() == list(map(str, files))
    model = SSAMBA.from_pretrained(pretrained / "checkpoints" / "best").eval()
    offsets = content.get("offsets", range(5))
    for i, file in enumerate(files):
        expected = model.extract(read_audio(file), 16000, level).numpy()
        found = content["features"][offsets[i] : offsets[i + 1]]
        np.testing.assert_allclose(
            found, expected[None] if level == "clip" else np.moveaxis(expected, -2, 0), atol=1e-5
        )


def test_half_a_recording_leaves_nothing(tmp_path):
    def broken():
        yield np.ones((3, 2))
        raise AudioError("b.wav", "is torn")

    with FeatureParts(tmp_path / "f.npz.part", {"a": 1}, (2,), resume=False) as parts:
        parts.add("a.wav", [np.zeros((1, 2)), np.ones((1, 2))])
        with pytest.raises(AudioError):
            parts.add("b.wav", broken())
        parts.add("c.wav", [np.full((1, 2), 5)])
        with pytest.raises(ValueError, match="is being written by another process"):
            FeatureParts(tmp_path / "f.npz.part", {"a": 1}, (2,), resume=True)
    with parts.features.open("ab") as file:  # of a file that was not finished when the power went
        file.write(b"12345678")
    with (parts.folder / "files.jsonl").open("ab") as file:
        file.write(b'{"file": "d.wa')
    with FeatureParts(tmp_path / "f.npz.part", {"a": 1}, (2,), resume=True) as parts:
        assert (parts.files, parts.rows, parts.shape) == (["a.wav", "c.wav"], [2, 1], (3, 2))
        parts.add("e.wav", [np.full((1, 2), 7)])
        FeatureFile(str(tmp_path / "f.npz")).write(parts, None, {"settings": "{}"})
    assert stored(tmp_path / "f.npz")["features"][:, 0].tolist() == [0, 1, 5, 7]
    with parts.features.open("r+b") as file:  # rows that the index promises and the disk has lost
        file.truncate(27)
    with FeatureParts(tmp_path / "f.npz.part", {"a": 1}, (2,), resume=True) as parts:
        assert parts.files == ["a.wav", "c.wav"]


def test_of_long_files_fewer_together(monkeypatch):
    monkeypatch.setattr("ssamba.cli.audio_reader._SAMPLES_TOGETHER", 2500)
    assert [at_most_together(np.zeros(n), 16) for n in (100, 1000, 2500, 9000)] == [16, 2, 1, 1]


def test_odd_names(tmp_path):
    names = [os.fsdecode(b"caf\xe9.wav"), "a\nb.wav", "ü.wav"]
    for suffix in (".npz", ".safetensors"):
        with FeatureParts(tmp_path / "f.part", {}, (1,), resume=False) as parts:
            for name in names:
                parts.add(name, [np.ones((1, 1))])
            FeatureFile(str(tmp_path / f"f{suffix}")).write(parts, None, {"settings": "{}"})
            parts.delete()
        assert stored(tmp_path / f"f{suffix}")["files"].tolist() == names
        assert FeatureFile(str(tmp_path / f"f{suffix}")).files({}) == names


def test_names_that_have_no_room(monkeypatch, tmp_path):
    monkeypatch.setattr("ssamba.cli.results.feature_file._LARGEST_HEADER", 10_050)
    FeatureFile(str(tmp_path / "f.npz")).require_room_for(["a.wav"] * 10)
    with pytest.raises(
        ValueError, match=r"the names of 10 files have no room in a \.safetensors file; give --out FILE\.npz"
    ):
        FeatureFile(str(tmp_path / "f.safetensors")).require_room_for(["a.wav"] * 10)
