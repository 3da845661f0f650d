from __future__ import annotations

import pytest
import torch

from machine import device
from scan_cases import DTYPES, as_float64, as_leaves
from ssamba_ops import patch_mask, reference
from tolerance import assert_close

# (B, P, D). Vectors hold 2 to 16 channels; a chunk is 48K elements: 49 patches of 1,001 channels in the forward pass.
SIZES = [
    (0, 5, 4),
    (2, 0, 4),
    (2, 5, 0),
    (1, 1, 1),
    (3, 7, 15),
    (2, 8, 16),
    (2, 13, 17),
    (2, 49, 1001),
    (2, 50, 1001),
    (40, 67, 33),
]


def mask_inputs(size, dtype=torch.float32, pos=True, parameter_dtype=None, seed=0):
    batch, patches, channels = size
    generator = torch.Generator().manual_seed(seed)
    wide = torch.float64 if dtype == torch.float64 else torch.float32

    def normal(*shape, to=parameter_dtype or wide):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(to)

    return {
        "x": normal(batch, patches, channels, to=dtype),
        "mask": torch.rand(batch, patches, generator=generator) < 0.6,
        "mask_token": normal(channels),
        "pos": normal(patches, channels) if pos else None,
    }


def check(inputs):
    dtype = inputs["x"].dtype
    batch, patches, _ = inputs["x"].shape
    exact, leaves = as_float64(inputs), as_leaves(inputs)
    expected, actual = reference.patch_mask(**exact), patch_mask(**leaves)
    assert actual.dtype == dtype
    assert_close(actual, expected, 1, "out")
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(dtype)
    expected.backward(upstream.double())
    actual.backward(upstream)
    terms = {"x": 1, "mask_token": batch * patches, "pos": batch}
    for name, x in leaves.items():
        if x is not None and x.requires_grad:
            assert x.grad.dtype == x.dtype
            assert_close(x.grad, exact[name].grad, terms[name], f"d{name}", dtype if x.dtype != dtype else None)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("pos", [False, True])
def test_matches_reference(size, pos, isa):
    check(mask_inputs(size, pos=pos))


@pytest.mark.parametrize("channels", [37, 40])  # edges, and whole packs and vectors
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype, channels, isa):
    for parameter_dtype in (None, dtype):
        for pos in (False, True):
            check(mask_inputs((2, 45, channels), dtype, pos, parameter_dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_rounds_as_torch_does(dtype, isa):
    """Bit for bit: ties to even, and a NaN stays one whatever its bits."""
    x = torch.linspace(-2, 2, 4 * 37).view(1, 4, 37).to(dtype)
    pos = torch.linspace(0, 1 / 32, 4 * 37).view(4, 37).bfloat16().float()  # so that many sums lie halfway
    pos[0, :4] = torch.tensor([0x7FFFFFFF, 0x7F800001, -1, 0x7FC00000], dtype=torch.int32).view(torch.float32)
    out = patch_mask(x, torch.zeros(1, 4, dtype=torch.bool), torch.zeros(37), pos)
    torch.testing.assert_close(out, (x.float() + pos).to(dtype), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("value", [False, True])
def test_all_or_nothing_masked(value):
    inputs = mask_inputs((2, 9, 20))
    inputs["mask"][:] = value
    check(inputs)


def test_many_clips(machine):
    """More than the second axis of a GPU's grid holds."""
    if machine == "emulated":
        pytest.skip("the emulated GPU's grids are 3 blocks high, which every test of 4 clips goes beyond")
    check(mask_inputs((65_540, 1, 1)))


def test_masked_patches_are_not_read():
    inputs = mask_inputs((2, 9, 20))
    inputs["x"][inputs["mask"]] = torch.nan
    leaves = as_leaves(inputs)
    out = patch_mask(**leaves)
    assert torch.isfinite(out).all()
    out.sum().backward()
    assert (leaves["x"].grad == ~inputs["mask"].unsqueeze(-1)).all()


def test_strided_inputs():
    inputs = mask_inputs((3, 40, 24))
    expected = patch_mask(**inputs)

    def sliced(x):
        wide = torch.full((*x.shape[:-1], x.shape[-1] + 7), torch.nan, dtype=x.dtype)
        wide[..., 3 : 3 + x.shape[-1]] = x
        return wide[..., 3 : 3 + x.shape[-1]]

    def last_axes_swapped(x):
        return x.mT.contiguous().mT if x.dim() > 1 else x

    def clips_inside(x):
        return x.transpose(0, 1).contiguous().transpose(0, 1) if x.dim() == 3 else x

    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    for rearrange in (sliced, last_axes_swapped, clips_inside):
        strided = {name: rearrange(x) if name != "mask" else x.mT.contiguous().mT for name, x in inputs.items()}
        assert torch.equal(patch_mask(**strided), expected), rearrange
        given = torch.ops.ssamba.patch_mask_backward(rearrange(upstream), strided["mask"], True)
        dense = torch.ops.ssamba.patch_mask_backward(upstream, inputs["mask"], True)
        assert all(torch.equal(a, b) for a, b in zip(given, dense, strict=True)), rearrange
    one = inputs | {
        "x": inputs["x"][:1, :1].expand(3, 40, -1),
        "mask": inputs["mask"][:1].expand(3, -1),
        "mask_token": inputs["mask_token"][:1].expand(24),
        "pos": inputs["pos"][:1].expand(40, -1),
    }
    assert torch.equal(patch_mask(**one), patch_mask(**{name: x.contiguous() for name, x in one.items()}))


def test_gradcheck():
    x, mask, mask_token, pos = as_float64(mask_inputs((2, 5, 3), torch.float64)).values()
    assert torch.autograd.gradcheck(lambda x, t, p: patch_mask(x, mask, t, p), (x, mask_token, pos))


def test_opcheck():
    for dtype, pos in ((torch.float32, True), (torch.bfloat16, False)):
        inputs = as_leaves(mask_inputs((2, 7, 6), dtype, pos))
        torch.library.opcheck(torch.ops.ssamba.patch_mask.default, tuple(inputs.values()))


def test_compiles_without_graph_breaks_for_any_length():
    compiled = torch.compile(lambda **x: patch_mask(**x).square().sum(), fullgraph=True, dynamic=True)
    for patches in (5, 33, 64):
        inputs = mask_inputs((2, patches, 18))
        eager, traced = as_leaves(inputs), as_leaves(inputs)
        patch_mask(**eager).square().sum().backward()
        compiled(**traced).backward()
        for name in ("x", "mask_token", "pos"):
            torch.testing.assert_close(traced[name].grad, eager[name].grad)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_bits_every_time_whatever_the_number_of_threads(dtype):
    inputs = mask_inputs((30, 300, 40), dtype)

    def run():
        leaves = as_leaves(inputs)
        out = patch_mask(**leaves)
        out.float().square().sum().backward()
        return [out.detach(), *(leaves[name].grad for name in ("x", "mask_token", "pos"))]

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
    inputs = as_leaves(mask_inputs((2, 9, 20)))
    with torch.autocast(device().type, torch.bfloat16):
        out = patch_mask(**inputs)
    assert torch.equal(out, patch_mask(**inputs | {"x": inputs["x"].detach().bfloat16()}))
    out.float().sum().backward()
    assert {inputs[name].grad.dtype for name in ("x", "mask_token", "pos")} == {torch.float32}


BAD = {
    "x rank": (lambda i: {"x": i["x"][0]}, r"x has shape \(10, 6\); expected 3 dimensions \(B, P, D\)"),
    "integers": (lambda i: {"x": i["x"].int()}, "x is int32; expected float32, float64"),
    "mask shape": (lambda i: {"mask": i["mask"][0]}, r"mask has shape \(10,\); expected \(B, P\) = \(2, 10\)"),
    "mask dtype": (lambda i: {"mask": i["mask"].int()}, "mask is int32; expected bool"),
    "soft mask": (lambda i: {"mask": i["mask"].float().requires_grad_()}, "mask is float32; expected bool"),
    "token shape": (
        lambda i: {"mask_token": i["mask_token"][None]},
        r"mask_token has shape \(1, 6\); expected \(D,\) = \(6,\)",
    ),
    "token dtype": (
        lambda i: {"mask_token": i["mask_token"].half()},
        "mask_token is float16 and x is float32; expected mask_token as float32",
    ),
    "pos shape": (lambda i: {"pos": i["pos"][:9]}, r"pos has shape \(9, 6\); expected \(P, D\) = \(10, 6\)"),
    "pos dtype": (lambda i: {"pos": i["pos"].double()}, "pos is float64 and x is float32"),
    "device": (lambda i: {"pos": i["pos"].to("meta")}, "pos is on (meta|another)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    change, message = BAD[case]
    inputs = mask_inputs((2, 10, 6))
    with pytest.raises(RuntimeError, match=f"patch_mask: {message}"):
        patch_mask(**inputs | change(inputs))


def test_bad_upstream_gradient_is_named():
    mask = torch.zeros(2, 3, dtype=torch.bool)
    for dout, message in ((torch.ones(2, 3), r"dout has shape \(2, 3\)"), (torch.ones(2, 4, 5), "mask has shape")):
        with pytest.raises(RuntimeError, match=f"patch_mask_backward: {message}"):
            torch.ops.ssamba.patch_mask_backward(dout, mask, True)
