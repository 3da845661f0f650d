"""A whole mixer in one op, and its gradient, against `reference.bi_mixer` in float64."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import grad, jvp

import ssamba_ops
from mixer_cases import SIZES, mixer_inputs, plain
from ssamba_ops import bi_mixer, reference
from tolerance import assert_close

pytestmark = pytest.mark.host
ops = torch.ops.ssamba
SMALL = (2, 5, 8, 33, 5, 2, 3)


def leaves(inputs: dict, dtype: torch.dtype = torch.float32) -> dict:
    return {name: None if x is None else x.to(dtype).detach().requires_grad_() for name, x in inputs.items()}


def upstream(inputs: dict) -> torch.Tensor:
    return torch.randn(inputs["x"].shape, generator=torch.Generator().manual_seed(9))


def results(function, inputs: dict, dout: torch.Tensor, lengths: torch.Tensor | None = None) -> dict:
    """The output and the gradients of all inputs."""
    out = function(**inputs, lengths=lengths)
    there = {name: x for name, x in inputs.items() if x is not None}
    gradients = torch.autograd.grad(out, list(there.values()), dout)
    return {"out": out.detach()} | {f"d{name}": g for name, g in zip(there, gradients, strict=True)}


def check(inputs: dict, lengths: torch.Tensor | None = None) -> dict:
    dout = upstream(inputs)
    found = results(bi_mixer, leaves(inputs), dout, lengths)
    expected = results(reference.bi_mixer, leaves(inputs, torch.float64), dout.double(), lengths)
    batch, length, width = inputs["x"].shape
    for name, value in found.items():
        assert_close(value, expected[name], batch * length * max(width, inputs["A"].shape[1]), name)
    with torch.no_grad():
        assert torch.equal(found["out"], bi_mixer(**inputs, lengths=lengths))
    return found


@pytest.mark.parametrize("level", ssamba_ops.available_cpu_isas())
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_matches_the_definition(size, level):
    with ssamba_ops.cpu_isa(level):
        check(plain(mixer_inputs(size)))


def test_without_bias():
    check(plain(mixer_inputs(SIZES[1], bias=False)))


def test_lengths():
    found = check(plain(mixer_inputs((4, 37, 24, 40, 16, 3, 4))), torch.tensor([37, 0, 1, 20]))
    for name in ("out", "dx"):
        assert not found[name][1].any()
        assert not found[name][3, 20:].any()


def test_padding_changes_nothing_of_a_clip():
    inputs = plain(mixer_inputs((2, 50, 24, 40, 16, 3, 4)))
    dout, lengths = upstream(inputs), torch.tensor([50, 21])
    whole = results(bi_mixer, leaves(inputs), dout, lengths)
    alone = results(bi_mixer, leaves(inputs | {"x": inputs["x"][1:, :21]}), dout[1:, :21])
    for name in ("out", "dx"):
        assert_close(alone[name], whole[name][1:, :21].double(), 21 * 40, name)


def test_strided_inputs():
    inputs = plain(mixer_inputs(SIZES[1]))
    dense = results(bi_mixer, leaves(inputs), upstream(inputs))
    strided = {name: torch.stack([x, x], dim=-1)[..., 0] for name, x in inputs.items()}
    dout = torch.stack([upstream(inputs)] * 2, dim=-1)[..., 0]
    for name, x in results(bi_mixer, leaves(strided), dout).items():
        assert_close(x, dense[name].double(), 37 * 2 * 40, name)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)], ids=["no clips", "no tokens"])
def test_nothing_gives_nothing(shape):
    inputs = plain(mixer_inputs(SIZES[2]))
    inputs["x"] = torch.zeros(*shape, 8)
    for name, x in results(bi_mixer, leaves(inputs), inputs["x"]).items():
        assert not x.any(), name


def test_what_is_kept_for_the_gradient():
    """About three numbers a channel and token, where the ops one after the other keep eight."""
    batch, length, _, inner, states, rank, _ = size = (2, 64, 24, 64, 16, 3, 4)
    inputs = leaves(plain(mixer_inputs(size)))
    given, kept = {x.data_ptr() for x in inputs.values()}, {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        if x.data_ptr() not in given:
            kept[x.data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        bi_mixer(**inputs)
    states_kept = 2 * inner * states / 32
    assert sum(kept.values()) == batch * length * (2 * inner + 2 * (rank + 2 * states) + states_kept)


def test_autocast_does_not_reach_the_products_within():
    inputs = plain(mixer_inputs(SMALL))
    plainly = results(bi_mixer, leaves(inputs), upstream(inputs))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = results(bi_mixer, leaves(inputs), upstream(inputs))
    for name, x in found.items():
        assert torch.equal(x, plainly[name]), name


def test_only_the_gradients_that_are_wanted():
    inputs = plain(mixer_inputs(SMALL))
    x = inputs["x"].requires_grad_()
    (dx,) = torch.autograd.grad(bi_mixer(**inputs).sum(), x)
    assert dx.shape == x.shape
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.grad(bi_mixer(**inputs).sum(), inputs["D"])


def test_tangent_and_second_derivative_are_the_definitions():
    inputs = plain(mixer_inputs(SMALL))
    x, weights = inputs.pop("x"), inputs
    exact = {name: w.double() for name, w in weights.items()}
    tangent = upstream({"x": x})
    out, found = jvp(lambda x: bi_mixer(x, **weights), (x,), (tangent,))
    _, expected = jvp(lambda x: reference.bi_mixer(x, **exact), (x.double(),), (tangent.double(),))
    assert_close(out, bi_mixer(x, **weights).double(), 33 * 8)
    assert_close(found, expected, 33 * 8)
    with forward_ad.dual_level():
        assert torch.equal(forward_ad.unpack_dual(bi_mixer(forward_ad.make_dual(x, tangent), **weights))[1], found)

    def slope(function, w, x, tangent):
        first = grad(lambda x: function(x, **w).sin().sum())
        return grad(lambda x: (first(x) * tangent).sum())(x)

    second = slope(reference.bi_mixer, exact, x.double(), tangent.double())
    assert_close(slope(bi_mixer, weights, x, tangent), second, 64 * 33 * 8)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": torch.zeros(2, 5)}, r"bi_mixer: x has shape \(2, 5\); expected 3 dimensions \(B, L, D\)"),
        ({"x": torch.zeros(2, 5, 8).double()}, "bi_mixer: x is float64; expected float32, which is all"),
        ({"in_proj": torch.zeros(66, 7)}, r"bi_mixer: in_proj has shape \(66, 7\); expected \(2 E, D\) = \(66, 8\)"),
        ({"in_bias": torch.zeros(2, 33)}, r"bi_mixer: in_bias has shape .* expected \(2 E,\) = \(66,\)"),
        ({"x_proj": torch.zeros(2, 12, 32)}, r"bi_mixer: x_proj has shape .* \(2, r \+ 2 N, E\) = \(2, 12, 33\)"),
        ({"out_proj": torch.zeros(33, 8)}, r"bi_mixer: out_proj has shape \(33, 8\); expected \(D, E\)"),
        ({"dt_proj": torch.zeros(2, 33, 0)}, "bi_mixer: .* expected at least one channel, state, number a token"),
        ({"lengths": torch.tensor([1, 6])}, r"bi_mixer: lengths\[1\] is 6"),
    ],
)
def test_bad_arguments(changed, message):
    with pytest.raises(RuntimeError, match=message):
        bi_mixer(**plain(mixer_inputs(SMALL)) | changed)


def test_gradient_names_what_does_not_fit():
    inputs = plain(mixer_inputs(SMALL))
    out, xz, projected, checkpoints = ops.bi_mixer_forward(*inputs.values(), None)
    with pytest.raises(RuntimeError, match=r"bi_mixer_backward: dout has shape \(2, 4, 8\)"):
        ops.bi_mixer_backward(out[:, :4], xz, projected, checkpoints, *inputs.values(), None)
    with pytest.raises(RuntimeError, match=r"bi_mixer_backward: checkpoints has shape .* expected \(2, B, K, N, E\)"):
        ops.bi_mixer_backward(out, xz, projected, checkpoints[:, :1], *inputs.values(), None)


@pytest.mark.parametrize("bias", [False, True])
def test_opcheck(bias):
    for lengths in (None, torch.tensor([5, 2])):
        inputs = plain(mixer_inputs(SMALL, bias))
        arguments = (*leaves(inputs).values(), lengths)
        torch.library.opcheck(ops.bi_mixer.default, arguments)
        torch.library.opcheck(ops.bi_mixer_forward.default, arguments)
        out, *kept = ops.bi_mixer_forward(*inputs.values(), lengths)
        arguments = (torch.ones_like(out), *kept, *inputs.values(), lengths)
        torch.library.opcheck(ops.bi_mixer_backward.default, arguments)


def test_compiles_without_graph_breaks_for_any_length():
    compiled = torch.compile(lambda **x: bi_mixer(**x).square().sum(), fullgraph=True, dynamic=True)
    for length in (5, 33, 64):
        inputs = plain(mixer_inputs((2, length, 8, 33, 5, 2, 3)))
        eager, traced = leaves(inputs), leaves(inputs)
        bi_mixer(**eager).square().sum().backward()
        compiled(**traced).backward()
        for name, x in eager.items():
            torch.testing.assert_close(traced[name].grad, x.grad, rtol=1e-4, atol=1e-4)
