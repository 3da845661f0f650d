"""Products with packed matrices against torch's, in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import ssamba_ops
from ssamba_ops import pack_matrix, packed_linear, unpack_matrix
from tolerance import assert_close

pytestmark = pytest.mark.host


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("level", ssamba_ops.available_cpu_isas())
@pytest.mark.parametrize("outputs", [1, 16, 33, 64, 100])
@pytest.mark.parametrize("shape", [(1, 1), (5, 20), (2, 67, 48), (0, 7), (3, 0), (9,)], ids=str)
def test_is_the_linear_map(shape, outputs, level):
    x, weight, bias = normal(*shape), normal(outputs, shape[-1], seed=1), normal(outputs, seed=2)
    with ssamba_ops.cpu_isa(level):
        for given in (bias, None):
            expected = F.linear(x.double(), weight.double(), None if given is None else given.double())
            assert_close(packed_linear(x, pack_matrix(weight), given, outputs), expected, shape[-1], "product")


def test_packing_loses_nothing():
    for outputs in (1, 32, 45):
        weight = normal(outputs, 7)
        assert torch.equal(unpack_matrix(pack_matrix(weight), outputs), weight)


@torch.no_grad()
def test_rows_do_not_know_each_other():
    """The same bits alone, in a batch, and whatever the number of threads."""
    x, weight = normal(101, 40), pack_matrix(normal(50, 40, seed=1))
    whole, threads = packed_linear(x, weight, None, 50), torch.get_num_threads()
    assert torch.equal(torch.cat([packed_linear(row[None], weight, None, 50) for row in x]), whole)
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            assert torch.equal(packed_linear(x, weight, None, 50), whole)
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
@pytest.mark.parametrize(
    ("x", "weight", "bias", "message"),
    [
        (torch.zeros(2, 4).double(), torch.zeros(1, 4, 32), None, "packed_linear: x is float64"),
        (torch.zeros(2, 5), torch.zeros(1, 4, 32), None, r"packed_linear: weight has shape \(1, 4, 32\); expected"),
        (torch.zeros(2, 4), torch.zeros(1, 32, 4).mT, None, "packed_linear: weight is not contiguous"),
        (torch.zeros(2, 4), torch.zeros(1, 4, 32), torch.zeros(4), r"packed_linear: bias has shape \(4,\)"),
    ],
)
def test_bad_arguments(x, weight, bias, message):
    with pytest.raises(RuntimeError, match=message):
        packed_linear(x, weight, bias, 3)


def test_what_it_cannot_do_is_said():
    x, weight = torch.zeros(2, 4), torch.zeros(1, 4, 32)
    with pytest.raises(RuntimeError, match="packed_linear: outputs is -1; expected 0 or more"), torch.no_grad():
        packed_linear(x, weight[:0], None, -1)
    with pytest.raises(NotImplementedError, match="packed_linear has no derivative; call torch"):
        packed_linear(x.requires_grad_(), weight, None, 3)
    with pytest.raises(NotImplementedError, match=r"packed_linear cannot be mapped by torch\.vmap; call torch"):
        torch.vmap(lambda row: packed_linear(row, weight, None, 3))(x.detach())


@torch.no_grad()
def test_opcheck():
    torch.library.opcheck(torch.ops.ssamba.packed_linear, (normal(3, 5, 8), pack_matrix(normal(9, 8)), None, 9))
