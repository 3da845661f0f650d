"""Log-mel of sound that comes in blocks, in memory that does not grow with its length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import soxr
import torch
from torch import Tensor

from .log_mel import FRAME_LENGTH, FRAME_SHIFT, SAMPLE_RATE, frame_count, log_mel

ROUNDS_ALIKE = 2048  # a multiple of the frames that log_mel takes at once on a CPU


def log_mel_blocks(
    blocks: Iterable[Tensor], sample_rate: int = SAMPLE_RATE, mean: Tensor | None = None, step: int = 1
) -> Iterator[Tensor]:
    """`log_mel` of sound that comes in blocks (samples,): (T, 128), as soon as there are frames.

    Together they are `log_mel(torch.cat(blocks), sample_rate)[0]` to rounding, or bit for bit at 16 kHz on a CPU with
    `step=ROUNDS_ALIKE`.

    Args:
        blocks: floating point, of any lengths, all on one device.
        sample_rate: theirs, in Hz.
        mean: what to subtract from the sound at 16 kHz, such as its `mean_of_blocks`, 0-dim.
        step: frames come in multiples of so many, the last ones as they are.

    Raises:
        ValueError: all of it is shorter than one frame.
    """
    held, begun = torch.empty(0), False
    for block in _at_16_khz(blocks, sample_rate):
        held = torch.cat([held.to(block), block if mean is None else block - mean])
        if count := frame_count(len(held)) // step * step:
            yield log_mel(held[: (count - 1) * FRAME_SHIFT + FRAME_LENGTH], SAMPLE_RATE)[0]
            held, begun = held[count * FRAME_SHIFT :], True
    if frame_count(len(held)) or not begun:
        yield log_mel(held, SAMPLE_RATE)[0]


def mean_of_blocks(blocks: Iterable[Tensor], sample_rate: int = SAMPLE_RATE) -> Tensor:
    """The mean of all samples, 0-dim, of sound as `log_mel_blocks` takes it; 0 if there are none."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for block in _at_16_khz(blocks, sample_rate):
        total, count = total.to(block.device) + block.sum(dtype=torch.float64), count + len(block)
    return (total / max(1, count)).float()


def _at_16_khz(blocks: Iterable[Tensor], sample_rate: int) -> Iterator[Tensor]:
    if sample_rate == SAMPLE_RATE:
        yield from blocks
        return
    stream, last = None, torch.empty(0)
    for block in blocks:
        last = block[:0]
        stream = stream or soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype=_name(block))
        yield torch.from_numpy(stream.resample_chunk(block.cpu().numpy())).to(block.device)
    if stream is not None:
        yield torch.from_numpy(stream.resample_chunk(last.cpu().numpy(), last=True)).to(last.device)


def _name(block: Tensor) -> str:
    return str(block.dtype).removeprefix("torch.")
