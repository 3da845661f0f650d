"""What a file is that no decoder reads, and what to do: by its bytes, and by its name where they say nothing."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path

from . import ogg_pages
from .containers import HEAD, boxes, mp4_codings, wavs_of
from .names import quoted

_UNPACK, _GIVE, _AGAIN = "unpack it and give the sound in it", "give the files that it names", "download it again"
_LOCKED = "it is encrypted for one account or player, and no decoder may read it"
_HTML = rb"(?i:\s*(?:<!--.{0,400}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b)"
_HEADERLESS = "is samples without a header, which do not say their rate and coding; if they are 16 bits at 16 kHz: {}"

# How a file begins: what it is and what to do, a sentence that follows its name. {name} is its name, for a shell.
_NOT_SOUND = tuple(
    (re.compile(pattern, re.DOTALL), sentence)
    for pattern, sentence in (
        # pointers to sound that is elsewhere
        (rb"version https://(?:git-lfs|hawser)\.", "is a Git LFS pointer, not yet the sound: `git lfs pull`"),
        (rb"[^\n]{0,200}/annex/objects/", "is a git-annex pointer: `git annex get {name}`, or `datalad get {name}`"),
        (rb"(?:\w+: [^\n]*\n)*outs:\r?\n- ", "is a DVC pointer, not yet the sound: `dvc pull`"),
        (rb"bplist00.*NSURL", "stands for a file that is still in iCloud: download it there"),
        (rb"L\x00\x00\x00\x01\x14\x02\x00", "is a Windows shortcut: give the file that it points to"),
        (rb"\s*\[InternetShortcut\]", "is a shortcut to an address: download what it points to"),
        (rb"book\x00\x00\x00\x00mark", "is an alias of macOS: give the file that it points to"),
        (rb"#EXTM3U|\s*\[playlist\]|\s*(?:<\?xml.{0,200}?)?<(?:playlist|asx)\b", f"is a playlist: {_GIVE}"),
        (rb"(?:[A-Z]+ [^\n]*\n){1,20}\s*(?:TRACK|INDEX) \d\d", f"is a cue sheet: {_GIVE}"),
        # what systems and editors write beside sound
        (rb"\x00\x05\x16\x07", "is an AppleDouble file, macOS's notes on the file without `._`, no sound: delete it"),
        (rb"\x00\x05\x16\x00", "is an AppleSingle file, sound wrapped by macOS: copy it again, its data alone"),
        (rb"\x00\x00\x00\x01Bud1", "is a .DS_Store, what macOS notes of a folder: delete it"),
        (rb"bplist0|\s*<\?xml.{0,400}?<plist", "is a property list of macOS, no sound"),
        (rb"RPK[MNL]", "is a peaks file of REAPER, no sound: delete it, or leave it out"),
        (rb"SFPK", "is a peaks file of Sound Forge, no sound: delete it, or leave it out"),
        # what a server sent in the place of sound
        (rb"\s*<\?xml.{0,400}?<Error>.{0,200}?<Code>(?P<text>[^<]*)", f"is a server's error, “{{text}}”: {_AGAIN}"),
        (_HTML + rb".{0,20000}?<title[^>]*>(?P<text>[^<]*)", f"is a web page, “{{text}}”, not the sound: {_AGAIN}"),
        (_HTML, f"is a web page, not the sound: {_AGAIN}"),
        (rb"\s*<(?:\?xml|[A-Za-z][\w:-]*[\s>/])", f"is XML, not sound; if a server sent it, {_AGAIN}"),
        (rb"\s*(?P<text>[{\[]\s*[\[{\"\d].*)", f"is JSON, “{{text}}”, not sound; if a server sent it, {_AGAIN}"),
        # archives
        (rb"PK\x03\x04.{26,90}?data\.pkl", "is a file of torch.save, not sound"),
        (rb"PK\x03\x04.{26,90}?\.npy", "is an npz archive of NumPy, not sound: soundfile.write makes WAVs of arrays"),
        (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", f"is a zip archive: {_UNPACK}"),
        (rb"\x1f\x8b", f"is compressed by gzip: {_UNPACK}"),
        (rb"BZh[1-9]1AY&SY", f"is compressed by bzip2: {_UNPACK}"),
        (rb"\xfd7zXZ\x00", f"is compressed by xz: {_UNPACK}"),
        (rb"\x28\xb5\x2f\xfd", f"is compressed by zstd: {_UNPACK}"),
        (rb"7z\xbc\xaf\x27\x1c", f"is a 7-Zip archive: {_UNPACK}"),
        (rb"Rar!\x1a\x07", f"is a RAR archive: {_UNPACK}"),
        (rb".{257}ustar", f"is a tar archive: {_UNPACK}"),
        # other things
        (rb"%PDF-", "is a PDF, not sound"),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an Office document, not sound"),
        (rb"\x89PNG\r\n|\xff\xd8\xff[\xdb\xe0-\xef]|GIF8[79]a|BM.{4}\x00{4}", "is a picture, not sound"),
        (rb"II\*\x00|MM\x00\*|RIFF.{4}WEBP|.{4}ftyp(?:hei[cx]|mif1|msf1|avif)", "is a picture, not sound"),
        (rb"\x93NUMPY", "is a NumPy array, not sound: soundfile.write makes a WAV of it"),
        (rb"MATLAB 5\.0 MAT-file", "is MATLAB data, not sound: scipy.io.loadmat and soundfile.write make a WAV of it"),
        (rb"\x89HDF\r\n", "is HDF5 data, not sound: h5py and soundfile.write make a WAV of an array in it"),
        (rb"PAR1", "is a Parquet table: write the sound in it to files"),
        (rb"ARROW1\x00\x00|\xff{4}.{3}\x00\x10\x00{3}", "is an Arrow table: write the sound in it to files"),
        (rb"SQLite format 3\x00", "is an SQLite data base, not sound"),
        (rb"\x80[\x02-\x05](?:\x95|\}|\]|c|\x8a\x0a)", "is a Python pickle, as torch.save writes them, not sound"),
        (rb".{8}\{\"(?:__metadata__|[\w.]+\":\s?\{\"dtype)", "is safetensors, weights and not sound"),
        (rb"\x7fELF|MZ.{60,400}This program", "is a program, not sound"),
        (rb"MThd|RIFF.{4}RMID", "is MIDI, notes and no sound: render it, for example with FluidSynth"),
        (rb"RIFF.{4}sfbk", "is a SoundFont, an instrument and no recording"),
        (rb"Extended Module: |IMPM|.{44}SCRM", "is a tracker module, notes and no recording: render it"),
        (rb".{4}ftypaaxc?|.{4}\x57\x90\x75\x36", f"is an Audible book: {_LOCKED}"),
    )
)

# What names say of files whose beginning says nothing.
_BY_NAME = tuple(
    (re.compile(rf".*\.(?:{suffixes})", re.IGNORECASE), sentence)
    for suffixes, sentence in (
        ("asd|pkf?|peak|sfk|sfl|ovw|gpk|wfm|mrk", "is what an editor notes of sound beside it, no sound: leave it out"),
        ("part|partial|crdownload|download|opdownload|filepart|!ut|tmp", f"is a download that has not ended: {_AGAIN}"),
    )
)
_RAW = re.compile(r".*\.(?:raw|pcm|s[wb8]|u[wbl8]|al|s16|f32)", re.IGNORECASE)


def not_sound(path: str | os.PathLike) -> str | None:
    """What a file is that is certainly no sound, and what to do: a sentence that follows its name. None: perhaps sound.

    Reads the first 64 KiB, and all of a file that begins with zeros.
    """
    path = Path(os.fsdecode(path))
    head = _head(path)
    if not head:
        return "is empty (0 bytes): copy or download it again"
    if not head.strip(b"\x00") and _all_zero(path):
        return "is zeros from end to end: a copy or download that failed; copy it again"
    for pattern, sentence in _NOT_SOUND:
        if found := pattern.match(head):
            return sentence.format(name=quoted(path), text=_readable(found.groupdict().get("text", b"")))
    return _text(head)


def encrypted(path: str | os.PathLike) -> str | None:
    """Which lock a file of bought sound has, a sentence that follows its name; None: none."""
    path = Path(os.fsdecode(path))
    head = _head(path)
    if head.startswith(bytes.fromhex("3026b2758e66cf11")) and bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e") in head:
        return f"is Windows Media with DRM: {_LOCKED}"
    if re.match(rb".{4}ftyp", head, re.DOTALL):
        with open(path, "rb") as file:
            codings = set(mp4_codings(file, 0, path.stat().st_size))
        if codings & {b"enca", b"drms", b"aavd"}:
            return f"is bought sound with DRM: {_LOCKED}"
    return None


def headerless(path: str | os.PathLike) -> str:
    """The sentence about samples that no header describes."""
    return _HEADERLESS.format(conversion(path, ".wav", reading="-f s16le -ar 16000 -ac 1"))


def conversion(path: str | os.PathLike, suffix: str = ".flac", reading: str = "", writing: str = "") -> str:
    """The command that makes another file of one, with options for reading and for writing it."""
    words = ("ffmpeg", reading, "-i", quoted(path), writing, quoted(path, suffix))
    return " ".join(filter(None, words))


def unreadable(path: str | os.PathLike) -> str | None:
    """What a file of sound lacks without which no decoder reads it, a sentence that follows its name; None: nothing."""
    path, head = Path(path), _head(Path(path))
    return next(filter(None, (look(path, head) for look in (_by_name, _mp4, _wav, _ogg))), None)


def cause(path: str | os.PathLike) -> str | None:
    """What a file is that no decoder reads, and what to do, a sentence that follows its name. None: unknown."""
    path = Path(os.fsdecode(path))
    if not path.exists():
        return missing(path)
    return not_sound(path) or encrypted(path) or unreadable(path)


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEAD)


def _all_zero(path: Path) -> bool:
    with open(path, "rb") as file:
        return not any(block.strip(b"\x00") for block in iter(lambda: file.read(1 << 20), b""))


def _text(head: bytes) -> str | None:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
    else:
        try:
            text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
        except UnicodeDecodeError:
            return None
    if not text.strip() or any(character < " " and character not in "\t\n\r\f\x1b" for character in text):
        return None
    if text.startswith("NIST_1A"):
        return None  # NIST SPHERE: its header is text
    return f"is text, not sound: “{_readable(text[:200].encode())}”"


def _readable(text: bytes, longest: int = 60) -> str:
    words = " ".join(text.decode("utf-8", "replace").split())
    return words if len(words) <= longest else words[: longest - 1] + "…"


def missing(path: str | os.PathLike) -> str:
    """What to say of a file that is not there."""
    path = Path(os.fsdecode(path))
    if not path.is_symlink():
        return "does not exist"
    target = os.readlink(path)
    if "annex/objects" in target.replace("\\", "/"):
        name = quoted(path)
        return f"does not exist: its git-annex link leads nowhere here: `git annex get {name}`, or `datalad get {name}`"
    return f"does not exist: it is a link to {target}"


def _mp4(path: Path, head: bytes) -> str | None:
    if not re.match(rb".{4}(?:ftyp|mdat|wide|free|skip)", head, re.DOTALL):
        return None
    size = path.stat().st_size
    with open(path, "rb") as file:
        ends = {name: end for name, _, end in boxes(file, 0, size)}
    if ends.get(b"moov", size + 1) <= size:
        return None
    lacks = max(ends.values(), default=size) - size
    cut = f"it lacks at least {lacks} bytes; " if lacks > 0 else ""
    return (
        f"is MP4 without its whole index (moov), which is written last: the recording or copy broke off; {cut}"
        "copy it again, or rebuild the index, for example with untrunc"
    )


def _wav(path: Path, head: bytes) -> str | None:
    if not re.match(rb"(?:RIF[FX]|RF64).{4}WAVE", head, re.DOTALL) or wavs_of(path):
        return None
    return "is WAV that breaks off before its samples: copy it again"


def _ogg(path: Path, head: bytes) -> str | None:
    if not head.startswith(b"OggS"):
        return None
    with open(path, "rb") as file:
        found = ogg_pages.walk(file, 0, path.stat().st_size)
    held = {stream.codec for link in found.links for stream in link.values()}
    return "is Ogg with video alone, no sound" if "video" in held and held <= {"video", None} else None


def _by_name(path: Path, head: bytes) -> str | None:
    if _RAW.fullmatch(path.name):
        return headerless(path)
    return next((sentence for pattern, sentence in _BY_NAME if pattern.fullmatch(path.name)), None)
