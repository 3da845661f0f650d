"""What every training program does first: devices, model sizes, data sets."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.distributed import DistError
from torch.utils.data import Subset

from ..audio.log_mel import FRAME_LENGTH, FRAME_SHIFT, SAMPLE_RATE, frame_count
from ..config import SSAMBAConfig
from ..data.dataset import AudioDataset
from ..data.feature_cache import FeatureCache
from ..data.loader import class_balanced_weights, make_loader
from ..data.manifest import Manifest, read_manifest
from ..data.preparers.splits import SPLITS_FILE
from ..data.statistics import dataset_statistics
from .agreement import agreed
from .devices import RENDEZVOUS, is_main_process
from .progress import say, shows_progress
from .run_directory import fingerprint
from .run_lock import locked
from .seeding import seed_for
from .settings import DataSettings, ModelSettings, TrainingSettings

T = TypeVar("T")
SIZE_FIELDS = (
    *("embed_dim", "depth", "layout", "norm", "backward_dt_init", "drop_path"),
    *("fshape", "tshape", "fstride", "tstride"),
)
MEASURED_CLIPS = 1000
PATIENCE = 10.0  # seconds before it is said that others are waited for


def make_accelerator(precision: str, device: str) -> Accelerator:
    """An Accelerator; raises ValueError if this machine cannot compute in `precision`, or other processes are missing.

    Whoever starts one process of several waits here for the others; after a while a line says so.
    """
    AcceleratorState._reset_state()  # a program may pretrain in bf16 and then fine-tune in float32
    found = ", ".join(f"{name}={os.environ[name]}" for name in RENDEZVOUS if name in os.environ)
    told = f"the environment says that this process is one of several ({found})"
    way_out = "start it with torchrun or accelerate launch, or unset these variables to use this process alone"
    waiting = threading.Timer(PATIENCE, say, [f"{told}; waiting for the others. If there are none, {way_out}"])
    waiting.daemon = True
    if found:
        waiting.start()
    try:
        accelerator = Accelerator(mixed_precision=precision, cpu=device == "cpu")
    except (ValueError, DistError) as error:
        if "precision" not in str(error) and found:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{told}, but the others cannot be reached: {reason}; {way_out}") from error
        raise ValueError(f"precision {precision} does not work here: {error}") from error
    finally:
        waiting.cancel()
    if precision == "fp16" and accelerator.device.type == "cpu":  # which accelerate would ignore
        raise ValueError("precision fp16 needs a GPU; on the CPU use bf16 or no")
    return accelerator


@contextmanager
def open_run(out: Path, accelerator: Accelerator, check: Callable[[], T]) -> Iterator[T]:
    """Keep the directory `out` for these processes alone; gives what `check` finds there.

    Raises, in all of them, what `locked` and `check` raise.
    """
    with ExitStack() as stack:

        def enter() -> T:
            stack.enter_context(locked(out))
            return check()

        yield agreed(accelerator, enter)


def input_frames(settings: ModelSettings, default: int) -> int:
    """Frames of input: as set, or what `seconds` needs, or `default`; raises ValueError if the two contradict."""
    needed = None if settings.seconds is None else frame_count(round(settings.seconds * SAMPLE_RATE))
    if settings.input_tdim is None:
        return needed or default
    if needed and needed > settings.input_tdim:
        raise ValueError(
            f"seconds {settings.seconds:g} makes {needed} frames, more than input_tdim {settings.input_tdim}; "
            "leave one of the two out"
        )
    return settings.input_tdim


def clip_seconds(settings: ModelSettings, config: SSAMBAConfig) -> float:
    """Longest clip that is read at once: `seconds`, or what fills `input_tdim` frames."""
    return settings.seconds or seconds_of(config.input_tdim)


def seconds_of(frames: int) -> float:
    """Shortest audio that makes so many frames."""
    return ((frames - 1) * FRAME_SHIFT + FRAME_LENGTH) / SAMPLE_RATE


def size_overrides(settings: ModelSettings) -> dict[str, Any]:
    """The sizes that were set, by configuration field."""
    return {name: getattr(settings, name) for name in SIZE_FIELDS if getattr(settings, name) is not None}


def open_manifest(settings: DataSettings, source: str, **options: Any) -> Manifest:
    """The manifest at `source`; `audio_root` applies to manifests only, not to folders."""
    if os.path.isfile(os.path.join(source, SPLITS_FILE)):
        raise ValueError(
            f"{source} was prepared with several parts: train and test on all of it with ssamba repeat, or give one of "
            "its manifests, such as train.csv, and validation.csv as validation"
        )
    audio_root = None if os.path.isdir(source) else settings.audio_root
    return read_manifest(source, settings.label_csv, audio_root, require_files=True, **options)


def training_and_validation(settings: TrainingSettings, **options: Any) -> tuple[Manifest, Manifest | None]:
    """Manifests to train on and to validate on (None if validation is off); raises ValueError if they share a file."""
    manifest = open_manifest(settings, settings.data, **options)
    if settings.validation is not None:
        if "labels" not in options:
            options = {**options, "classes": manifest.classes or None}
        held_out = open_manifest(settings, settings.validation, **options)
        if shared := manifest.shared_files(held_out):
            raise ValueError(
                f"{len(shared)} clips are in both data and validation, such as {shared[0]}; take them out of one"
            )
        return manifest, held_out
    if settings.validation_share == 0:
        if settings.schedule == "plateau":
            raise ValueError("schedule plateau watches validation clips: give validation, or raise validation_share")
        return manifest, None
    seed = seed_for(settings.seed, "hold out") % 2**32
    kept, held_out = manifest.split(1 - settings.validation_share, settings.validation_share, seed=seed)
    if not len(held_out) or not len(kept):
        raise ValueError(
            f"{len(manifest)} clips are too few to hold out {settings.validation_share:g} of each class for "
            "validation; raise validation_share, give validation, or set validation_share to 0"
        )
    return kept, held_out


@dataclass
class Data:
    """Data sets of a run and the loader to train from."""

    train: AudioDataset
    validation: AudioDataset | None
    loader: Any

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(path, reason) of every file that was left out."""
        return [*self.train.skipped, *(self.validation.skipped if self.validation else [])]

    def facts(self, settings: TrainingSettings, accelerator: Accelerator) -> dict[str, Any]:
        """What a resumed run must share."""
        held_out = settings.validation or settings.data
        return {
            "training_clips": clips_of(self.train, root_of(settings, settings.data)),
            "validation_clips": self.validation and clips_of(self.validation, root_of(settings, held_out)),
            "processes": accelerator.num_processes,
        }


def clips_of(data: AudioDataset, root: str | None = None) -> dict[str, Any]:
    """Fingerprint of the clips of a data set."""
    return fingerprint([(clip.path, clip.labels + clip.seconds) for clip in data.clips], root)


def root_of(settings: DataSettings, source: str) -> str:
    """Where the paths of a data set begin."""
    return str(Path(source) if os.path.isdir(source) else Path(settings.audio_root or Path(source).parent))


def make_data(
    settings: TrainingSettings,
    train: Manifest,
    validation: Manifest | None,
    config: SSAMBAConfig,
    balance: bool = False,
    per_second: bool = False,
) -> Data:
    """Check all files; crops are random in training and from the start in validation."""
    cache = open_feature_cache(settings, config)
    common = {
        "sample_rate": config.sample_rate,
        "seconds": clip_seconds(settings, config),
        "seed": settings.seed,
        "strict": settings.strict,
        "min_seconds": seconds_of(config.tshape),
        "cache": settings.cache,
        "per_second": per_second,
        "feature_cache": cache,
    }
    train_set = AudioDataset(train, random_crop=True, **common)
    validation_set = AudioDataset(validation, **common) if validation else None
    say_room(cache, train_set, validation_set, quiet=settings.quiet)
    loader = make_loader(
        train_set,
        settings.batch_size,
        shuffle=True,
        seed=settings.seed,
        num_workers=settings.workers,
        drop_last=len(train_set) >= settings.batch_size,
        weights=class_balanced_weights(train_set) if balance else None,
    )
    return Data(train_set, validation_set, loader)


def open_feature_cache(settings: DataSettings, config: SSAMBAConfig) -> FeatureCache | None:
    """The feature cache that was asked for, with what a model of this configuration reads."""
    if settings.feature_cache is None:
        return None
    return FeatureCache(settings.feature_cache, config.sample_rate, subtract_mean=config.features == "compat")


def say_room(cache: FeatureCache | None, *datasets: AudioDataset | None, quiet: bool) -> None:
    """Say on stderr how much room the cache takes, and will take when it holds these data sets."""
    if cache is not None and not quiet and is_main_process():
        say(cache.describe(sum(dataset.durations.sum() for dataset in datasets if dataset)))


def measured(settings: TrainingSettings, data: Data) -> dict[str, float]:
    """`mean` and `std` of the log-mel: as set, or measured on the training clips (1000 of them, if there are more)."""
    given = {name: getattr(settings, name) for name in ("mean", "std")}
    if None in given.values():
        chosen = random.Random(settings.seed).sample(range(len(data.train)), min(len(data.train), MEASURED_CLIPS))
        progress = shows_progress(settings.quiet)
        statistics = dataset_statistics(data.train.beginnings(), 8, settings.workers, progress, chosen)
        given = {name: getattr(statistics, name) if value is None else value for name, value in given.items()}
    return given


def validation_loader(dataset: AudioDataset, settings: Any, accelerator: Accelerator) -> Any:
    """This process's share of the clips, in order; no clip is seen twice."""
    if len(dataset) < accelerator.num_processes:
        raise ValueError(f"{len(dataset)} validation clips are fewer than {accelerator.num_processes} processes")
    share = range(accelerator.process_index, len(dataset), accelerator.num_processes)
    part = dataset if accelerator.num_processes == 1 else Subset(dataset, share)
    return make_loader(part, settings.batch_size, shuffle=False, seed=0, num_workers=settings.workers)
