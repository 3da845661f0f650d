from __future__ import annotations

import math
import pathlib

import numpy as np
import pytest
import torch

from scan_cases import DTYPES, KINDS, SIZES, accumulation, as_float64, as_leaves, scan_inputs
from ssamba_ops import reference, selective_scan
from tolerance import assert_close

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def one_direction(size, dtype=torch.float32, state=True, **kwargs) -> dict:
    inputs = scan_inputs(size, dtype, directions=False, **kwargs)
    batch, _, channels, states, _ = size
    generator = torch.Generator().manual_seed(5)
    initial = torch.randn(batch, channels, states, generator=generator, dtype=torch.float64).to(accumulation(dtype))
    return inputs | {"initial_state": initial if state else None}


def check(inputs: dict, reverse: bool, lengths=None) -> None:
    """Both outputs and all gradients, from both outputs, against the reference in float64."""
    dtype = inputs["u"].dtype
    exact, leaves = as_float64(inputs), as_leaves(inputs)
    expected = reference.selective_scan(**exact, reverse=reverse, lengths=lengths)
    actual = selective_scan(**leaves, reverse=reverse, lengths=lengths)
    batch, length, channels = expected[0].shape
    assert actual[0].dtype == dtype
    assert actual[1].dtype == accumulation(dtype)
    assert_close(actual[0], expected[0], length, "out")
    assert_close(actual[1], expected[1], length, "last_state", dtype)

    generator = torch.Generator().manual_seed(9)
    upstream = [
        torch.randn(x.shape, generator=generator, dtype=torch.float64).to(a.dtype)
        for x, a in zip(expected, actual, strict=True)
    ]
    torch.autograd.backward(expected, [x.double() for x in upstream])
    torch.autograd.backward(actual, upstream)
    terms = dict.fromkeys(("A", "D", "delta_bias"), length * batch) | dict.fromkeys("BC", channels * length)
    for name, x in leaves.items():
        if isinstance(x, torch.Tensor):
            wanted = exact[name].grad if exact[name].grad is not None else torch.zeros_like(exact[name])
            assert_close(x.grad, wanted, terms.get(name, length), f"d{name}", dtype)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_matches_reference(size, reverse):
    check(one_direction(size), reverse)


@pytest.mark.parametrize("size", KINDS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype, size, isa):
    check(one_direction(size, dtype), reverse=True)


@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, -125), (torch.float64, -1000)], ids=str)
def test_decays_down_to_the_smallest(dtype, least, isa):
    """A token's decay 2^x of a state that is large enough to show it."""
    x = torch.linspace(least, 0, 301, dtype=torch.float64)
    zeros = torch.zeros(1, 1, 301, dtype=dtype)
    A, state = (x * math.log(2)).to(dtype), torch.exp2(-x / 2).to(dtype)
    one = torch.ones(1, 1, 1, dtype=dtype)
    _, last = selective_scan(zeros, zeros + 1, A.view(-1, 1), one, one, initial_state=state.view(1, -1, 1))
    expected = state.double() * A.double().exp()
    off = (last.flatten().double() / expected - 1).abs() / torch.finfo(dtype).eps
    assert (off <= 4 - 2 * x).all()  # the exponent, a product, is rounded too


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_steps_of_any_size(dtype, isa):
    """softplus and its slope by themselves: scans of one token, one state and a channel for each step."""
    steps = torch.linspace(-30, 30, 601, dtype=torch.float64).to(dtype)
    one = {name: torch.ones(1, 1, 1, dtype=dtype) for name in "BC"}
    given = {"u": torch.ones(1, 1, 601, dtype=dtype), "delta": steps.view(1, 1, -1), "A": -torch.ones(601, 1)}
    given["A"] = given["A"].to(accumulation(dtype))
    exact, leaves = as_float64(given | one), as_leaves(given | one)
    expected, actual = (
        op(**x, delta_softplus=True)[1] for op, x in ((reference.selective_scan, exact), (selective_scan, leaves))
    )
    expected.sum().backward()
    actual.sum().backward()
    # Below zero a float's softplus is as wrong as the product x log2 e.
    tolerance = 8e-6 if dtype != torch.float64 else 1e-14
    torch.testing.assert_close(actual.double(), expected, rtol=tolerance, atol=0)
    stored = tolerance + torch.finfo(dtype).eps
    torch.testing.assert_close(leaves["delta"].grad.double(), exact["delta"].grad, rtol=stored, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_steps_around_where_softplus_is_the_identity(dtype, isa):
    """From 20 on, as in torch; at 8 that would be wrong by 3e-4, and at 800 exp(x) is infinite."""
    inputs = one_direction((1, 5, 6, 4, 1), dtype)
    inputs["A"], inputs["delta_bias"] = inputs["A"] / 64, torch.zeros_like(inputs["delta_bias"])
    inputs["delta"] = torch.tensor([8.5, 12.0, 19.9, 45.0, 800.0], dtype=dtype).view(1, 5, 1).repeat(1, 1, 6)
    check(inputs, reverse=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_infinite_steps(dtype, isa):
    """softplus of infinity is infinity, of minus infinity zero; what is not a number stands where it must."""
    inputs = one_direction((1, 37, 21, 16, 1), dtype)
    for channel, step in enumerate((torch.inf, -torch.inf, torch.nan)):
        inputs["delta"][:, 20, channel::4] = step
    expected = reference.selective_scan(**as_float64(inputs))
    actual = selective_scan(**inputs)
    tolerance = 64 * torch.finfo(dtype).eps
    for found, exact in zip(actual, expected, strict=True):
        torch.testing.assert_close(found.double(), exact, rtol=tolerance, atol=10 * tolerance, equal_nan=True)


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FC001FF])
def test_a_decay_that_is_not_a_number_is_not_hidden(bits, isa):
    """Whatever its bits: powers of two are made of bits."""
    inputs = one_direction((1, 7, 21, 16, 1))
    inputs["A"][[3, 20], [5, 0]] = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    expected = reference.selective_scan(**as_float64(inputs))
    for found, exact in zip(selective_scan(**inputs), expected, strict=True):
        assert torch.equal(found.isnan(), exact.isnan())


def test_growth_beyond_all_floats(isa):
    """Powers of two above 2^128 are infinite, not whatever the bits of an exponent make of them."""
    inputs = one_direction((1, 3, 9, 4, 1), options=(False, False, False))
    inputs["A"], inputs["delta"] = inputs["A"].abs() + 1, torch.full_like(inputs["delta"], 100.0)
    for name in ("u", "B", "C", "initial_state"):
        inputs[name] = inputs[name].abs() + 1
    out, last = selective_scan(**inputs)
    assert out.isposinf().all()
    assert last.isposinf().all()


@pytest.mark.parametrize("reverse", [False, True])
def test_lengths(reverse):
    check(one_direction((5, 41, 19, 16, 1)), reverse, torch.tensor([41, 0, 1, 33, 32]))


def test_without_any_option():
    check(one_direction((2, 35, 19, 3, 1), state=False, options=(False, False, False)), reverse=False)


@pytest.mark.parametrize("reverse", [False, True])
def test_pieces_give_what_the_whole_gives(reverse):
    """Scanning piece by piece, handing the state on, changes neither values nor gradients."""
    inputs = one_direction((2, 90, 20, 16, 1), torch.float64)
    whole, pieces = as_leaves(inputs), as_leaves(inputs)
    out, last = selective_scan(**whole, reverse=reverse)
    (out.square().sum() + last.sum()).backward()

    state, outs = pieces["initial_state"], []
    bounds = [(0, 33), (33, 34), (34, 90)]
    for begin, end in reversed(bounds) if reverse else bounds:
        piece = {n: x[:, begin:end] if n in ("u", "delta", "B", "C", "z") else x for n, x in pieces.items()}
        y, state = selective_scan(**(piece | {"initial_state": state}), reverse=reverse)
        outs.append(y)
    joined = torch.cat(outs[::-1] if reverse else outs, dim=1)
    (joined.square().sum() + state.sum()).backward()
    torch.testing.assert_close(joined, out, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=1e-12)
    for name, x in whole.items():
        if isinstance(x, torch.Tensor):
            torch.testing.assert_close(pieces[name].grad, x.grad, rtol=1e-10, atol=1e-10)


def test_reverse_is_flip_scan_flip():
    inputs = one_direction((2, 70, 20, 16, 1))
    flipped = {n: x.flip(1) if n in ("u", "delta", "B", "C", "z") else x for n, x in inputs.items()}
    out, last = selective_scan(**inputs, reverse=True)
    mirrored, mirrored_last = selective_scan(**flipped)
    torch.testing.assert_close(out, mirrored.flip(1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(last, mirrored_last, rtol=1e-6, atol=1e-6)


def test_gradcheck():
    inputs = as_float64(one_direction((2, 5, 3, 2, 1), torch.float64))
    names = [n for n, x in inputs.items() if isinstance(x, torch.Tensor)]

    def run(*tensors):
        return selective_scan(
            **dict(zip(names, tensors, strict=True)), delta_softplus=True, reverse=True, lengths=torch.tensor([5, 3])
        )

    assert torch.autograd.gradcheck(run, [inputs[n] for n in names])


def test_opcheck():
    for state, options in ((True, (True, True, True)), (False, (False, False, False))):
        inputs = as_leaves(one_direction((2, 7, 6, 4, 2), state=state, options=options))
        torch.library.opcheck(torch.ops.ssamba.selective_scan.default, (*inputs.values(), True, torch.tensor([7, 2])))


def test_compiles_without_graph_breaks_for_any_length():
    compiled = torch.compile(lambda **x: selective_scan(**x, reverse=True), fullgraph=True, dynamic=True)
    for length in (5, 33):
        inputs = one_direction((2, length, 18, 16, 1))
        for traced, eager in zip(compiled(**inputs), selective_scan(**inputs, reverse=True), strict=True):
            assert torch.equal(traced, eager)


def test_same_bits_every_time():
    def run():
        leaves = as_leaves(one_direction((3, 100, 150, 16, 1)))
        out, last = selective_scan(**leaves)
        (out.square().sum() + last.sum()).backward()
        return [out, last, *(x.grad for x in leaves.values() if isinstance(x, torch.Tensor))]

    first, second = run(), run()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_published_scan():
    """One raw scan of the published model with its gradients: layout (b, d, l) there, channels last here."""
    golden = np.load(GOLDEN / "mixer_t.npz")
    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")

    def channels_last(key):
        x = torch.from_numpy(golden[f"scan/{key}"]).double()
        return x.mT if x.dim() == 3 else x

    leaves = {name: channels_last(name).requires_grad_() for name in names}
    out, _ = selective_scan(**leaves, delta_softplus=True)
    torch.testing.assert_close(out, channels_last("out_f64"), rtol=0, atol=1e-12)
    out.backward(channels_last("dout"))
    for name in names:
        torch.testing.assert_close(leaves[name].grad, channels_last(f"d{name}_f64"), rtol=1e-12, atol=1e-12)

    single = {name: channels_last(name).float() for name in names}
    out, _ = selective_scan(**single, delta_softplus=True)
    torch.testing.assert_close(out.double(), channels_last("out_f64"), rtol=1e-5, atol=2e-6)


BAD = {
    "u rank": ({"u": (2, 2, 10, 6)}, r"u has shape \(2, 2, 10, 6\); expected \(B, L, D\)"),
    "A rank": ({"A": (2, 6, 4)}, r"A has shape \(2, 6, 4\); expected 2 dimensions \(D, N\)"),
    "B shape": ({"B": (2, 10, 3)}, r"B has shape \(2, 10, 3\); expected \(B, L, N\) = \(2, 10, 4\)"),
    "D shape": ({"D": (5,)}, r"D has shape \(5,\); expected \(D,\) = \(6,\)"),
    "state shape": (
        {"initial_state": (2, 4, 6)},
        r"initial_state has shape \(2, 4, 6\); expected \(B, D, N\) = \(2, 6, 4\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    shapes, message = BAD[case]
    inputs = one_direction((2, 10, 6, 4, 1)) | {name: torch.zeros(shape) for name, shape in shapes.items()}
    with pytest.raises(RuntimeError, match=message):
        selective_scan(**inputs)


def test_half_precision_state_is_refused():
    inputs = one_direction((2, 10, 6, 4, 1), torch.bfloat16)
    with pytest.raises(RuntimeError, match="initial_state is bfloat16; expected float32, whatever the dtype of u"):
        selective_scan(**inputs | {"initial_state": inputs["initial_state"].bfloat16()})
