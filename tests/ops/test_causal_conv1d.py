from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from conv_cases import SIZES, check_conv, conv_inputs
from machine import device
from scan_cases import DTYPES, as_float64, as_leaves, random_lengths
from ssamba_ops import causal_conv1d, reference


def check(inputs: dict, **options) -> None:
    check_conv(causal_conv1d, reference.causal_conv1d, inputs, **options)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_matches_reference(size, reverse, isa):
    check(conv_inputs(size, initial_state=True), silu=True, reverse=reverse)


@pytest.mark.parametrize("channels", [37, 40])  # edges, and whole packs and vectors
@pytest.mark.parametrize("width", [2, 3, 4, 6])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype, width, channels, isa):
    for parameter_dtype in (None, dtype):
        for silu in (False, True):
            check(conv_inputs((2, 45, channels, width), dtype, parameter_dtype=parameter_dtype), silu=silu)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("initial_state", [False, True])
@pytest.mark.parametrize("lengths", [None, (37, 0, 1, 32)])
def test_optional_arguments(bias, silu, initial_state, reverse, lengths):
    lengths = None if lengths is None else torch.tensor(lengths, dtype=torch.int32)
    inputs = conv_inputs((4, 37, 19, 4), bias=bias, initial_state=initial_state)
    check(inputs, silu=silu, reverse=reverse, lengths=lengths)


@pytest.mark.parametrize("width", [1, 3, 4, 7, 20])
@pytest.mark.parametrize("reverse", [False, True])
def test_random_lengths_match_reference(width, reverse):
    for seed in range(2):
        inputs = conv_inputs((5, 70, 11, width), initial_state=True, seed=seed)
        check(inputs, silu=True, reverse=reverse, lengths=random_lengths(5, 70, seed))


def test_equals_torch_conv1d():
    """Tap order and channel order are those of a depthwise torch.nn.Conv1d with padding W-1, cut to L."""
    x, weight, bias = conv_inputs((2, 50, 24, 4)).values()
    expected = F.conv1d(x.mT, weight.unsqueeze(1), bias, padding=3, groups=24)[..., :50].mT
    torch.testing.assert_close(causal_conv1d(x, weight, bias), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [1, 3, 4, 6])
def test_reverse_is_flip_filter_flip(width):
    inputs = conv_inputs((2, 50, 20, width), initial_state=True)
    flipped = inputs | {name: inputs[name].flip(1) for name in ("x", "initial_state")}
    expected = causal_conv1d(**flipped, silu=True).flip(1)
    torch.testing.assert_close(causal_conv1d(**inputs, silu=True, reverse=True), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("width", [2, 4, 6])
def test_pieces_equal_the_whole(width):
    """A sequence filtered piece by piece, each continuing from the last tokens of the one before."""
    x, weight, bias = conv_inputs((2, 50, 20, width)).values()
    whole = causal_conv1d(x, weight, bias, silu=True)
    state, pieces = torch.zeros(2, width - 1, 20), []
    for piece in x.split([1, 1, 7, 9, 32], dim=1):
        pieces.append(causal_conv1d(piece, weight, bias, silu=True, initial_state=state))
        state = torch.cat([state, piece], dim=1)[:, -(width - 1) :]
    assert torch.equal(torch.cat(pieces, dim=1), whole)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("width", [4, 6])
def test_padding_is_neither_read_nor_written_through(reverse, width):
    """A padded batch gives what its clips give alone, even if the padding is NaN, and padding gets zero gradient."""
    inputs = conv_inputs((4, 50, 20, width), initial_state=True)
    lengths = torch.tensor([50, 13, 0, 32])
    for clip, end in enumerate(lengths):
        inputs["x"][clip, end:] = torch.nan
    leaves = as_leaves(inputs)
    out = causal_conv1d(**leaves, silu=True, reverse=reverse, lengths=lengths)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    for clip, end in enumerate(lengths):
        upstream[clip, end:] = torch.nan
    out.backward(upstream)
    for clip, end in enumerate(lengths.tolist()):
        rows = slice(clip, clip + 1)
        alone = as_leaves(inputs | {"x": inputs["x"][rows, :end], "initial_state": inputs["initial_state"][rows]})
        expected = causal_conv1d(**alone, silu=True, reverse=reverse)
        expected.backward(upstream[rows, :end])
        assert torch.equal(out[rows, :end], expected)
        assert torch.equal(leaves["x"].grad[rows, :end], alone["x"].grad)
        assert torch.equal(leaves["initial_state"].grad[rows], alone["initial_state"].grad)
        assert (out[clip, end:] == 0).all()
        assert (leaves["x"].grad[clip, end:] == 0).all()
    assert all(torch.isfinite(x.grad).all() for x in leaves.values())


def test_strided_inputs():
    """Slices, transposes and expanded tensors, with a dense last axis or without, forward and as gradients."""
    inputs = conv_inputs((3, 40, 24, 4), initial_state=True)
    leaves = as_leaves(inputs)
    expected = causal_conv1d(**leaves, silu=True)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    expected.backward(upstream)

    def sliced(x):
        wide = torch.full((*x.shape[:-1], x.shape[-1] + 7), torch.nan, dtype=x.dtype)
        wide[..., 3 : 3 + x.shape[-1]] = x
        return wide[..., 3 : 3 + x.shape[-1]]

    def axes_swapped(x):
        return x.transpose(0, 1).contiguous().transpose(0, 1) if x.dim() > 1 else x

    def channels_first(x):
        return x.mT.contiguous().mT if x.dim() > 1 else x

    def every_other(x):
        return x.repeat_interleave(2, dim=-1)[..., ::2]

    for rearrange in (sliced, axes_swapped, channels_first, every_other):
        strided = {name: rearrange(x) for name, x in inputs.items()}
        strided = {name: x.detach().requires_grad_() for name, x in strided.items()}
        out = causal_conv1d(**strided, silu=True)
        out.backward(rearrange(upstream))
        assert torch.equal(out, expected)
        for name, x in leaves.items():
            assert torch.equal(strided[name].grad, x.grad), (rearrange, name)

    one_clip = inputs["x"][:1].expand(3, -1, -1)
    one_token = inputs["x"][:, :1].expand(-1, 40, -1)
    one_channel = inputs["x"][..., :1].expand(-1, -1, 24)
    for expanded in (one_clip, one_token, one_channel):
        assert torch.equal(
            causal_conv1d(**inputs | {"x": expanded}), causal_conv1d(**inputs | {"x": expanded.contiguous()})
        )
    sum_upstream = torch.ones(()).expand(expected.shape)
    assert torch.equal(
        torch.autograd.grad(causal_conv1d(**leaves), leaves["x"], sum_upstream)[0],
        torch.autograd.grad(causal_conv1d(**leaves), leaves["x"], sum_upstream.contiguous())[0],
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("width", [1, 3, 4, 5])
def test_gradcheck(width, reverse):
    inputs = as_float64(conv_inputs((2, 5, 3, width), torch.float64, initial_state=True))

    def run(x, weight, bias, state):
        return causal_conv1d(x, weight, bias, True, state, reverse, torch.tensor([5, 3]))

    assert torch.autograd.gradcheck(run, tuple(inputs.values()))


def test_opcheck():
    for bias, state, lengths in ((True, True, torch.tensor([7, 2])), (False, False, None)):
        inputs = as_leaves(conv_inputs((2, 7, 6, 4), bias=bias, initial_state=state))
        arguments = (inputs["x"], inputs["weight"], inputs["bias"], True, inputs.get("initial_state"), True, lengths)
        torch.library.opcheck(torch.ops.ssamba.causal_conv1d.default, arguments)
    inputs = as_leaves(conv_inputs((2, 7, 6, 4), torch.bfloat16))
    torch.library.opcheck(torch.ops.ssamba.causal_conv1d.default, tuple(inputs.values()))


def test_compiles_without_graph_breaks_for_any_length():
    compiled = torch.compile(lambda **x: causal_conv1d(**x, silu=True).square().sum(), fullgraph=True, dynamic=True)
    for length in (5, 33, 64):
        inputs = conv_inputs((2, length, 18, 4), initial_state=True)
        eager, traced = as_leaves(inputs), as_leaves(inputs)
        causal_conv1d(**eager, silu=True).square().sum().backward()
        compiled(**traced).backward()
        for name, x in eager.items():
            torch.testing.assert_close(traced[name].grad, x.grad)


@pytest.mark.parametrize("width", [4, 6])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_bits_every_time_whatever_the_number_of_threads(dtype, width):
    inputs = conv_inputs((3, 300, 200, width), dtype, initial_state=True)

    def run():
        leaves = as_leaves(inputs)
        out = causal_conv1d(**leaves, silu=True)
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


def test_more_clips_than_threads_take_at_a_time():
    """33 items of work, of which the last turns are shorter, by two threads."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        check(conv_inputs((33, 5, 6, 4)), silu=True)
    finally:
        torch.set_num_threads(threads)


def test_many_channels():
    check(conv_inputs((1, 3, 65_537, 4)), silu=True)


def test_many_clips(machine):
    """More than the second axis of a GPU's grid holds."""
    if machine == "emulated":
        pytest.skip("the emulated GPU's grids are 3 blocks high, which every test of 4 clips goes beyond")
    check(conv_inputs((65_540, 1, 1, 2)), silu=True)


def test_extreme_values(isa):
    """SiLU of large numbers is finite, infinity stays infinity, NaN comes out where it went in and W-1 tokens on."""
    x = torch.zeros(1, 12, 17)
    x[0, 0], x[0, 1], x[0, 2], x[0, 5] = 1e30, -1e30, torch.inf, torch.nan
    out = causal_conv1d(x, torch.ones(17, 1), silu=True)
    torch.testing.assert_close(out[0, 0], x[0, 0], rtol=3e-7, atol=0)  # a GPU's division is two units off at most
    assert (out[0, 1] == 0).all()
    assert (out[0, 2] == torch.inf).all()
    out = causal_conv1d(x, torch.ones(17, 4))
    assert out[0, :9].isnan().all(dim=1).tolist() == [False] * 5 + [True] * 4
    assert not out[0, 9:].isnan().any()


def test_autocast_casts_activations_only():
    inputs = as_leaves(conv_inputs((2, 40, 20, 4), initial_state=True))
    with torch.autocast(device().type, torch.bfloat16):
        out = causal_conv1d(**inputs, silu=True)
    assert out.dtype == torch.bfloat16
    cast = inputs | {name: inputs[name].detach().bfloat16() for name in ("x", "initial_state")}
    assert torch.equal(out, causal_conv1d(**cast, silu=True))
    out.float().sum().backward()
    assert {x.grad.dtype for x in inputs.values()} == {torch.float32}


def test_saves_no_more_than_its_inputs():
    """The value before SiLU is recomputed: what autograd keeps is what it was given."""
    inputs = as_leaves(conv_inputs((2, 64, 32, 4), initial_state=True))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        causal_conv1d(**inputs, silu=True)
    assert {x.data_ptr() for x in saved} <= {x.data_ptr() for x in inputs.values()}


BAD = {
    "x rank": (lambda i: {"x": i["x"][0]}, r"x has shape \(10, 6\); expected 3 dimensions \(B, L, D\)"),
    "integers": (lambda i: {"x": i["x"].int()}, "x is int32; expected float32, float64"),
    "weight rank": (lambda i: {"weight": i["weight"][:, None]}, r"weight has shape \(6, 1, 4\); expected 2 dim"),
    "weight channels": (
        lambda i: {"weight": i["weight"][:5]},
        r"weight has shape \(5, 4\); expected \(D, W\) = \(6, 4\)",
    ),
    "no taps": (lambda i: {"weight": i["weight"][:, :0]}, r"weight has shape \(6, 0\); expected at least one tap"),
    "weight dtype": (
        lambda i: {"weight": i["weight"].half()},
        "weight is float16 and x is float32; expected weight as float32",
    ),
    "weight wider": (lambda i: {"weight": i["weight"].double()}, "weight is float64 and x is float32"),
    "narrow x": (
        lambda i: {"x": i["x"].bfloat16(), "weight": i["weight"].half(), "initial_state": None},
        "weight is float16 and x is bfloat16; expected weight as bfloat16 or float32",
    ),
    "integer weight": (lambda i: {"weight": i["weight"].long()}, "weight is int64"),
    "bias shape": (lambda i: {"bias": i["bias"][:, None]}, r"bias has shape \(6, 1\); expected \(D,\) = \(6,\)"),
    "bias dtype": (lambda i: {"bias": i["bias"].double()}, "bias is float64 and x is float32"),
    "state shape": (
        lambda i: {"initial_state": i["initial_state"][:, :2]},
        r"initial_state has shape \(2, 2, 6\); expected \(B, W-1, D\) = \(2, 3, 6\)",
    ),
    "state dtype": (
        lambda i: {"initial_state": i["initial_state"].half()},
        "initial_state is float16; expected float32, as x",
    ),
    "lengths shape": (lambda i: {"lengths": torch.tensor(3)}, r"lengths has shape \(\); expected \(B,\) = \(2,\)"),
    "lengths dtype": (lambda i: {"lengths": torch.tensor([1.0, 2.0])}, "lengths is float32; expected int64 or int32"),
    "device": (lambda i: {"weight": i["weight"].to("meta")}, "weight is on (meta|another)"),
    "state device": (lambda i: {"initial_state": i["initial_state"].to("meta")}, "initial_state is on (meta|another)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    change, message = BAD[case]
    inputs = conv_inputs((2, 10, 6, 4), initial_state=True)
    with pytest.raises(RuntimeError, match=f"causal_conv1d: {message}"):
        causal_conv1d(**inputs | change(inputs))


def test_bad_upstream_gradient_is_named():
    x, weight, bias = conv_inputs((2, 10, 6, 4)).values()
    for dout, message in ((x[:1], r"dout has shape \(1, 10, 6\)"), (x.half(), "dout is float16; expected float32")):
        with pytest.raises(RuntimeError, match=f"causal_conv1d_backward: {message}"):
            torch.ops.ssamba.causal_conv1d_backward(dout, x, weight, bias, False, None, False, None)
