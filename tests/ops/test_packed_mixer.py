"""A whole mixer in one op, in place, against `reference.packed_mixer` in float64."""

from __future__ import annotations

import pytest
import torch

import ssamba_ops
from mixer_cases import SIZES, mixer_inputs, packed
from ssamba_ops import packed_mixer, reference
from tolerance import assert_close

pytestmark = pytest.mark.host
INFERRING = torch.no_grad()


@INFERRING
def check(inputs: dict, **options) -> torch.Tensor:
    exact = {name: None if x is None else x.double() for name, x in inputs.items()}
    given = packed(inputs)
    packed_mixer(**given, **options)
    terms = inputs["x"].shape[1] * inputs["A"].shape[1]
    definition = {name: x for name, x in options.items() if name != "memory"}
    assert_close(given["s"], reference.packed_mixer(**exact, **definition), terms, "s")
    return given["s"]


@pytest.mark.parametrize("level", ssamba_ops.available_cpu_isas())
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_matches_the_definition(size, level):
    with ssamba_ops.cpu_isa(level):
        check(mixer_inputs(size))


def test_without_bias_and_twice_the_state():
    check(mixer_inputs(SIZES[1], bias=False), times=2.0)


def test_lengths():
    check(mixer_inputs((4, 37, 24, 40, 16, 3, 4)), lengths=torch.tensor([37, 0, 1, 20]))


@pytest.mark.parametrize("level", ssamba_ops.available_cpu_isas())
def test_same_bits_for_any_number_of_threads(level):
    inputs, threads = mixer_inputs((3, 70, 24, 40, 16, 3, 4)), torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            with ssamba_ops.cpu_isa(level):
                results.append(check(inputs))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@INFERRING
def test_padding_changes_no_bit_of_a_clip():
    inputs = mixer_inputs((2, 50, 24, 40, 16, 3, 4))
    whole = check(inputs, lengths=torch.tensor([50, 21]))
    alone = check(inputs | {name: inputs[name][1:, :21] for name in ("s", "x")})
    assert torch.equal(whole[1:, :21], alone)


@INFERRING
def test_memory_of_its_own_or_lent():
    size = SIZES[1]
    batch, length, _, inner, states, rank, taps = size
    needed = ssamba_ops.mixer_memory(batch * length, inner, rank, states, taps)
    inputs = mixer_inputs(size)
    alone = check(inputs)
    lent = torch.full((needed,), float("nan"))
    assert torch.equal(check(inputs, memory=lent), alone)
    with pytest.raises(RuntimeError, match=f"packed_mixer: memory has shape .* expected at least {needed} numbers"):
        packed_mixer(**packed(inputs), memory=lent[1:])


def test_a_gradient_that_needs_the_old_state_is_refused():
    inputs = packed(mixer_inputs(SIZES[1]))
    scale = torch.ones(24, requires_grad=True)
    product = (inputs["s"] * scale).sum()
    with torch.no_grad():
        packed_mixer(**inputs)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


@INFERRING
def test_strided_inputs_and_no_clips():
    inputs = mixer_inputs(SIZES[1])
    inputs["x"] = torch.stack([inputs["x"], inputs["x"]], dim=-1)[..., 0]
    check(inputs)
    packed_mixer(**packed(inputs | {name: inputs[name][:0] for name in ("s", "x")}))


@INFERRING
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": torch.zeros(3, 5)}, r"packed_mixer: x has shape \(3, 5\); expected 3 dimensions \(B, L, D\)"),
        ({"s": torch.zeros(3, 5, 7)}, r"packed_mixer: s has shape \(3, 5, 7\); expected \(B, L, D\) = \(3, 5, 8\)"),
        ({"s": torch.zeros(3, 8, 5).mT}, "packed_mixer: s has strides .* expected a contiguous tensor"),
        ({"x": torch.zeros(3, 5, 8).double()}, "packed_mixer: x is float64; expected float32"),
        (
            {"in_proj": torch.zeros(2, 33, 8)},
            r"packed_mixer: in_proj has shape .* expected \(2, ceil\(E / 32\), D, 32\)",
        ),
        ({"out_proj": torch.zeros(1, 32, 33).mT}, "packed_mixer: out_proj is not contiguous; .* pack_matrix"),
        ({"dt_proj": torch.zeros(2, 33, 0)}, "packed_mixer: .* expected at least one channel, state, number a token"),
        ({"A": torch.zeros(33, 5)}, r"packed_mixer: A has shape \(33, 5\)"),
        ({"lengths": torch.tensor([1, 2, 6])}, "packed_mixer: lengths"),
    ],
)
def test_bad_arguments(changed, message):
    with pytest.raises(RuntimeError, match=message):
        packed_mixer(**packed(mixer_inputs(SIZES[2])) | changed)


@INFERRING
def test_opcheck():
    s, *others = packed(mixer_inputs(SIZES[2])).values()
    torch.library.opcheck(torch.ops.ssamba.packed_mixer, (s, None, *others, 1.0, None))
