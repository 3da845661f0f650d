"""read_manifest: three input forms, and an error that names the place for everything that can be wrong in them."""

import json
import os

import pytest

from ssamba.data.manifest import Clip, Manifest, ManifestError, read_manifest

LABELS = "index,mid,display_name\n0,/m/2,Male speech\n1,/m/1,Dog\n2,/m/3,Cat\n"


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def names(manifest, root):
    return [(os.path.relpath(clip.path, root), clip.labels) for clip in manifest.clips]


def test_folder_of_class_folders(tmp_path):
    touch(tmp_path, "yes/b.wav", "yes/a.FLAC", "no/deep/er/c.mp3", "No/d.ogg", "yes/notes.txt", "README.md", "no/e.m4a")
    touch(tmp_path, ".git/x.wav", "yes/._a.wav", "no/.trash/y.wav")
    manifest = read_manifest(tmp_path)
    assert manifest.classes == ("No", "no", "yes")
    assert names(manifest, tmp_path) == [
        ("No/d.ogg", ("No",)),
        ("no/deep/er/c.mp3", ("no",)),
        ("no/e.m4a", ("no",)),
        ("yes/a.FLAC", ("yes",)),
        ("yes/b.wav", ("yes",)),
    ]
    assert manifest.counts() == {"No": 1, "no": 2, "yes": 2}


def test_flat_folder_is_unlabelled(tmp_path):
    touch(tmp_path, "b.wav", "a.wav", "notes/readme.txt")
    manifest = read_manifest(tmp_path)
    assert manifest.classes == ()
    assert names(manifest, tmp_path) == [("a.wav", ()), ("b.wav", ())]


def test_links_in_folders(tmp_path):
    touch(tmp_path, "elsewhere/a.wav", "set/yes/b.wav")
    (tmp_path / "set" / "no").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "yes" / "up").symlink_to(tmp_path / "set" / "yes")
    assert names(read_manifest(tmp_path / "set"), tmp_path / "set") == [("no/a.wav", ("no",)), ("yes/b.wav", ("yes",))]


def test_csv(tmp_path):
    text = '\ufeffpath,label,fold\nx/a.wav,dog,1\n\n"b, c.wav", cat ; dog ,2\n/abs/d.wav,cat,3\n'
    manifest = read_manifest(write(tmp_path / "list.csv", text))
    assert manifest.classes == ("cat", "dog")
    assert manifest.clips == [
        Clip(str(tmp_path / "x/a.wav"), ("dog",)),
        Clip(str(tmp_path / "b, c.wav"), ("cat", "dog")),
        Clip("/abs/d.wav", ("cat",)),
    ]
    rooted = read_manifest(tmp_path / "list.csv", audio_root=tmp_path / "audio")
    assert [clip.path for clip in rooted.clips][::2] == [str(tmp_path / "audio/x/a.wav"), "/abs/d.wav"]
    assert read_manifest(write(tmp_path / "list.tsv", "path\tlabel\na.wav\tx\n")).classes == ("x",)


@pytest.mark.parametrize("text", ["path\na.wav\nb.wav\n", "path,label\na.wav,\nb.wav,\n"])
def test_unlabelled_csv(tmp_path, text):
    manifest = read_manifest(write(tmp_path / "list.csv", text))
    assert manifest.classes == ()
    assert names(manifest, tmp_path) == [("a.wav", ()), ("b.wav", ())]


def test_ssast_json(tmp_path):
    data = {"data": [{"wav": "a.flac", "labels": "/m/1,/m/2"}, {"wav": "/abs/b.flac", "labels": "Cat"}]}
    write(tmp_path / "list.json", json.dumps(data))
    write(tmp_path / "labels.csv", LABELS)
    manifest = read_manifest(tmp_path / "list.json", label_csv=tmp_path / "labels.csv", audio_root="/audio")
    assert manifest.classes == ("Male speech", "Dog", "Cat")
    assert manifest.clips == [Clip("/audio/a.flac", ("Dog", "Male speech")), Clip("/abs/b.flac", ("Cat",))]
    with pytest.raises(ManifestError, match=r"list\.json: .* give label_csv \(--label-csv\), or labels=False"):
        read_manifest(tmp_path / "list.json")
    assert read_manifest(tmp_path / "list.json", labels=False) == Manifest(
        [Clip(str(tmp_path / "a.flac")), Clip("/abs/b.flac")]
    )


def test_given_classes_fix_the_order_and_the_number(tmp_path):
    touch(tmp_path, "set/dog/a.wav", "set/cat/b.wav")
    assert read_manifest(tmp_path / "set", classes=["dog", "bird", "cat"]).classes == ("dog", "bird", "cat")
    with pytest.raises(ManifestError, match=r"dog/a\.wav: label 'dog' is not one of the 2 classes \(bird, cat\)"):
        read_manifest(tmp_path / "set", classes=["cat", "bird"])
    label_csv = write(tmp_path / "labels.csv", "index,mid,display_name\n0,cat,Cat\n1,dog,Dog\n")
    assert read_manifest(tmp_path / "set", label_csv).classes == ("Cat", "Dog")
    assert read_manifest(tmp_path / "set", label_csv, classes=["Dog", "Cat"]).classes == ("Dog", "Cat")
    with pytest.raises(ManifestError, match=r"labels\.csv: class 'Dog' is not one of the 1 classes expected"):
        read_manifest(tmp_path / "set", label_csv, classes=["Cat"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "", r"l\.csv:1: column 'path' is missing; found an empty file"),
        ("l.csv", "path,label\n", r"l\.csv: lists no clips"),
        ("l.csv", "file,label\na,b\n", r"l\.csv:1: column 'path' is missing; found file,label"),
        ("l.csv", "path,labels\na,b\n", r"l\.csv:1: column 'label' is missing; found path,labels"),
        ("l.csv", "path,label\na.wav,x\nb.wav,x,y\n", r"l\.csv:3: 3 fields, the header has 2"),
        ("l.csv", "path,label\na.wav,x\n,x\n", r"l\.csv:3: the path is empty"),
        ("l.csv", "path,label\na.wav,x\n\nb.wav,x\na.wav,y\n", r"l\.csv:5: .*a\.wav is already listed at .*l\.csv:2"),
        ("l.csv", "path,label\na.wav,x\nb.wav,x;y;x\n", r"l\.csv:3: a label is given twice: x, y, x"),
        ("l.csv", "path,label\na.wav,x\nb.wav,\n", r"l\.csv:3: .*b\.wav has no label though other clips do"),
        ("l.csv", 'path,label\na.wav,x\n"b.wav"x,x\n', r"l\.csv:3: not valid CSV"),
        (
            "l.csv",
            b"path,label\n\xff\xe9.wav,x\n",
            r"l\.csv:2: '\\xff\\xe9\.wav' is not UTF-8 text; save the file as UTF-8",
        ),
        ("l.csv", b"path,label\na.wav,caf\xe9\n", r"l\.csv:2: 'caf\\xe9' is not UTF-8 text; save the file as UTF-8"),
        ("l.csv", "path,label\na.wav,x\nb\0.wav,x\n", r"l\.csv:3: 'b\\x00\.wav' cannot be the name of a file"),
        ("l.csv", "path,label\n".encode("utf-16-le"), r"l\.csv:1: is UTF-16 text without its mark, or no text; save"),
        ("l.csv", "path,label".encode("utf-16")[:-1], r"l\.csv: begins as UTF-16 text and is not \(byte 20\)"),
        ("l.csv", "path,label,Path\na.wav,x,b.wav\n", r"l\.csv:1: column 'path' stands there twice"),
        (
            "l.csv",
            "path,label\na.wav,x\n./a.wav,y\n",
            r"l\.csv:3: .*/\./a\.wav is already listed at .*:2 as .*/a\.wav; take",
        ),
        ("l.json", '{"data": [{"wav": "a\\ud800"}]}', r"l\.json: data\[0\]: 'a\\ud800' cannot be the name of a file"),
        ("l.json", '{"data": [{"wav": "a\\u0000"}]}', r"l\.json: data\[0\]: 'a\\x00' cannot be the name of a file"),
        ("l.json", '{"data": [{"wav": "a", "labels": "\\ud800"}]}', r"data\[0\]: '\\ud800' is not UTF-8 text"),
        ("l.json", '{"data": ' + "[" * 100_000, r"l\.json: no manifest: .*recursion"),
        ("l.json", '{"data": ' + "1" * 5000 + "}", r"l\.json: no manifest: .*digits"),
        ("l.json", '{"data": [\n{"wav": "a.wav",}\n]}', r"l\.json:2: not valid JSON: .* \(column"),
        ("l.json", '[{"wav": "a.wav"}]', r"l\.json: expected \{\"data\": "),
        ("l.json", '{"data": {}}', r"l\.json: expected \{\"data\": "),
        ("l.json", '{"data": []}', r"l\.json: lists no clips"),
        ("l.json", '{"data": [{"wav": "a"}, {"path": "b"}]}', r"l\.json: data\[1\]: has no \"wav\" path: \{\"path\""),
        ("l.json", '{"data": [{"wav": "a", "labels": ["x"]}]}', r"data\[0\]: \"labels\" must be one text"),
        ("l.json", '{"data": [{"wav": "a"}, {"wav": "a"}]}', r"data\[1\]: .*a is already listed at .*data\[0\]"),
        ("l.txt", "a.wav\n", r"l\.txt: is neither a folder nor a \.csv, \.tsv or \.json"),
    ],
)
def test_broken_manifests(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / name)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"labels\.csv: the label CSV does not exist"),
        ("index,mid\n0,/m/1\n", r"labels\.csv:1: column 'display_name' is missing; found index,mid"),
        (LABELS + "3,/m/1,Bird\n", r"labels\.csv:5: label '/m/1' is listed twice"),
        (LABELS + "3,/m/9,Dog\n", r"labels\.csv:5: label 'Dog' is listed twice"),
        (LABELS + "2,/m/9,Bird\n", r"labels\.csv:5: index 2 is used twice"),
        (LABELS + "4,/m/9,Bird\n", r"labels\.csv: indices must count from 0 without gaps, got \[0, 1, 2, 4\]"),
        (LABELS + "x,/m/9,Bird\n", r"labels\.csv:5: expected index,mid,display_name, got x,/m/9,Bird"),
        (
            LABELS.replace("/m/1", "/m/7"),
            r"list\.json: data\[1\]: label '/m/1' is not one of the 3 classes \(Cat, Dog, M",
        ),
    ],
)
def test_broken_label_csv(tmp_path, labels, message):
    write(tmp_path / "list.json", '{"data": [{"wav": "a", "labels": "/m/2"}, {"wav": "b", "labels": "/m/1"}]}')
    if labels is not None:
        write(tmp_path / "labels.csv", labels)
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / "list.json", label_csv=tmp_path / "labels.csv")


@pytest.mark.parametrize(
    "content",
    [
        "Path;LABEL;x\r\na.wav;dog;1\r\n;;\r\n'b, ü'.wav;\"dog;cat\";2\r\n".encode("utf-8-sig"),
        "sep=;\r\npath;label\r\na.wav;dog\r\n'b, ü'.wav;\"cat;dog\"\r\n".encode(),
        "\n\npath\tlabel\na.wav\tdog\n \t\n'b, ü'.wav\tcat; dog\n".encode("utf-16"),
        "path,label\ra.wav,dog\r,\r\"'b, ü'.wav\",cat;dog\r".encode(),
        '\ufeff"path","label"\n"a.wav","dog"\n"\'b, ü\'.wav","dog;cat"\n'.encode("utf-16-be"),
    ],
    ids=["semicolons", "sep=", "UTF-16 with tabs", "old Mac", "UTF-16 big-endian"],
)
def test_tables_as_excel_writes_them(tmp_path, content):
    (tmp_path / "list.csv").write_bytes(content)
    manifest = read_manifest(tmp_path / "list.csv")
    assert [(name, set(labels)) for name, labels in names(manifest, tmp_path)] == [
        ("a.wav", {"dog"}),
        ("'b, ü'.wav", {"dog", "cat"}),
    ]


def test_the_line_of_a_fault_counts_every_line(tmp_path):
    text = "sep=;\r\n\r\npath;label\r\na.wav;x\r\n;\r\nb.wav\r\n"
    with pytest.raises(ManifestError, match=r"list\.csv:6: 1 fields, the header has 2"):
        read_manifest(write(tmp_path / "list.csv", text))


def test_paths_as_other_systems_write_them(tmp_path):
    decomposed, composed = "cafe\u0301/a.wav", "caf\u00e9/a.wav"
    touch(tmp_path, "clips/low/0.wav", "clips/high/1.wav", "back\\slash.wav", decomposed, "d .wav ")
    rows = [
        r".\clips\low\0.wav,x",
        r"clips\high/1.wav,x",
        r"back\slash.wav,x",
        f"{composed},x",
        "d .wav ,x",
        r" no\where.wav ,x",
    ]
    manifest = read_manifest(write(tmp_path / "list.csv", "\r\n".join(["path,label", *rows])))
    assert [clip.path for clip in manifest.clips] == [
        f"{tmp_path}/{name}"
        for name in ("./clips/low/0.wav", "clips/high/1.wav", r"back\slash.wav", decomposed, "d .wav ", r"no\where.wav")
    ]


@pytest.mark.parametrize(
    ("there", "dropped"),
    [
        ("/nowhere/set/clips/", "/nowhere"),
        ("D:\\set\\clips\\", "D:\\"),
        ("\\\\server\\share\\set\\clips\\", "\\\\server\\share\\"),
    ],
)
def test_absolute_paths_of_another_machine(tmp_path, caplog, there, dropped):
    separator = "/" if there.startswith("/") else "\\"
    touch(tmp_path, "here/set/clips/low/0.wav", "here/set/clips/high/1.wav", "here/0.wav")
    files = [f"{there}low{separator}0.wav", f"{there}high{separator}1.wav", f"{there}high{separator}gone.wav"]
    write(tmp_path / "list.csv", "path,label\n" + "".join(f"{file},x\n" for file in files))
    moved = ["low/0.wav", "high/1.wav", "high/gone.wav"]
    for root in (tmp_path / "here", tmp_path / "here/set/clips"):
        found = read_manifest(tmp_path / "list.csv", audio_root=root, require_files=True)
        assert names(found, tmp_path / "here/set/clips") == [(name, ("x",)) for name in moved]
    assert f"paths below {dropped} are read from {tmp_path / 'here'}" in caplog.text
    with pytest.raises(
        ManifestError, match=r"list\.csv: none of its 3 clips is there, .*0\.wav; .*--audio-root"
    ) as error:
        read_manifest(tmp_path / "list.csv", require_files=True)
    assert str(error.value).rstrip("\\/").endswith(there.rstrip("\\/"))
    with pytest.raises(ManifestError, match="takes the place of"):
        read_manifest(tmp_path / "list.csv", audio_root=tmp_path, require_files=True)


def test_paths_of_several_drives(tmp_path):
    write(tmp_path / "list.csv", "path\nC:\\a\\x.wav\nD:\\b\\y.wav\n")
    with pytest.raises(ManifestError, match=r"the first is C:\\a\\x\.wav; .*write their paths anew: .* several drives"):
        read_manifest(tmp_path / "list.csv", audio_root=tmp_path, require_files=True)
    write(tmp_path / "list.csv", "path\nC:\\a\\x.wav\ny.wav\n")
    with pytest.raises(ManifestError, match=f"takes the place of {tmp_path}$"):
        read_manifest(tmp_path / "list.csv", require_files=True)


def test_audio_root_without_effect_is_said(tmp_path, caplog):
    touch(tmp_path, "a.wav")
    write(tmp_path / "list.csv", f"path\n{tmp_path}/a.wav\n")
    assert read_manifest(tmp_path / "list.csv", audio_root=tmp_path / "x").clips == [Clip(str(tmp_path / "a.wav"))]
    assert "all its paths are absolute, audio_root" in caplog.text


def test_labels_are_compared_in_their_composed_form(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    text = f"path,label,seconds\na.wav,{decomposed},{composed}\nb.wav,{composed};x,x;{decomposed}\n"
    manifest = read_manifest(write(tmp_path / "list.csv", text))
    assert manifest.classes == (composed, "x")
    assert manifest.clips[1].seconds == ("x", composed)
    assert read_manifest(tmp_path / "list.csv", classes=["x", decomposed]).classes == ("x", composed)
    write(tmp_path / "labels.csv", f"index,mid,display_name\n0,/m/1,{decomposed}\n1,x,y\n")
    assert read_manifest(tmp_path / "list.csv", tmp_path / "labels.csv").clips[1].labels == (composed, "y")
    write(tmp_path / "list.json", json.dumps({"data": [{"wav": "a", "labels": decomposed}]}))
    assert read_manifest(tmp_path / "list.json", tmp_path / "labels.csv").clips[0].labels == (composed,)


def test_codes_without_their_names(tmp_path):
    write(tmp_path / "list.csv", "path,label\na.wav,/m/09x0r\n")
    with pytest.raises(
        ManifestError, match=r"label '/m/09x0r' is not one of .*label CSV: give label_csv \(--label-csv"
    ):
        read_manifest(tmp_path / "list.csv", classes=["Speech"])
    assert read_manifest(tmp_path / "list.csv").classes == ("/m/09x0r",)


def test_names_of_one_file(tmp_path):
    """Links are clips of their own, but never on both sides of a split, and never with two labels."""
    touch(tmp_path, *(f"set/x/{i}.wav" for i in range(20)))
    for i in range(0, 20, 2):
        (tmp_path / f"set/x/link {i}.wav").symlink_to(f"{i}.wav")
    manifest = read_manifest(tmp_path / "set")
    assert len(manifest) == 30
    for seed in range(5):
        parts = manifest.split(0.5, 0.5, seed=seed)
        assert parts[0].shared_files(parts[1]) == []
        assert sorted(clip.path for part in parts for clip in part.clips) == [clip.path for clip in manifest.clips]
    assert manifest.shared_files(manifest.subset([3])) == [os.path.realpath(manifest.clips[3].path)]
    (tmp_path / "set/y").mkdir()
    (tmp_path / "set/y/again.wav").symlink_to("../x/7.wav")
    with pytest.raises(
        ManifestError, match=r"y/again\.wav and .*x/7\.wav are links to one file, but .* differ: y and x"
    ):
        read_manifest(tmp_path / "set")
    assert len(read_manifest(tmp_path / "set", labels=False)) == 31
    (tmp_path / "set/z").symlink_to("x")
    (tmp_path / "set/y/again.wav").unlink()
    touch(tmp_path, "set/y/b.wav")
    with pytest.raises(ManifestError, match=r"z/0\.wav is already listed at .*x/0\.wav"):
        read_manifest(tmp_path / "set")


def test_without_labels_all_audio_below_a_folder_counts(tmp_path):
    touch(tmp_path, "b.wav", "empty/x.txt", "train/deep/a.wav", "test/c.wav")
    assert names(read_manifest(tmp_path, labels=False), tmp_path) == [
        ("b.wav", ()),
        ("test/c.wav", ()),
        ("train/deep/a.wav", ()),
    ]


def test_broken_folders(tmp_path):
    with pytest.raises(ManifestError, match=r"nowhere: does not exist; give a folder"):
        read_manifest(tmp_path / "nowhere")
    touch(tmp_path, "notes.txt", "one.zip", "two.ZIP")
    for labels in (True, False):
        with pytest.raises(
            ManifestError, match=r"no audio files and no class folders \(3 other files: 2 \.zip, 1 \.txt\)"
        ):
            read_manifest(tmp_path, labels=labels)
    touch(tmp_path, "yes/a.wav", "empty/notes.txt")
    with pytest.raises(ManifestError, match="has no audio file in the folder 'empty'"):
        read_manifest(tmp_path)
    touch(tmp_path, "empty/b.wav", "loose.wav")
    with pytest.raises(ManifestError, match=r"holds audio files \(loose\.wav, \.\.\.\) as well as the folder 'empty'"):
        read_manifest(tmp_path)
    with pytest.raises(ManifestError, match="audio_root has no meaning"):
        read_manifest(tmp_path, audio_root=tmp_path)


def test_a_manifest_checks_itself():
    with pytest.raises(ManifestError, match="class 'x' is listed twice"):
        Manifest([], ("x", "y", "x"))
    with pytest.raises(ManifestError, match=r"clip 'a\.wav' is listed twice"):
        Manifest([Clip("a.wav"), Clip("a.wav")])
    with pytest.raises(ManifestError, match=r"a\.wav: label 'z' is not one of the 1 classes"):
        Manifest([Clip("a.wav", ("z",))], ("x",))
    with pytest.raises(ManifestError, match=r"a\.wav: label 'x' is listed twice"):
        Manifest([Clip("a.wav", ("x", "x"))], ("x",))


@pytest.fixture
def hundred():
    """60 clips of 'a', 30 of 'b', 10 of 'c'."""
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    return Manifest([Clip(f"{i:03}.wav", (label,)) for i, label in enumerate(labels)], ("c", "b", "a", "unused"))


def test_split(hundred):
    train, valid, test = hundred.split(0.7, 0.2, 0.1, seed=3)
    assert train.counts() == {"a": 42, "b": 21, "c": 7, "unused": 0}
    assert valid.counts() == {"a": 12, "b": 6, "c": 2, "unused": 0}
    assert test.counts() == {"a": 6, "b": 3, "c": 1, "unused": 0}
    assert train.classes == hundred.classes
    assert sorted(clip.path for part in (train, valid, test) for clip in part.clips) == [c.path for c in hundred.clips]
    assert [clip.path for clip in train.clips] == sorted(clip.path for clip in train.clips)
    assert hundred.split(0.7, 0.2, 0.1, seed=3) == (train, valid, test)
    assert hundred.split(0.7, 0.2, 0.1, seed=4) != (train, valid, test)
    assert [len(part) for part in hundred.unlabelled().split(0.5, 0.5)] == [50, 50]
    for fractions in ((1.0,), (0.5, 0.6), (1.1, -0.1)):
        with pytest.raises(ValueError, match="sum to 1"):
            hundred.split(*fractions)


def test_limit_per_class(hundred):
    few = hundred.limit_per_class(20, seed=1)
    assert few.counts() == {"a": 20, "b": 20, "c": 10, "unused": 0}
    assert few == hundred.limit_per_class(20, seed=1)
    assert few != hundred.limit_per_class(20, seed=2)
    assert few.clips == [clip for clip in hundred.clips if clip in few.clips]
    with pytest.raises(ValueError, match="n must be at least 1"):
        hundred.limit_per_class(0)
    several = Manifest([Clip(f"{i}", ("x", "y") if i < 5 else ("x",)) for i in range(20)], ("x", "y"))
    counts = several.limit_per_class(5).counts()
    assert counts["y"] == 5
    assert 5 <= counts["x"] <= 10


def test_subset_and_unlabelled(hundred):
    part = hundred.subset([99, 0])
    assert (part.clips, part.classes) == ([hundred.clips[99], hundred.clips[0]], hundred.classes)
    assert part.unlabelled() == Manifest([Clip("099.wav"), Clip("000.wav")])


def test_writing_and_reading_back(tmp_path):
    clips = [Clip(str(tmp_path / 'a "q", é.wav'), ("Cat", "Speech, male")), Clip(str(tmp_path / "b.wav"), ("Cat",))]
    manifest = Manifest(clips, ("Speech, male", "Cat", "unused"))
    manifest.write_csv(tmp_path / "deep" / "list.csv")
    assert read_manifest(tmp_path / "deep" / "list.csv", classes=manifest.classes) == manifest
    manifest.write_json(tmp_path / "list.json", tmp_path / "labels.csv")
    assert read_manifest(tmp_path / "list.json", tmp_path / "labels.csv") == manifest
    assert "class_1,class_0" in (tmp_path / "list.json").read_text()
    plain = Manifest(clips[1:], ("Cat",))
    plain.write_json(tmp_path / "plain.json", tmp_path / "plain.csv")
    assert json.loads((tmp_path / "plain.json").read_text()) == {"data": [{"wav": clips[1].path, "labels": "Cat"}]}
    assert (tmp_path / "plain.csv").read_text() == "index,mid,display_name\n0,Cat,Cat\n"
    bare = manifest.unlabelled()
    bare.write_csv(tmp_path / "bare.csv")
    bare.write_json(tmp_path / "bare.json")
    assert read_manifest(tmp_path / "bare.csv") == read_manifest(tmp_path / "bare.json") == bare


def test_written_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Manifest([Clip("audio/a.wav")]).write_csv("lists/all.csv")
    assert read_manifest("lists/all.csv").clips == [Clip(str(tmp_path / "audio" / "a.wav"))]


def test_odd_names_are_written_and_read_back(tmp_path):
    odd = ["caf\udce9.wav", "two\nlines.wav", " outer .wav ", 'q"uo,t;e.wav', "日本.wav", "back\\slash.wav"]
    for name in odd:
        (tmp_path / name).write_bytes(b"")
    manifest = Manifest([Clip(str(tmp_path / name), ("x",)) for name in odd], ("x",))
    manifest.write_csv(tmp_path / "list.csv")
    manifest.write_json(tmp_path / "list.json", tmp_path / "labels.csv")
    assert read_manifest(tmp_path / "list.csv") == manifest
    assert read_manifest(tmp_path / "list.json", tmp_path / "labels.csv") == manifest
    assert "日本.wav" in (tmp_path / "list.json").read_text(encoding="utf-8")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "list.csv"
    Manifest([Clip("/a.wav")]).write_csv(path)
    before = path.read_text()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        Manifest([Clip("/b.wav")]).write_csv(path)
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["list.csv"]


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(ManifestError, match="class 'a;b' cannot stand in a CSV"):
        Manifest([Clip("/a.wav", ("a;b",))], ("a;b",)).write_csv(tmp_path / "x.csv")
    with pytest.raises(ValueError, match="give label_csv too"):
        Manifest([Clip("/a.wav", ("a",))], ("a",)).write_json(tmp_path / "x.json")
    assert not list(tmp_path.iterdir())
