"""Sound: files read, and what a network reads of them."""

from .reading import AudioError, AudioFile, AudioInfo, probe, read_audio

__all__ = ["AudioError", "AudioFile", "AudioInfo", "probe", "read_audio"]
