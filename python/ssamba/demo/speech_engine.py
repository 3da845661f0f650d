"""Speaks words with the eSpeak NG engine.

`speak` runs this very file as a program of its own, because the engine is a C library with global state: a crash in it
ends the child and not the caller, and a fresh process gives the same samples for the same utterances in the same order.
This file therefore imports nothing of the package.
"""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
POSITION_CHARACTER = 1
CHARACTERS_UTF8 = 1
PARAMETER_RATE, PARAMETER_PITCH, PARAMETER_RANGE = 1, 3, 4
FAILED = 3  # exit status of the child when it explains itself on stderr
LONGEST_DATA_PATH = 140  # eSpeak NG keeps its data path in a buffer of 160 bytes and cuts longer ones off in silence

INSTALL = 'the speech engine comes with: pip install "espeakng-loader==0.2.4" (or pip install "ssamba[demo]")'


class SpeechEngineError(RuntimeError):
    """The eSpeak NG engine is missing, refused an utterance, or crashed."""

    exit_code = 1  # of the command line


@dataclass(frozen=True)
class Utterance:
    """One word as one voice says it.

    text: what is said. accent: an eSpeak NG English voice such as "en-us". voice: a voice variant such as "f2".
    pitch, pitch_range: 0 to 99, 50 is the voice's own. rate: words per minute, 80 to 450.
    """

    text: str
    accent: str
    voice: str
    pitch: int = 50
    pitch_range: int = 50
    rate: int = 175


def engine_version() -> str:
    """Version of the package that carries the engine; raises SpeechEngineError if it is not installed."""
    try:
        return metadata.version("espeakng-loader")
    except metadata.PackageNotFoundError as error:
        raise SpeechEngineError(f"the eSpeak NG engine is not installed; {INSTALL}") from error


def speak(utterances: list[Utterance], seconds_allowed: float = 300.0) -> tuple[list[np.ndarray], int]:
    """Says every utterance; returns their samples, int16 (samples,), and the sample rate in Hz.

    The same list gives the same samples, bit for bit. Raises SpeechEngineError if the engine is not installed, does not
    know a voice, crashes, or takes longer than `seconds_allowed`.
    """
    with tempfile.TemporaryDirectory(prefix="ssamba-speech-") as folder:
        result = Path(folder) / "speech.npz"
        try:
            child = subprocess.run(
                [sys.executable, __file__, str(result)],
                input=json.dumps([asdict(utterance) for utterance in utterances]),
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=seconds_allowed,
            )
        except subprocess.TimeoutExpired:
            raise SpeechEngineError(
                f"the speech engine did not say {len(utterances)} words within {seconds_allowed:.0f} s; "
                "try again when the machine is less busy"
            ) from None
        if child.returncode != 0:
            raise SpeechEngineError(_why_it_failed(child.returncode, child.stderr))
        with np.load(result) as speech:
            rate = int(speech["rate"])
            return np.split(speech["samples"], np.cumsum(speech["lengths"]))[:-1], rate


def _why_it_failed(returncode: int, stderr: str) -> str:
    said = stderr.strip() or "it left no message"
    if returncode == FAILED:
        return said
    cause = signal.Signals(-returncode).name if returncode < 0 else f"exit status {returncode}"
    return f"the eSpeak NG engine crashed ({cause}): {said}; {INSTALL}"


class _Engine:
    def __init__(self, library_path: str, data_path: str):
        try:
            self.library = ctypes.CDLL(library_path)
        except OSError as error:
            raise SpeechEngineError(f"cannot load the eSpeak NG library {library_path}: {error}; {INSTALL}") from error
        self.variants = Path(data_path) / "voices" / "!v"
        self.chunks: list[np.ndarray] = []
        callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int16), ctypes.c_int, ctypes.c_void_p)
        self.callback = callback_type(self._collect)  # kept: the engine holds only the bare pointer
        self.rate = self.library.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS, 0, str(data_path).encode(), INITIALIZE_DONT_EXIT
        )
        if self.rate <= 0:
            raise SpeechEngineError(
                f"eSpeak NG cannot start with its data at {data_path} (code {self.rate}); {INSTALL}"
            )
        self.library.espeak_SetSynthCallback(self.callback)
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # of breath; by default the clock

    def _collect(self, samples, count, events) -> int:
        if samples and count > 0:
            self.chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, utterance: Utterance) -> np.ndarray:
        # The engine falls back to its plain voice for an unknown variant without a word, so look for the file first.
        if not (self.variants / utterance.voice).is_file():
            raise SpeechEngineError(f"eSpeak NG has no voice variant {utterance.voice!r} in {self.variants}")
        name = f"{utterance.accent}+{utterance.voice}"
        if self.library.espeak_SetVoiceByName(name.encode()) != 0:
            raise SpeechEngineError(f"eSpeak NG has no voice {name!r}")
        for parameter, value in (
            (PARAMETER_RATE, utterance.rate),
            (PARAMETER_PITCH, utterance.pitch),
            (PARAMETER_RANGE, utterance.pitch_range),
        ):
            if self.library.espeak_SetParameter(parameter, value, 0) != 0:
                raise SpeechEngineError(f"eSpeak NG refused parameter {parameter} = {value} for {utterance}")
        self.chunks.clear()
        text = utterance.text.encode("utf-8")
        code = self.library.espeak_Synth(
            text, ctypes.c_size_t(len(text) + 1), 0, POSITION_CHARACTER, 0, CHARACTERS_UTF8, None, None
        )
        samples = np.concatenate(self.chunks) if self.chunks else np.zeros(0, np.int16)
        if code != 0 or not samples.any():
            raise SpeechEngineError(f"eSpeak NG said nothing for {utterance} (code {code})")
        return samples


def _main(result: str) -> None:
    utterances = [Utterance(**fields) for fields in json.load(sys.stdin)]
    try:
        import espeakng_loader
    except ImportError as error:
        raise SpeechEngineError(f"the eSpeak NG engine is not installed; {INSTALL}") from error
    with tempfile.TemporaryDirectory(prefix="espeak-") as folder:
        data_path = espeakng_loader.get_data_path()
        if len(data_path) > LONGEST_DATA_PATH:
            short = Path(folder) / "espeak-ng-data"
            short.symlink_to(data_path, target_is_directory=True)
            data_path = str(short)
        engine = _Engine(espeakng_loader.get_library_path(), data_path)
        spoken = [engine.say(utterance) for utterance in utterances]
    samples = np.concatenate(spoken) if spoken else np.zeros(0, np.int16)
    np.savez(result, samples=samples, lengths=np.array([len(one) for one in spoken], np.int64), rate=engine.rate)


if __name__ == "__main__":
    try:
        _main(sys.argv[1])
    except SpeechEngineError as error:
        print(error, file=sys.stderr)
        sys.exit(FAILED)
