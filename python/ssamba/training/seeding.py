"""Randomness as a function of position: what is drawn in a step depends on (seed, step, process) and on nothing before.

A resumed run therefore draws what the uninterrupted one would have drawn, with no generator state to save.
"""

from __future__ import annotations

import hashlib

from accelerate.utils import set_seed


def seed_for(*parts: int | str) -> int:
    """A 63-bit seed from the parts, e.g. (seed, "step", step, process); equal on every machine and Python."""
    text = "/".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def seed_everything(*parts: int | str) -> None:
    """Seed the generators of Python, numpy and torch (every device) from the parts."""
    set_seed(seed_for(*parts) % 2**32)
