"""Which files a folder holds: one rule for every verb and every folder of a data set."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

# What recorders, phones and the web name sound, and films, for theirs. What no decoder reads is listed too, so that
# such a file is named as unreadable and not passed over.
_SOUND_AND_FILMS = """
    .wav .wave .bwf .rf64 .w64 .aif .aiff .aifc .au .snd .caf .flac .ogg .oga .ogx .opus .spx .mp1 .mp2 .mp3 .mpga
    .aac .adts .m4a .m4b .m4r .mp4 .mka .weba .webm .wma .amr .awb .3ga .3gp .3g2 .ac3 .eac3 .dts .mlp .thd .ra .qcp
    .wv .ape .tta .tak .shn .mpc .als .dsf .dff .voc .sph .nist .ircam .sf .paf .pvf .avr .8svx .svx .sd2 .wve .oma
    .raw .pcm .gsm .g722 .g726 .vox .sln .ulaw .alaw .dss .ds2 .aa .aax
    .avi .mkv .mov .m4v .mpg .mpeg .vob .mts .m2ts .ogv .wmv .asf .flv .rm
"""
AUDIO_SUFFIXES = frozenset(_SOUND_AND_FILMS.split())

# They lie beside recordings in such numbers that opening each would take its time on a network disk.
_TEXTS_AND_TABLES = """
    .txt .csv .tsv .json .jsonl .xml .html .md .log .lab .textgrid .eaf .rttm .srt .vtt .npy .npz .pt .h5 .png .jpg
    .jpeg .pdf .py
"""
_NOT_OPENED = frozenset(_TEXTS_AND_TABLES.split())

# What stands in the place of a recording that is elsewhere or packed: clip.wav.dvc, .clip.wav.icloud, clip.wav.gz.
_STANDS_FOR = frozenset({".dvc", ".icloud", ".nextcloud", ".owncloud", ".gz", ".bz2", ".xz", ".zst"})

_SOUND = re.compile(
    rb"RIFF....(WAVE|AVI )|RF64|RIFX|BW64|riff\x2e\x91\xcf\x11|FORM....(AIF[FC]|8SVX)|\.snd|caff\x00|fLaC|OggS\x00"
    rb"|ID3[\x02-\x04]|\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xef]|\xff[\xf0\xf1\xf8\xf9][\x40-\x7f]"  # MPEG, ADTS
    rb"|....ftyp(?!heic|heix|mif1|avif|jp2)|\x1a\x45\xdf\xa3|\x30\x26\xb2\x75\x8e\x66\xcf\x11|FLV\x01|\x00\x00\x01\xba"
    rb"|G\x40[\x00\x11][\x10-\x3f]"  # MPEG transport stream
    rb"|#!AMR|\x02?#!SILK|wvpk|MAC .[\x0e-\x10]|TTA1|tBaK|ajkg|MPCK|MP\+|DSD \x1c|FRM8|NIST_1A|Creative Voice File"
    rb"|\.RMF|\.ra\xfd",
    re.DOTALL,
)

_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})


def audio_below(folder: str | os.PathLike) -> list[str]:
    """The audio files at any depth below a folder, folder by folder, sorted.

    A file is audio if its name ends in one of AUDIO_SUFFIXES, in capitals or not, or, with another ending or none, if
    its first bytes are those of a sound file (texts, tables and pictures are not opened). Names that begin with '.',
    such as the `._` files of a Mac, and folders that systems keep for themselves (__MACOSX, @eaDir) are passed over.

    Links are followed; a folder that several lead to is listed once, under its own name if it lies within, and links
    back up lead nowhere. What cannot be read is in the list all the same, so that reading names it: dangling links,
    folders that may not be entered, and what stands in the place of a recording, such as clip.wav.dvc without clip.wav.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    found = [path for path, audio in _files_below(folder) if audio]
    return sorted(found, key=lambda path: path.replace(os.sep, "\0"))


def other_files_below(folder: str | os.PathLike) -> str:
    """How many files of what endings are passed over: "13 other files: 10 .txt, 2 .zip, 1 without ending"."""
    endings = Counter(sorted(os.path.splitext(path)[1].lower() for path, audio in _files_below(folder) if not audio))
    if not endings:
        return "no other files"
    shown = [f"{count} {ending or 'without ending'}" for ending, count in endings.most_common(4)]
    more = ", ..." if len(endings) > 4 else ""
    return f"{endings.total()} other file{'s' * (endings.total() > 1)}: {', '.join(shown)}{more}"


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is passed over."""
    return (name.startswith(".") and not name.endswith(".icloud")) or name in _SYSTEM_FOLDERS


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or a link to one; not if that cannot be found out."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or through a folder that may not be entered
        return False


def is_audio_file(path: str) -> bool:
    """Whether a file is audio, by its name or its first bytes."""
    stem, ending = os.path.splitext(path)
    ending = ending.lower()
    if ending in AUDIO_SUFFIXES or ending in _NOT_OPENED:
        return ending in AUDIO_SUFFIXES
    if ending in _STANDS_FOR:
        return os.path.splitext(stem)[1].lower() in AUDIO_SUFFIXES and not os.path.lexists(stem)
    try:
        if not os.path.isfile(path):  # opening a pipe waits for its writer
            return False
        with open(path, "rb") as file:
            return _SOUND.match(file.read(32)) is not None
    except OSError:
        return False


def full_names(paths: Iterable[str]) -> list[str]:
    """The absolute path of each file, its folder's links resolved: two spellings of one name are equal.

    A file that is a link keeps the name of the link.
    """
    real_folder = cache(os.path.realpath)
    return [os.path.join(real_folder(folder), name) for folder, name in map(os.path.split, paths)]


def real_files(paths: Iterable[str]) -> list[str]:
    """The file behind each path, links resolved: two names of one recording are equal."""
    return [os.path.realpath(name) if os.path.islink(name) else name for name in full_names(paths)]


def _files_below(folder: str | os.PathLike) -> Iterator[tuple[str, bool]]:
    """(path, is it audio) of every file, and (path, True) of every folder that cannot be listed."""
    top = os.fspath(Path(folder))
    waiting, links = ["" if top == os.curdir else top], []
    seen: set[str] = set()
    while waiting or links:
        parent = waiting.pop() if waiting else links.pop()  # what lies within before what links lead to
        real = os.path.realpath(parent)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(parent or os.curdir) as listing:
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError:
            if len(seen) == 1:
                raise
            yield parent, True
            continue
        for entry in entries:
            path = os.path.join(parent, entry.name)
            if is_hidden(entry.name):
                continue
            if not is_folder(entry):
                yield path, is_audio_file(path)
            elif not entry.is_symlink():
                waiting.append(path)
            elif not _lies_in(real, os.path.realpath(path)):
                links.append(path)


def _lies_in(inner: str, outer: str) -> bool:
    return os.path.commonpath([inner, outer]) == outer
