"""Which instruction set the CPU kernels run on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ssamba_ops import _C
from ssamba_ops._library import library

LEVELS = ("baseline", "avx2", "avx512")


def current_cpu_isa() -> str:
    """The instruction set in use: the best that was built and that this processor runs.

    "baseline" is SSE2 on x86-64 and NEON on 64-bit ARM.
    """
    return LEVELS[library.ssamba_cpu_isa(-1)]


def available_cpu_isas() -> tuple[str, ...]:
    """The instruction sets that were built and that this processor runs, lowest first."""
    with cpu_isa(LEVELS[-1]):
        best = current_cpu_isa()
    return tuple(level for level in LEVELS[: LEVELS.index(best) + 1] if level in _C.cpu_isa_levels)


@contextlib.contextmanager
def cpu_isa(level: str) -> Iterator[None]:
    """Runs the CPU kernels on at most `level` ("baseline", "avx2" or "avx512") inside the `with` block, in all threads.

    Where this processor lacks the level, or it was not built, the best one below runs; `current_cpu_isa()` says which.
    Raises ValueError for another name.
    """
    if level not in LEVELS:
        raise ValueError(f"cpu_isa: no level {level!r}; expected one of {', '.join(LEVELS)}")
    before = library.ssamba_cpu_isa(-1)
    library.ssamba_cpu_isa(LEVELS.index(level))
    try:
        yield
    finally:
        library.ssamba_cpu_isa(before)
