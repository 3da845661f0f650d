"""Every choice that defines an SSAMBA model, checked when it is made."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

CHOICES = {
    "layout": ("sequential", "paired"),
    "norm": ("layernorm", "rmsnorm"),
    "backward_dt_init": ("like_forward", "zero_bias"),
    "features": ("sound", "compat"),
    "masking": ("cluster", "published_cluster", "frame"),
    "objective": ("joint", "discriminative", "generative"),
    "infonce": ("paper", "published_code"),
}
COUNTS = [
    *(
        "embed_dim",
        "depth",
        "state_size",
        "conv_width",
        "expand",
        "fshape",
        "tshape",
        "fstride",
        "tstride",
        "input_fdim",
    ),
    *("input_tdim", "sample_rate", "masked_patches", "min_cluster", "max_cluster"),
]
NUMBERS = ["norm_eps", "drop_path", "mean", "std", "generative_weight"]


@dataclass(frozen=True)
class SSAMBAConfig:
    """Sizes, input and objectives of a model; written to config.json beside the weights.

    Sizes along time are in frames (10 ms), along frequency in mel bins. `input_tdim` is the length that the position
    table is made for; the model takes other lengths too. `mean` and `std` are those of the raw log-mel; the network
    reads (log-mel - mean) / (2 std). Layout "paired" is the published network, "sequential" has plain residual layers.
    `features` "compat" pads and cuts clips as published, "sound" pads with the mean (see `SSAMBA.features`); masking
    "published_cluster" is the published, biased rule, "cluster" the even one (see `masking.sample_mask`).
    `dt_rank=None` means ceil(embed_dim / 16); `infonce=None` means "published_code" with the paired layout and "paper"
    otherwise. Raises ValueError or TypeError naming the field when a value cannot work.
    """

    embed_dim: int = 192
    depth: int = 24
    state_size: int = 16
    conv_width: int = 4
    expand: int = 2
    dt_rank: int | None = None
    fshape: int = 16
    tshape: int = 16
    fstride: int = 16
    tstride: int = 16
    input_fdim: int = 128
    input_tdim: int = 1024
    layout: Literal["sequential", "paired"] = "sequential"
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    norm_eps: float = 1e-5
    drop_path: float = 0.1
    num_classes: int | None = None
    classes: tuple[str, ...] | None = None
    sample_rate: int = 16000
    mean: float = -4.2677393
    std: float = 4.5689974
    backward_dt_init: Literal["like_forward", "zero_bias"] = "zero_bias"
    masked_patches: int = 400
    features: Literal["sound", "compat"] = "sound"
    masking: Literal["cluster", "published_cluster", "frame"] = "cluster"
    min_cluster: int = 3
    max_cluster: int = 5
    objective: Literal["joint", "discriminative", "generative"] = "joint"
    generative_weight: float = 10.0
    infonce: Literal["paper", "published_code"] | None = None

    def __post_init__(self) -> None:
        for name in COUNTS:
            _check_count(name, getattr(self, name))
        for name in ("dt_rank", "num_classes"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name))
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices and not (name == "infonce" and value is None):
                raise ValueError(f"{name} is {value!r}; choose one of {', '.join(map(repr, choices))}")
        for name in NUMBERS:
            _check_number(name, getattr(self, name))
        if self.norm_eps <= 0 or self.std <= 0:
            raise ValueError(f"norm_eps and std must be above 0, got {self.norm_eps} and {self.std}")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path is {self.drop_path}; it is a probability, at least 0 and below 1")
        if self.generative_weight < 0:
            raise ValueError(f"generative_weight is {self.generative_weight}; it must not be negative")
        if self.layout == "paired" and self.depth % 2:
            raise ValueError(f"depth is {self.depth}; the paired layout needs an even number of layers")
        if self.min_cluster > self.max_cluster:
            raise ValueError(f"min_cluster {self.min_cluster} is larger than max_cluster {self.max_cluster}")
        self._check_patches()
        self._check_classes()

    def _check_patches(self) -> None:
        for axis, unit in (("f", "mel bins"), ("t", "frames")):
            shape, stride = getattr(self, f"{axis}shape"), getattr(self, f"{axis}stride")
            size = getattr(self, f"input_{axis}dim")
            if size < shape:
                raise ValueError(f"input_{axis}dim is {size} {unit}, less than one patch ({axis}shape {shape})")
            if stride > shape:
                raise ValueError(
                    f"{axis}stride {stride} is larger than {axis}shape {shape}: {unit} between patches would be lost"
                )

    def _check_classes(self) -> None:
        if self.classes is None:
            return
        if isinstance(self.classes, str):
            raise TypeError(f"classes is the single string {self.classes!r}; give a sequence of label names")
        classes = tuple(self.classes)
        object.__setattr__(self, "classes", classes)
        if not classes or not all(isinstance(label, str) for label in classes):
            raise TypeError(f"classes must be a sequence of at least one label name, got {classes!r}")
        if len(set(classes)) != len(classes):
            twice = sorted({label for label in classes if classes.count(label) > 1})
            raise ValueError(f"classes names {', '.join(twice)} more than once")
        if self.num_classes is None:
            object.__setattr__(self, "num_classes", len(classes))
        if self.num_classes != len(classes):
            raise ValueError(f"num_classes is {self.num_classes}, but classes holds {len(classes)} names")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along frequency and along time for an input of `input_tdim` frames."""
        return self.rows, self.columns(self.input_tdim)

    @property
    def num_patches(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def rows(self) -> int:
        """Patches along frequency."""
        return (self.input_fdim - self.fshape) // self.fstride + 1

    def columns(self, frames: Any) -> Any:
        """Patches along time in `frames` frames (an int or an integer tensor)."""
        return (frames - self.tshape) // self.tstride + 1

    @property
    def inner_dim(self) -> int:
        return self.expand * self.embed_dim

    @property
    def time_step_rank(self) -> int:
        return self.dt_rank or math.ceil(self.embed_dim / 16)

    @property
    def infonce_orientation(self) -> str:
        return self.infonce or ("published_code" if self.layout == "paired" else "paper")

    @classmethod
    def tiny(cls, **overrides: Any) -> SSAMBAConfig:
        return cls(**{"embed_dim": 192, **overrides})

    @classmethod
    def small(cls, **overrides: Any) -> SSAMBAConfig:
        return cls(**{"embed_dim": 384, **overrides})

    @classmethod
    def base(cls, **overrides: Any) -> SSAMBAConfig:
        return cls(**{"embed_dim": 768, **overrides})

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        fields = dataclasses.asdict(self)
        return {**fields, "classes": None if self.classes is None else list(self.classes)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> SSAMBAConfig:
        """The inverse of `to_dict`; fields left out take their defaults, unknown ones raise ValueError."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(fields) - known)
        if unknown:
            raise ValueError(
                f"unknown configuration field(s) {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        return cls(**fields)


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"{name} must be a finite number, got {value!r}")
