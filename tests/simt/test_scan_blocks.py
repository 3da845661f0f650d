"""Which block a scan chooses for a shape and a card; that each is right is for tests/ops to see."""

from __future__ import annotations

import ctypes

import pytest

import emulator

if emulator.LIBRARY is None:
    pytest.skip("needs the emulated GPU: make simt", allow_module_level=True)

LIBRARY = emulator.load()
EMULATED_MULTIPROCESSORS = 2


# Lanes by threads of one direction, as in scan_blocks.h.
FORWARD = ("2 x 64", "4 x 64", "8 x 64")
BACKWARD = ("4 x 64", "8 x 64")


def chosen(candidates: tuple, clips: int, channels: int, multiprocessors: int, directions: int = 2) -> str:
    sizes = (ctypes.c_int64(x) for x in (clips, channels, directions, multiprocessors))
    return candidates[LIBRARY.ssamba_simt_scan_block(ctypes.c_bool(candidates is BACKWARD), *sizes)]


@pytest.mark.parametrize("candidates", [FORWARD, BACKWARD], ids=["forward", "backward"])
def test_the_op_tests_come_to_every_block(candidates):
    sizes = [(2, 8), (4, 16), (4, 128)]  # clips and channels of the last of tests/ops/scan_cases.py
    found = {chosen(candidates, *size, EMULATED_MULTIPROCESSORS, directions) for size in sizes for directions in (1, 2)}
    assert found == set(candidates)


def test_the_last_wave_counts():
    """128 blocks of 2 lanes are one to a multiprocessor, which is not none; 256 of 4 lanes are two, and faster."""
    assert chosen(FORWARD, 32, 128, 132) == "4 x 64"


@pytest.mark.parametrize(
    ("clips", "channels", "forward", "backward"),
    [
        (64, 384, "2 x 64", "4 x 64"),  # a full card has no use for narrow blocks
        (64, 1536, "2 x 64", "4 x 64"),
        (4, 384, "4 x 64", "8 x 64"),  # forward, 8 lanes would save a twentieth
        (4, 768, "8 x 64", "8 x 64"),
        (4, 1536, "4 x 64", "4 x 64"),
        (1, 768, "8 x 64", "8 x 64"),
    ],
)
def test_choices_on_a_card_of_132_multiprocessors(clips, channels, forward, backward):
    """Those that were fastest on an H100, but for what the comments say."""
    assert chosen(FORWARD, clips, channels, 132) == forward
    assert chosen(BACKWARD, clips, channels, 132) == backward
