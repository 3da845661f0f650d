"""Training and testing with a label for each second of a clip."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from ssamba.audio.reading import AudioError
from ssamba.data import AudioDataset, Clip, Manifest, ManifestError, make_loader, read_manifest
from ssamba.training import EvaluateSettings, FinetuneSettings, evaluate, finetune
from ssamba.training.scoring import labelled_seconds
from tone_clips import PITCHES, TINY

CLASSES = tuple(sorted(PITCHES))


def write_recordings(folder, recordings=6, seconds=4, seed=0):
    """Recordings whose seconds are tones of random classes; the last one ends after two seconds and a half."""
    random = np.random.default_rng(seed)
    clips = []
    folder.mkdir()
    for number in range(recordings):
        length = 2.5 if number == recordings - 1 else seconds
        labels = tuple(str(random.choice(CLASSES)) for _ in range(int(np.ceil(length))))
        time = np.arange(16000) / 16000
        wave = np.concatenate([0.3 * np.sin(2 * np.pi * PITCHES[label] * time) for label in labels])
        wave = wave[: int(length * 16000)] + 0.01 * random.standard_normal(int(length * 16000))
        soundfile.write(folder / f"{number}.wav", wave, 16000)
        clips.append(Clip(str(folder / f"{number}.wav"), tuple(sorted(set(labels))), labels))
    manifest = Manifest(clips, CLASSES)
    manifest.write_csv(folder / "clips.csv")
    return manifest


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seconds") / "recordings"
    return write_recordings(folder), str(folder / "clips.csv")


def test_csv_round_trip(recordings):
    manifest, path = recordings
    assert read_manifest(path) == manifest


def test_batches_are_padded_with_unlabelled_seconds(recordings):
    manifest, _ = recordings
    batch = next(iter(make_loader(AudioDataset(manifest, per_second=True), 6, shuffle=False, seed=0)))
    assert batch["labels"].shape == (6, 4, 3)
    for clip, labels in zip(manifest.clips, batch["labels"], strict=True):
        assert [CLASSES[row.argmax()] for row in labels[: len(clip.seconds)]] == list(clip.seconds)
        assert labels[: len(clip.seconds)].sum() == len(clip.seconds)
        assert labels[len(clip.seconds) :].abs().sum() == 0


def test_random_crops_keep_sound_and_label_together(recordings):
    manifest, _ = recordings
    dataset = AudioDataset(manifest, seconds=2, random_crop=True, per_second=True)
    starts = set()
    for epoch in range(8):
        dataset.set_epoch(epoch)
        item = dataset[0]
        labels = [CLASSES[row.argmax()] for row in item["labels"]]
        wave = item["wave"].numpy().reshape(2, 16000)
        heard = [int(np.abs(np.fft.rfft(second)).argmax()) for second in wave]
        assert heard == [PITCHES[label] for label in labels]
        starts.add(tuple(labels))
    assert len(starts) > 1


def test_labelled_seconds():
    logits = torch.arange(2 * 3 * 2.0).view(2, 3, 2)
    labels = torch.tensor([[[1, 0], [0, 1], [1, 0], [1, 0]], [[0, 1], [0, 0], [0, 0], [0, 0]]])
    kept, targets = labelled_seconds(logits, labels)
    assert kept.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert targets.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]


def test_learns_what_is_heard_when(recordings, tmp_path):
    _, data = recordings
    settings = FinetuneSettings(
        **{**TINY, "learning_rate": 1e-2, "batch_size": 3, "input_tdim": 398},
        data=data,
        out=str(tmp_path / "run"),
        pooling="segments",
        epochs=25,
        validation_share=0,
        time_mask=8,
        freq_mask=4,
    )
    result = finetune(settings)
    new = write_recordings(tmp_path / "new", recordings=3, seed=5)
    tested = evaluate(
        EvaluateSettings(checkpoint=str(result.checkpoint), data=str(tmp_path / "new" / "clips.csv"), quiet=True)
    )
    assert tested.metrics.accuracy >= 0.8
    assert (tested.report["clips"], tested.report["decisions"]) == (3, 4 + 4 + 3)
    truth = [label for clip in new.clips for label in clip.seconds]
    assert [CLASSES[row.argmax()] for row in tested.targets] == truth
    assert tested.paths == [clip.path for clip in new.clips for _ in clip.seconds]
    shown = tested.scores.argmax(1) == tested.targets.argmax(1)
    assert tested.metrics.accuracy == shown.mean()


def test_prediction_is_the_mean_over_seconds(recordings, tmp_path):
    from ssamba.audio.reading import read_audio
    from ssamba.cli.predictor import Predictor
    from ssamba.training.loading import load_model
    from ssamba.training.progress import SoundProgress

    manifest, data = recordings
    settings = {**TINY, "input_tdim": 398, "max_steps": 1, "validation_share": 0, "pooling": "segments"}
    result = finetune(FinetuneSettings(**settings, data=data, out=str(tmp_path / "run")))
    files = [manifest.clips[0].path]
    predictor = Predictor(str(tmp_path / "run"), "cpu", "float32")
    rows = list(predictor.rows(files, predictor.reader(True, SoundProgress(1, "", quiet=True))))
    model = load_model(result.checkpoint).eval()
    with torch.no_grad():
        x, _ = model.features(torch.from_numpy(read_audio(files[0]))[None])
        expected = model.classify(x, "segments")[0].softmax(dim=1).mean(dim=0)  # (C,)
    found = {item["label"]: item["score"] for item in rows[0]["labels"]}
    assert [found[name] for name in CLASSES] == pytest.approx(expected.tolist(), abs=1e-6)


def test_refusals(recordings, tones, tmp_path):
    manifest, data = recordings
    common = {**TINY, "out": str(tmp_path / "run"), "pooling": "segments"}
    with pytest.raises(ValueError, match="mixup does not go with pooling segments"):
        finetune(FinetuneSettings(**common, data=data, mixup=0.5))
    with pytest.raises(ManifestError, match=r"wav has no labels by the second; give a CSV with a column seconds"):
        finetune(FinetuneSettings(**common, data=str(tones)))
    clip = manifest.clips[0]
    wrong = Manifest([Clip(clip.path, clip.labels, clip.seconds * 2)], CLASSES)
    with pytest.raises(ManifestError, match=r"0.wav lasts 4 s, but 8 seconds of it have labels"):
        AudioDataset(wrong, per_second=True)
    with pytest.raises(ManifestError, match="the classes of its seconds are not those of its labels"):
        Manifest([Clip(clip.path, ("high", "low", "mid"), ("low",))], CLASSES)
    with pytest.raises(ValueError, match="labels by the second have no place in the JSON form"):
        manifest.write_json(tmp_path / "a.json", tmp_path / "labels.csv")
    (tmp_path / "bad.csv").write_text("path,label,seconds\na.wav,low,low;mid\n")
    with pytest.raises(ManifestError, match=r"bad.csv:2: 'mid' stands in seconds, but not in label"):
        read_manifest(tmp_path / "bad.csv")
    with pytest.raises(AudioError):
        AudioDataset(Manifest([Clip("none.wav", ("low",), ("low",))], CLASSES), per_second=True)
