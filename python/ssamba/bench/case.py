"""What is measured: one case is one provider on one size of input."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .peers.registry import COMPUTED, PEERS

PARTS = ("encoder", "pretraining", "ops", "features", "loading", "peers")
SIZES = {"tiny": 192, "small": 384, "base": 768}  # widths

# Whose numbers are compared in each part; the first is the one that ratios are of.
PROVIDERS = {
    "encoder": (
        "ssamba",
        "ssamba sequential",
        "ssamba int8",
        "SSAST sdpa",
        "SSAST explicit",
        "published mambapy",
        "published reference",
        "transformers",
    ),
    "pretraining": ("ssamba", "ssamba two passes", "SSAST sdpa", "published mambapy", "published mambapy recomputed"),
    "ops": ("ssamba", "mambapy", "reference"),
    "features": ("ssamba", "clip by clip", "torchaudio"),
    "loading": ("ssamba", "ssamba cached", "ssamba 2 workers", "ssamba feature cache"),
    "peers": tuple(PEERS),
}
ON_DEVICE = ("encoder", "pretraining", "ops")
OF_CLIPS = ("features", "loading")  # neither sizes nor tokens
SLOW = ("published reference", "reference", "transformers")  # loops over time: short inputs only
LONGEST_OF_SLOW = 513
OPS = ("bi_scan", "bi_scan backward", "bi_conv1d", "bi_conv1d backward", "patch_mask")


@dataclass(frozen=True)
class Case:
    """`provider` doing `part` on `batch` clips of `tokens` tokens.

    `detail` says which op, or for peers what is computed. `threads` is for cases that are of so many; 0 is the run's.
    """

    part: str
    provider: str
    size: str = "tiny"
    tokens: int = 513
    batch: int = 1
    dtype: str = "float32"
    detail: str = ""
    device: str = "cpu"
    threads: int = 0

    @property
    def width(self) -> int:
        return SIZES[self.size]

    @property
    def group(self) -> str:
        """What is the same in all cases that are compared."""
        if self.part in OF_CLIPS:
            return f"{self.part} {self.batch} clips"
        names = (self.part, self.detail, self.size, f"{self.batch} x {self.tokens}", self.dtype)
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}" if self.threads else ""
        return " ".join(filter(None, (*names, "" if self.device == "cpu" else self.device, threads)))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Plan:
    """Which cases there are; every field narrows or widens the run."""

    parts: Sequence[str] = PARTS
    sizes: Sequence[str] = ("tiny",)
    tokens: Sequence[int] = field(default=(128, 513, 2048, 4096, 8192, 22528))
    batches: Sequence[int] = (1,)
    dtypes: Sequence[str] = ("float32",)
    providers: Sequence[str] = ()  # only these; all if empty
    device: str = "cpu"

    def cases(self) -> Iterator[Case]:
        """In an order that leaves the least to regret when the time runs out: short inputs first."""
        for part in self.parts:
            for case in getattr(self, f"_{part}")():
                if self._wanted(case):
                    yield dataclasses.replace(case, device=self.device if part in ON_DEVICE else "cpu")

    def _wanted(self, case: Case) -> bool:
        return not self.providers or case.provider in self.providers

    def _encoder(self) -> Iterator[Case]:
        for size in self.sizes:
            for dtype in self.dtypes:
                for batch in self.batches:
                    for tokens in sorted(self.tokens):
                        for provider in PROVIDERS["encoder"]:
                            if self._makes_sense(provider, tokens, dtype):
                                yield Case("encoder", provider, size, tokens, batch, dtype)

    def _makes_sense(self, provider: str, tokens: int, dtype: str) -> bool:
        if provider == "ssamba int8":  # quantised from float32
            return dtype == "float32" and self.device == "cpu"
        return provider not in SLOW or tokens <= LONGEST_OF_SLOW

    def _pretraining(self) -> Iterator[Case]:
        """10 s clips, 400 of 512 patches hidden: one clip, for what does not fit with more, and a batch."""
        for size in self.sizes:
            for dtype in self.dtypes:
                for batch in (1, 8):
                    for provider in PROVIDERS["pretraining"]:
                        yield Case("pretraining", provider, size, 513, batch, dtype)

    def _ops(self) -> Iterator[Case]:
        for size in self.sizes:
            for dtype in self.dtypes:
                for op in OPS:
                    tokens = {"mambapy": 4096, "reference": LONGEST_OF_SLOW}
                    for provider in PROVIDERS["ops"]:
                        if op.startswith("bi_scan") or provider != "mambapy":
                            for length in sorted({LONGEST_OF_SLOW, tokens.get(provider, 4096)}):
                                yield Case("ops", provider, size, length, 1, dtype, op)

    def _features(self) -> Iterator[Case]:
        yield from (Case("features", provider, batch=16) for provider in PROVIDERS["features"])

    def _loading(self) -> Iterator[Case]:
        yield from (Case("loading", provider, batch=16) for provider in PROVIDERS["loading"])

    def _peers(self) -> Iterator[Case]:
        """One direction of the scan, by all that compute the same."""
        for size in self.sizes:
            for tokens in (513, 4096):
                for threads in (1, 2):
                    for computed in COMPUTED:
                        for provider, peer in PEERS.items():
                            if computed in peer.computes:
                                yield Case("peers", provider, size, tokens, detail=computed, threads=threads)
