from __future__ import annotations

import pytest
import torch

from conv_cases import SIZES, check_conv, conv_inputs
from machine import device
from scan_cases import DTYPES, as_float64, as_leaves, random_lengths
from ssamba_ops import bi_conv1d, causal_conv1d, reference


def check(inputs: dict, **options) -> None:
    check_conv(bi_conv1d, reference.bi_conv1d, inputs, **options)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_matches_reference(size, isa):
    check(conv_inputs(size, directions=True), silu=True)


@pytest.mark.parametrize("size", [(1, 150, 64, 4), (1, 150, 32, 6)], ids=str)
def test_channels_that_fill_their_blocks(size):
    """On a GPU: blocks of 64 channels, or of 16 without packs, and more than one chunk of tokens."""
    check(conv_inputs(size, directions=True), silu=True)


@pytest.mark.parametrize("channels", [37, 40])  # edges, and whole packs and vectors
@pytest.mark.parametrize("width", [2, 3, 4, 6])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype, width, channels, isa):
    for parameter_dtype in (None, dtype):
        for silu in (False, True):
            check(conv_inputs((2, 45, channels, width), dtype, True, parameter_dtype=parameter_dtype), silu=silu)


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("lengths", [None, (37, 0, 1, 32)])
def test_optional_arguments(bias, silu, lengths):
    lengths = None if lengths is None else torch.tensor(lengths, dtype=torch.int32)
    check(conv_inputs((4, 37, 19, 4), directions=True, bias=bias), silu=silu, lengths=lengths)


@pytest.mark.parametrize("width", [1, 4, 7])
def test_random_lengths_match_reference(width):
    for seed in range(2):
        inputs = conv_inputs((5, 70, 11, width), directions=True, seed=seed)
        check(inputs, silu=True, lengths=random_lengths(5, 70, seed))


@pytest.mark.parametrize("width", [1, 3, 4, 6])
def test_is_two_convolutions(width):
    """Values, and the sum of both directions' gradients of x."""
    two, one = (as_leaves(conv_inputs((2, 150, 20, width), directions=True)) for _ in range(2))
    out = bi_conv1d(**two, silu=True)
    apart = [causal_conv1d(one["x"], one["weight"][r], one["bias"][r], True, reverse=bool(r)) for r in range(2)]
    assert torch.equal(out, torch.stack(apart))
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    out.backward(upstream)
    torch.stack(apart).backward(upstream)
    assert torch.equal(two["weight"].grad, one["weight"].grad)
    assert torch.equal(two["bias"].grad, one["bias"].grad)
    torch.testing.assert_close(two["x"].grad, one["x"].grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("width", [4, 6])
def test_padding_is_neither_read_nor_written_through(width):
    """A padded batch gives what its clips give alone, even if the padding is NaN, and padding gets zero gradient."""
    inputs = conv_inputs((4, 50, 20, width), directions=True)
    lengths = torch.tensor([50, 13, 0, 32])
    upstream = torch.randn(2, 4, 50, 20, generator=torch.Generator().manual_seed(1))
    for clip, end in enumerate(lengths):
        inputs["x"][clip, end:] = torch.nan
        upstream[:, clip, end:] = torch.nan
    leaves = as_leaves(inputs)
    out = bi_conv1d(**leaves, silu=True, lengths=lengths)
    out.backward(upstream)
    for clip, end in enumerate(lengths.tolist()):
        rows = slice(clip, clip + 1)
        alone = as_leaves(inputs | {"x": inputs["x"][rows, :end]})
        expected = bi_conv1d(**alone, silu=True)
        expected.backward(upstream[:, rows, :end])
        assert torch.equal(out[:, rows, :end], expected)
        assert torch.equal(leaves["x"].grad[rows, :end], alone["x"].grad)
        assert (out[:, clip, end:] == 0).all()
        assert (leaves["x"].grad[clip, end:] == 0).all()
    assert all(torch.isfinite(x.grad).all() for x in leaves.values())


def test_strided_inputs():
    """The halves of a projection, as the model passes them, transposed tensors, and an expanded upstream gradient."""
    inputs = conv_inputs((3, 40, 24, 4), directions=True)
    expected = bi_conv1d(**inputs)
    halves = torch.full((3, 40, 48), torch.nan)
    halves[..., 24:] = inputs["x"]
    assert torch.equal(bi_conv1d(**inputs | {"x": halves[..., 24:]}), expected)
    time_first = inputs["x"].transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(bi_conv1d(**inputs | {"x": time_first}), expected)
    channels_first = {name: inputs[name].mT.contiguous().mT for name in ("x", "weight", "bias")}
    assert torch.equal(bi_conv1d(**channels_first), expected)
    leaves = as_leaves(inputs)
    upstream = torch.randn(3, 40, 24, generator=torch.Generator().manual_seed(1)).expand(2, -1, -1, -1)
    strided = torch.autograd.grad(bi_conv1d(**leaves), list(leaves.values()), upstream)
    dense = torch.autograd.grad(bi_conv1d(**leaves), list(leaves.values()), upstream.contiguous())
    assert all(torch.equal(a, b) for a, b in zip(strided, dense, strict=True))


@pytest.mark.parametrize("width", [1, 4, 5])
def test_gradcheck(width):
    inputs = as_float64(conv_inputs((2, 5, 3, width), torch.float64, directions=True))

    def run(x, weight, bias):
        return bi_conv1d(x, weight, bias, True, torch.tensor([5, 3]))

    assert torch.autograd.gradcheck(run, tuple(inputs.values()))


def test_opcheck():
    for dtype, bias, lengths in ((torch.float32, True, torch.tensor([7, 2])), (torch.bfloat16, False, None)):
        inputs = as_leaves(conv_inputs((2, 7, 6, 4), dtype, directions=True, bias=bias))
        torch.library.opcheck(torch.ops.ssamba.bi_conv1d.default, (*inputs.values(), True, lengths))


def test_compiles_without_graph_breaks_for_any_length():
    compiled = torch.compile(lambda **x: bi_conv1d(**x, silu=True).square().sum(), fullgraph=True, dynamic=True)
    for length in (5, 33, 64):
        inputs = conv_inputs((2, length, 18, 4), directions=True)
        eager, traced = as_leaves(inputs), as_leaves(inputs)
        bi_conv1d(**eager, silu=True).square().sum().backward()
        compiled(**traced).backward()
        for name, x in eager.items():
            torch.testing.assert_close(traced[name].grad, x.grad)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_bits_every_time_whatever_the_number_of_threads(dtype):
    inputs = conv_inputs((3, 300, 200, 4), dtype, directions=True)

    def run():
        leaves = as_leaves(inputs)
        out = bi_conv1d(**leaves, silu=True)
        out.float().square().sum().backward()
        return [out.detach(), *(x.grad for x in leaves.values())]

    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3, 2):
            torch.set_num_threads(count)
            results.append(run())
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_autocast_casts_activations_only():
    inputs = as_leaves(conv_inputs((2, 40, 20, 4), directions=True))
    with torch.autocast(device().type, torch.bfloat16):
        out = bi_conv1d(**inputs, silu=True)
    assert torch.equal(out, bi_conv1d(**inputs | {"x": inputs["x"].detach().bfloat16()}, silu=True))
    out.float().sum().backward()
    assert {x.grad.dtype for x in inputs.values()} == {torch.float32}


BAD = {
    "x rank": (lambda i: {"x": i["x"][None]}, r"x has shape \(1, 2, 10, 6\); expected 3 dimensions \(B, L, D\)"),
    "integers": (lambda i: {"x": i["x"].long()}, "x is int64; expected float32, float64"),
    "one direction": (lambda i: {"weight": i["weight"][0]}, r"weight has shape \(6, 4\); expected 3 dimensions"),
    "directions": (lambda i: {"weight": i["weight"][:1]}, r"weight has shape \(1, 6, 4\); .* = \(2, 6, 4\)"),
    "no taps": (lambda i: {"weight": i["weight"][..., :0]}, r"weight has shape \(2, 6, 0\); expected at least one tap"),
    "weight dtype": (lambda i: {"weight": i["weight"].bfloat16()}, "weight is bfloat16 and x is float32"),
    "bias shape": (lambda i: {"bias": i["bias"][0]}, r"bias has shape \(6,\); expected \(2, D\) = \(2, 6\)"),
    "bias dtype": (lambda i: {"bias": i["bias"].int()}, "bias is int32 and x is float32"),
    "lengths shape": (lambda i: {"lengths": torch.tensor([3])}, r"lengths has shape \(1,\); expected \(B,\) = \(2,\)"),
    "lengths dtype": (lambda i: {"lengths": torch.tensor([True, False])}, "lengths is bool; expected int64 or int32"),
    "device": (lambda i: {"bias": i["bias"].to("meta")}, "bias is on (meta|another)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    change, message = BAD[case]
    inputs = conv_inputs((2, 10, 6, 4), directions=True)
    with pytest.raises(RuntimeError, match=f"bi_conv1d: {message}"):
        bi_conv1d(**inputs | change(inputs))


def test_bad_upstream_gradient_is_named():
    x, weight, bias = conv_inputs((2, 10, 6, 4), directions=True).values()
    with pytest.raises(RuntimeError, match=r"bi_conv1d_backward: dout has shape \(2, 10, 6\); expected \(2, B, L, D\)"):
        torch.ops.ssamba.bi_conv1d_backward(x, x, weight, bias, False, None)
