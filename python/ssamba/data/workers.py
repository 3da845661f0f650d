"""The processes that read ahead: how many there is room for, and what ends them, in one sentence."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.utils.data import DataLoader, Subset

from ..audio.log_mel import FRAME_SHIFT, MEL_BINS, SAMPLE_RATE
from ..audio.reading import AudioError
from ..checkpoints.disk import in_words
from .dataset import AudioDataset

_log = logging.getLogger(__name__)
SHARED_MEMORY = Path("/dev/shm")  # of Linux; elsewhere there is no such limit
_WAY_OUT = "give the container more (docker run --shm-size=1g), or take fewer --workers or a smaller --batch-size"


class WorkerError(RuntimeError):
    """The processes that read cannot go on; the message says why, and the way out."""

    exit_code = 1


def batch_bytes(dataset: AudioDataset | Subset, batch_size: int) -> int:
    """Bytes of the largest batch: waveforms, or log-mel where they come from a feature cache."""
    whole = dataset.dataset if isinstance(dataset, Subset) else dataset
    seconds = float(whole.durations.max())
    seconds = seconds if whole.seconds is None else min(seconds, whole.seconds)
    rate = whole.sample_rate if whole.feature_cache is None else SAMPLE_RATE / FRAME_SHIFT * MEL_BINS
    return 4 * batch_size * (round(seconds * rate) + len(whole.classes))


def shared_bytes(batch: int, workers: int) -> int:
    """Bytes of shared memory that so many processes may fill: two batches each, and two that are being used.

    Twice over, as the batches of training stay there while those of validation come.
    """
    return 2 * batch * (2 * workers + 2)


def affordable_workers(dataset: AudioDataset | Subset, batch_size: int, workers: int) -> int:
    """`workers`, or fewer, with a warning, if their batches do not fit into the shared memory that is free."""
    if not workers or not SHARED_MEMORY.is_dir():
        return workers
    batch, free = batch_bytes(dataset, batch_size), shutil.disk_usage(SHARED_MEMORY).free
    fewer = next(number for number in range(workers, -1, -1) if not number or shared_bytes(batch, number) <= free)
    if fewer < workers:
        _log.warning(
            "%s has %s free, %d workers may need %s: reading with %s; %s",
            *(SHARED_MEMORY, in_words(free), workers, in_words(shared_bytes(batch, workers))),
            *(f"{fewer} of them" if fewer else "none", _WAY_OUT),
        )
    return fewer


def leave_signals_to_main(worker: int) -> None:
    """Signals that reach every process of a terminal or a job are the main process's, which then ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_main_says_so, args=[os.getppid()], daemon=True).start()


def _end_when_main_says_so(main: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != main:
        pass  # a batch system tells all processes
    os._exit(0)


@contextmanager
def naming_worker_faults(loader: DataLoader) -> Iterator[None]:
    """Inside, what befalls the processes of a loader is a WorkerError; other errors pass, as they were raised there.

    torch tells of a dead process wherever the main one happens to be, so this belongs around all of the work.
    """
    try:
        yield
    except WorkerError:
        raise
    except (RuntimeError, OSError, AudioError) as error:
        if not loader.num_workers:
            raise
        traceback.clear_frames(error.__traceback__)  # a circle in there would keep the processes until it is collected
        named = _named(error, loader)
        if named is None:
            raise
        raise named from error


def _named(error: Exception, loader: DataLoader) -> WorkerError | AudioError | None:
    if isinstance(error, AudioError):
        said = re.split(r"\bAudioError: ", str(error))[-1].strip()  # after the traceback of the worker
        path, _, reason = said.partition(": ")
        return AudioError(path, reason) if str(error).startswith("Caught AudioError in ") else None
    reason = _reason(error, loader)
    return WorkerError(reason) if reason else None


# What torch says, and what of it is meant. Of two that fit, the first.
_SAYINGS: tuple[tuple[str, str], ...] = (
    (r"shared memory|/torch_\d+_|Bus error", "shared memory"),
    (r"Too many open files|items of ancdata", "files"),
    (r"killed by signal: (?:Killed|Aborted)", "killed"),
    (r"DataLoader worker .*?(?:killed by signal|exited unexpectedly)|Pin memory thread exited", "died"),
    (r"(?m)^\[Errno \d+\] (?:Connection reset by peer|Connection refused|Broken pipe)", "died"),
)


def _reason(error: RuntimeError | OSError, loader: DataLoader) -> str | None:
    text = " ".join(str(error).split())
    kind = next((kind for pattern, kind in _SAYINGS if re.search(pattern, _chain(error))), None)
    workers = f"{loader.num_workers} worker{'s' if loader.num_workers > 1 else ''}"
    if kind == "shared memory":
        return f"shared memory is full: {_shared_memory(loader, workers)}; {_WAY_OUT}, or --workers 0"
    if kind == "files":
        return f"{workers} hold more files open than are allowed; allow more (ulimit -n 65536), or take --workers 0"
    if kind == "killed":
        return (
            "a worker process was killed, most likely because memory ran out; take fewer --workers or a smaller "
            "--batch-size"
        )
    if kind == "died":
        return f"a worker process has ended ({text[:150]}); --workers 0 shows what it died of"
    return None


def _chain(error: BaseException | None) -> str:
    """What it says, and what those say that led to it: by what signal a process died stands in the first."""
    said = []
    while error is not None and len(said) < 10:
        said.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(said)


def _shared_memory(loader: DataLoader, workers: str) -> str:
    needed = in_words(shared_bytes(batch_bytes(loader.dataset, loader.batch_size), loader.num_workers))
    if not SHARED_MEMORY.is_dir():
        return f"{workers} may need {needed}"
    return f"{SHARED_MEMORY} has {in_words(shutil.disk_usage(SHARED_MEMORY).total)}, {workers} may need {needed}"
