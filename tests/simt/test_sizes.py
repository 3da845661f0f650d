"""Sizes that a GPU's kernels cannot count, refused before a launch, and large ones that they can. Emulated, as few
machines hold such tensors."""

from __future__ import annotations

import pytest
import torch

import emulator
from op_calls import as_tuple, normal
from sparse_memory import sparse
from ssamba_ops import reference

if emulator.LIBRARY is None:
    pytest.skip("needs the emulated GPU: make simt", allow_module_level=True)

LIBRARY = emulator.load()
FAR = 2**28 + 8


def far_apart(length: int) -> torch.Tensor:
    """(1, length, 4): tokens FAR elements apart."""
    return sparse((1, length, 4), (FAR, FAR, 1), torch.float16)


def scan(u: torch.Tensor) -> torch.Tensor:
    rows = torch.zeros(1, u.shape[1], 2, dtype=u.dtype)
    return torch.ops.ssamba_simt.selective_scan(u, torch.zeros(u.shape, dtype=u.dtype), -torch.ones(4, 2), rows, rows)[
        0
    ]


def test_tokens_too_far_apart_are_named():
    with pytest.raises(RuntimeError, match=f"tokens of an input lie {FAR} elements apart; .* give its contiguous"):
        scan(far_apart(2))


def test_one_token_is_never_far_from_the_next():
    assert scan(far_apart(1)).shape == (1, 1, 4)


def test_more_tokens_than_can_be_counted_are_named_before_anything_is_made():
    u = torch.zeros(1, 1, 1, dtype=torch.float16).expand(1, 2**31, 1)
    rows = torch.zeros(1, 1, 2, dtype=torch.float16).expand(1, 2**31, 2)
    with pytest.raises(RuntimeError, match=f"u has {2**31} tokens and 1 channels, .* at most {2**31 - 64} tokens"):
        torch.ops.ssamba_simt.selective_scan(u, u, -torch.ones(1, 2), rows, rows)


def test_more_states_than_can_be_counted_are_named(last_blocks):
    states = 2**28 + 1
    u, rows = torch.zeros(1, 1, 1), torch.empty(1, 1, states)
    with pytest.raises(RuntimeError, match=f"B has 1 groups of {states} states; expected at most {2**28} in all"):
        torch.ops.ssamba_simt.selective_scan(u, u, torch.empty(1, states), rows, rows)


# Results of more than 2^31 elements, most of which take no memory as no block writes them: each launch runs its last
# blocks only. Inputs repeat one row.
D = 40


@pytest.fixture
def last_blocks():
    """last_blocks(n): launches run n blocks."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)  # or torch would write to all of a fresh tensor
    yield LIBRARY.ssamba_simt_last_blocks
    LIBRARY.ssamba_simt_last_blocks(0)
    torch.use_deterministic_algorithms(before)


def of_tokens(length: int, backward: bool) -> dict[str, tuple]:
    """By op: its arguments for clips of so many tokens, all alike."""
    x = normal(1, 1, D, dtype=torch.bfloat16).expand(1, length, D)
    weight, wide, bias = normal(2, D, 4), normal(D, 7), normal(2, D)
    mask = torch.ones(1, 1, dtype=torch.bool).expand(1, length)
    both = x.expand(2, 1, length, D)
    if backward:
        return {
            "causal_conv1d_backward": (x, x, weight[0], bias[0], True, None, False, None),
            "causal_conv1d_backward of 7 taps": (x, x, wide, bias[0], True, None, False, None),
            "bi_conv1d_backward": (both, x, weight, bias, True, None),
            "patch_mask_backward": (x, mask, True),
        }
    return {
        "causal_conv1d": (x, weight[0], bias[0], True),
        "bi_conv1d": (x, weight, bias, True),
        "patch_mask": (x, mask, normal(D), normal(1, D, dtype=torch.bfloat16).expand(length, D)),
    }


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_more_elements_than_32_bits_count_in_a_clip(backward, last_blocks):
    """The last tokens of a long clip are those of a short one, whose blocks end alike."""
    last = 18  # tokens that the last block of every kernel takes
    short = 2048 + last
    long = 2**31 // D // 2048 * 2048 + short
    assert long * D > 2**31
    last_blocks(2)
    for (call, of_long), of_short in zip(
        of_tokens(long, backward).items(), of_tokens(short, backward).values(), strict=True
    ):
        op = getattr(torch.ops.ssamba_simt, call.split()[0])
        found, expected = (as_tuple(op(*given))[0][..., -last:, :] for given in (of_long, of_short))
        assert torch.equal(found, expected), call


def scan_of_clips(clips: int, length: int, channels: int, states: int) -> tuple:
    """Arguments of bi_scan for clips that are all alike."""

    def alike(columns: int, scale: float) -> torch.Tensor:
        return (normal(2, 1, length, columns) * scale).expand(2, clips, -1, -1)

    of_channels, A = normal(2, channels), -normal(2, channels, states).abs()
    u, delta, z = (alike(channels, scale) for scale in (1, 0.5, 0.2))
    return u, delta, A, alike(states, 0.7), alike(states, 0.3), of_channels, z[0], of_channels, True


@pytest.mark.parametrize(
    ("clips", "length", "channels", "states"),
    [(65_300, 1029, 32, 9), (16_200, 261, 24, 256), (66_000, 18, 64, 256)],
    ids=["of activations and checkpoints", "of partial sums", "of states"],
)
def test_more_elements_than_32_bits_count_in_a_batch(clips, length, channels, states, last_blocks):
    """The last clip of many is as a single one."""
    results = []
    for count in (clips, 1):
        given = scan_of_clips(count, length, channels, states)
        last_blocks(16)  # of 8 channels at least: those of two clips
        out, checkpoints = torch.ops.ssamba_simt.bi_scan_forward(*given, None)
        last_blocks(4)
        du, ddelta, dA, dB, dC, _, dz, _ = torch.ops.ssamba_simt.bi_scan_backward(given[6], checkpoints, *given, None)
        last = {"out": out[-1], "du": du[:, -1], "ddelta": ddelta[:, -1], "dz": dz[-1]}
        last |= {"checkpoints": checkpoints[:, -1]}
        # Sums, of which four blocks make more than 64. dA is one over clips, of which a block has 16 channels.
        scanned = min(count, 4 // -(-channels // 16))
        last |= {name: x.flatten()[-64:] for name, x in (("dA", dA / scanned), ("dB", dB), ("dC", dC))}
        results.append(last)
    for name, expected in results[1].items():
        assert expected.abs().max() > 1e-3
        torch.testing.assert_close(
            results[0][name], expected, rtol=1e-4, atol=1e-4, msg=lambda m, name=name: f"{name}: {m}"
        )


def test_a_split_of_clips_ends_anywhere(last_blocks):
    """9 clips each of 18, which a thread takes four at a time."""
    patches, channels, clips = 16, 2**15, 18
    last_blocks(2**31)  # all of them, but unwatched
    dout, masked = (
        normal(1, patches, channels, dtype=torch.bfloat16),
        torch.arange(clips * patches).view(clips, patches) % 3 == 0,
    )
    dx, dtoken, dpos = torch.ops.ssamba_simt.patch_mask_backward(dout.expand(clips, -1, -1), masked, True)
    assert torch.equal(dx, torch.where(masked.unsqueeze(-1), torch.zeros((), dtype=dx.dtype), dout))
    torch.testing.assert_close(dpos, dout[0].float() * clips, rtol=1e-5, atol=1e-5)
    expected = (dout.double() * masked.unsqueeze(-1)).sum((0, 1))
    torch.testing.assert_close(dtoken.double(), expected, rtol=1e-4, atol=1e-4)


def test_more_cells_than_32_bits_count(last_blocks, monkeypatch):
    clips, grid = 2**18 + 1, (64, 128, 300, 3, 5)
    assert clips * grid[0] * grid[1] > 2**31
    last_blocks(1)
    masks = torch.ops.ssamba_simt.sample_patch_mask.like(torch.empty(0), clips, *grid, 7)
    of_clip = reference._random_stream
    monkeypatch.setattr(reference, "_random_stream", lambda seed, _: of_clip(seed, clips - 1))
    assert torch.equal(masks[-1], reference.sample_patch_mask(1, *grid, 7)[0])
