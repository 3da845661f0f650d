"""The scan of inference, in place, against `reference.selective_scan` in float64 on time steps projected there."""

from __future__ import annotations

import pytest
import torch

import ssamba_ops
from scan_cases import DTYPES, SIZES, accumulation, scan_inputs
from ssamba_ops import reference, scan_part
from tolerance import assert_close

pytestmark = pytest.mark.host
INFERRING = torch.no_grad()


def part_inputs(size, dtype=torch.float32, rank=12, gate=True) -> dict:
    """Arguments of scan_part but for y: as scan_inputs, with delta taken apart, and a state."""
    inputs = scan_inputs(size, dtype, directions=False, options=(True, gate, True))
    batch, length, channels, states, _ = size
    generator = torch.Generator().manual_seed(5)

    def normal(*shape, to=dtype):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(to)

    names = {"u", "A", "B", "C", "D", "z"}
    acc = accumulation(dtype)
    return {name: x for name, x in inputs.items() if name in names} | {
        "state": normal(batch, channels, states, to=acc),
        "dt": normal(batch, length, rank),
        "dt_weight": normal(channels, rank, to=acc) / max(1, rank) ** 0.5,
        "dt_bias": inputs["delta_bias"],
    }


def expected(y, state, dt, dt_weight, dt_bias, z=None, reverse=False, add=False, lengths=None, **others):
    """(y, state) by the definition, in float64."""
    exact = {name: x.double() for name, x in others.items()}
    out, last = reference.selective_scan(
        **exact,
        delta=dt.double() @ dt_weight.double().T,
        delta_bias=dt_bias.double(),
        delta_softplus=True,
        initial_state=state.double(),
        reverse=reverse,
        lengths=lengths,
    )
    if add:
        valid = torch.arange(y.shape[1]) < (y.shape[1] if lengths is None else lengths[:, None])
        out = out + torch.where(valid[..., None] if valid.dim() == 2 else valid[:, None], y.double(), 0)
    if z is not None:
        out = out * torch.nn.functional.silu(z.double())
    return out, last


@INFERRING
def check(inputs: dict, y=None, **options) -> None:
    state, u = inputs["state"].clone(), inputs["u"]
    y = torch.randn(u.shape, generator=torch.Generator().manual_seed(6)).to(u.dtype) if y is None else y
    out, last = expected(y.clone(), **inputs, **options)
    scan_part(y, **inputs | {"state": state}, **options)
    terms = (u.shape[1] + 1) * inputs["dt"].shape[2]  # every step size is a sum too
    assert_close(y, out, terms, "y")
    assert_close(state, last, terms, "state", u.dtype)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_matches_the_definition(size, reverse):
    check(part_inputs(size), reverse=reverse, add=reverse)


@pytest.mark.parametrize("level", ssamba_ops.available_cpu_isas())
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype, level):
    with ssamba_ops.cpu_isa(level):
        check(part_inputs((2, 45, 37, 16, 1), dtype), reverse=True, add=True)


@pytest.mark.parametrize("rank", [1, 3, 48])
def test_ranks(rank):
    check(part_inputs((2, 37, 21, 5, 1), rank=rank))


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("gate", [False, True])
def test_add_and_gate(add, gate):
    check(part_inputs((2, 45, 37, 16, 1), gate=gate), add=add)


@pytest.mark.parametrize("reverse", [False, True])
def test_lengths(reverse):
    check(part_inputs((5, 41, 19, 16, 1)), reverse=reverse, add=True, lengths=torch.tensor([41, 0, 1, 33, 32]))


@INFERRING
def test_reads_and_writes_slices_in_place():
    """As inference has them: parts of longer arrays, projections side by side in one."""
    inputs = part_inputs((2, 33, 20, 16, 1))
    whole = torch.full((2, 70, 30), 7.0)
    y = whole[:, 20:53, 4:24]
    projected = torch.cat([inputs[name] for name in ("dt", "B", "C")], dim=-1)
    inputs |= dict(zip(("dt", "B", "C"), projected.split([12, 16, 16], dim=-1), strict=True))
    check(inputs, y=y, add=True)
    y.fill_(7)
    assert (whole == 7).all()


@INFERRING
def test_parts_give_the_whole():
    inputs = part_inputs((2, 90, 20, 16, 1), torch.float64, gate=False)
    whole, state = torch.empty(2, 90, 20, dtype=torch.float64), inputs["state"].clone()
    scan_part(whole, **inputs | {"state": state})
    parts, carried = torch.empty_like(whole), inputs["state"].clone()
    for part in (slice(0, 33), slice(33, 34), slice(34, 90)):
        some = {name: x[:, part] if name in ("u", "dt", "B", "C") else x for name, x in inputs.items()}
        scan_part(parts[:, part], **some | {"state": carried})
    assert torch.equal(parts, whole)
    assert torch.equal(carried, state)


def arguments(**changed) -> dict:
    return {"y": torch.zeros(2, 5, 4), **part_inputs((2, 5, 4, 3, 1))} | changed


@INFERRING
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": torch.zeros(2, 5, 3)}, r"scan_part: y has shape \(2, 5, 3\); expected \(B, L, D\) = \(2, 5, 4\)"),
        ({"y": torch.zeros(2, 5, 4).double()}, "scan_part: y is float64; expected float32"),
        ({"y": torch.zeros(2, 4, 5).mT}, r"scan_part: y has strides \(20, 1, 5\); expected a last axis of stride 1"),
        ({"state": torch.zeros(2, 4, 2)}, r"scan_part: state has shape \(2, 4, 2\); expected \(B, D, N\)"),
        ({"state": torch.zeros(2, 3, 4).mT}, "scan_part: state has strides .* expected a contiguous tensor"),
        ({"dt": torch.zeros(2, 5, 7)}, r"scan_part: dt has shape \(2, 5, 7\); expected \(B, L, r\) = \(2, 5, 12\)"),
        ({"dt_weight": torch.zeros(4)}, "scan_part: dt_weight has shape"),
        ({"dt_weight": torch.zeros(4, 0)}, "scan_part: dt_weight has shape .* expected at least one number a token"),
        ({"dt_weight": torch.zeros(4, 12).half()}, "scan_part: dt_weight is float16"),
        ({"lengths": torch.tensor([6, 0])}, "scan_part: lengths"),
    ],
)
def test_bad_arguments(changed, message):
    with pytest.raises(RuntimeError, match=message):
        scan_part(**arguments(**changed))


@INFERRING
def test_opcheck():
    given = arguments()
    order = ("y", "state", "u", "dt", "dt_weight", "A", "B", "C", "D", "dt_bias", "z")
    torch.library.opcheck(torch.ops.ssamba.scan_part, (*(given[name] for name in order), False, True, None))
