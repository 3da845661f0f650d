from __future__ import annotations

import pytest
import torch

from machine import device
from scan_cases import DTYPES, KINDS, OPTIONS, SIZES, accumulation, as_float64, as_leaves, random_lengths, scan_inputs
from ssamba_ops import bi_scan, reference
from ssamba_ops.selective_scan import CHECKPOINT_TOKENS
from tolerance import assert_close


def tiles(length: int) -> int:
    """Checkpoints of so many tokens."""
    return -(-length // CHECKPOINT_TOKENS[device().type])


def check(inputs: dict, lengths=None, terms: int | None = None) -> None:
    """Values and gradients against the reference in float64."""
    dtype = inputs["u"].dtype
    exact, leaves = as_float64(inputs), as_leaves(inputs)
    expected = reference.bi_scan(**exact, lengths=lengths)
    actual = bi_scan(**leaves, lengths=lengths)
    assert actual.dtype == dtype
    length, channels, batch = actual.shape[1], actual.shape[2], actual.shape[0]
    assert_close(actual, expected, length, "out")

    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(dtype)
    expected.backward(upstream.double())
    actual.backward(upstream)
    terms = {
        "A": length * batch,
        "D": length * batch,
        "delta_bias": length * batch,
        "B": channels * length,
        "C": channels * length,
    }
    for name, x in leaves.items():
        if isinstance(x, torch.Tensor) and x.is_floating_point():
            wanted = exact[name].grad if exact[name].grad is not None else torch.zeros_like(exact[name])
            assert_close(x.grad, wanted, terms.get(name, length), f"d{name}", dtype)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_matches_reference(size, isa):
    check(scan_inputs(size))


@pytest.mark.parametrize("size", KINDS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype, size, isa):
    check(scan_inputs(size, dtype))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_optional_arguments(options):
    check(scan_inputs((2, 37, 19, 5, 1), options=options))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("gate", [False, True])
def test_one_input_for_both_directions(gate, dtype):
    check(scan_inputs((2, 37, 19, 5, 1), dtype, options=(True, gate, True), shared_u=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32], ids=str)
def test_lengths(dtype, index_dtype):
    check(scan_inputs((5, 41, 19, 16, 1), dtype), torch.tensor([41, 0, 1, 33, 32], dtype=index_dtype))


def test_lengths_with_many_states():
    check(scan_inputs((3, 41, 19, 21, 1)), torch.tensor([41, 0, 17]))


def test_padding_is_neither_read_nor_written_through(machine):
    """A padded batch gives what its clips give alone, even if the padding is NaN, and padding gets zero gradient."""
    inputs = scan_inputs((4, 50, 20, 16, 1))
    lengths = torch.tensor([50, 13, 0, 32])
    for name, x in inputs.items():
        if isinstance(x, torch.Tensor) and name in ("u", "delta", "B", "C", "z"):
            for clip, end in enumerate(lengths):
                (x if name == "z" else x.transpose(0, 1))[clip, ..., end:, :] = torch.nan
    leaves = as_leaves(inputs)
    out = bi_scan(**leaves, lengths=lengths)
    out.sum().backward()
    for clip, end in enumerate(lengths.tolist()):
        alone = {
            name: (x[clip : clip + 1, :end] if name == "z" else x[:, clip : clip + 1, :end])
            if name in ("u", "delta", "B", "C", "z")
            else x
            for name, x in inputs.items()
        }
        tolerance = 0.0 if machine == "cpu" else 1e-5  # a GPU shares a channel's states by the size of the batch
        torch.testing.assert_close(out[clip : clip + 1, :end], bi_scan(**alone), rtol=tolerance, atol=tolerance)
        assert (out[clip, end:] == 0).all()
        assert (leaves["u"].grad[:, clip, end:] == 0).all()
        assert (leaves["B"].grad[:, clip, end:] == 0).all()
        assert (leaves["z"].grad[clip, end:] == 0).all()
    assert all(torch.isfinite(x.grad).all() for x in leaves.values() if isinstance(x, torch.Tensor))


def test_strided_inputs_are_read_in_place():
    """Slices, transposes and expanded tensors, each with a dense last axis or without."""
    inputs = scan_inputs((3, 40, 24, 16, 1))
    expected = bi_scan(**inputs)

    def sliced(x):
        wide = torch.full((*x.shape[:-1], x.shape[-1] + 7), torch.nan, dtype=x.dtype)
        wide[..., 3 : 3 + x.shape[-1]] = x
        return wide[..., 3 : 3 + x.shape[-1]]

    def time_first(x):
        return x.transpose(-2, -3).contiguous().transpose(-2, -3)

    def channels_first(x):
        return x.mT.contiguous().mT

    for rearrange in (sliced, time_first, channels_first):
        strided = {n: rearrange(x) if n in ("u", "delta", "B", "C", "z") else x for n, x in inputs.items()}
        assert torch.equal(bi_scan(**strided), expected)

    one = {**inputs, "u": inputs["u"][:1].expand(2, -1, -1, -1), "delta": inputs["delta"][:, :1].expand(-1, 3, -1, -1)}
    dense = {n: x.contiguous() if isinstance(x, torch.Tensor) else x for n, x in one.items()}
    assert torch.equal(bi_scan(**one), bi_scan(**dense))


def test_gradcheck():
    inputs = as_float64(scan_inputs((2, 5, 3, 2, 1), torch.float64))
    names = [n for n, x in inputs.items() if isinstance(x, torch.Tensor)]
    lengths = torch.tensor([5, 3])

    def run(*tensors):
        return bi_scan(**dict(zip(names, tensors, strict=True)), delta_softplus=True, lengths=lengths)

    assert torch.autograd.gradcheck(run, [inputs[n] for n in names])


def test_opcheck():
    for options, lengths in (((True, True, True), torch.tensor([7, 2])), ((False, False, False), None)):
        inputs = scan_inputs((2, 7, 6, 4, 2), options=options)
        arguments = (*as_leaves(inputs).values(), lengths)
        torch.library.opcheck(torch.ops.ssamba.bi_scan.default, arguments)
        torch.library.opcheck(torch.ops.ssamba.bi_scan_forward.default, arguments)
        out, checkpoints = torch.ops.ssamba.bi_scan_forward(*inputs.values(), lengths)
        torch.library.opcheck(
            torch.ops.ssamba.bi_scan_backward.default, (torch.ones_like(out), checkpoints, *inputs.values(), lengths)
        )


def test_compiles_without_graph_breaks_for_any_length():
    compiled = torch.compile(lambda **x: bi_scan(**x).square().sum(), fullgraph=True, dynamic=True)
    for length in (5, 33, 64):
        inputs = scan_inputs((2, length, 18, 16, 1))
        eager, traced = as_leaves(inputs), as_leaves(inputs)
        bi_scan(**eager).square().sum().backward()
        compiled(**traced).backward()
        for name, x in eager.items():
            if isinstance(x, torch.Tensor):
                torch.testing.assert_close(traced[name].grad, x.grad)


def test_directions_mirror_each_other():
    """Reversing time and swapping the directions' parameters reverses the result."""
    inputs = scan_inputs((2, 70, 20, 16, 1))
    mirrored = {
        name: x.flip(1)
        if name == "z"
        else x.flip(0, 2)
        if name in ("u", "delta", "B", "C")
        else x.flip(0)
        if isinstance(x, torch.Tensor)
        else x
        for name, x in inputs.items()
    }
    torch.testing.assert_close(bi_scan(**mirrored).flip(1), bi_scan(**inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_bits_every_time_whatever_the_number_of_threads(dtype):
    inputs = scan_inputs((3, 100, 150, 16, 1), dtype)

    def run():
        leaves = as_leaves(inputs)
        out = bi_scan(**leaves)
        out.float().square().sum().backward()
        return [out.detach(), *(x.grad for x in leaves.values() if isinstance(x, torch.Tensor))]

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_extreme_steps_stay_finite(dtype):
    """Step sizes up to 1000 and 2,000 tokens: the state saturates, nothing overflows, values match."""
    inputs = scan_inputs((1, 2000, 4, 4, 1), dtype)
    inputs["delta"] = torch.logspace(-6, 3, 2000).to(dtype)[None, None, :, None].expand(2, 1, 2000, 4)
    inputs["B"] = inputs["B"] * 1e-3
    check(inputs)


def test_not_a_number_comes_out(isa):
    for name in ("u", "delta", "B", "C", "z"):
        inputs = scan_inputs((1, 40, 20, 16, 1))
        x = inputs[name]
        (x[..., 17, :] if name == "z" else x[0, 0, 17])[...] = torch.nan
        out = bi_scan(**inputs)
        assert out[0, 17].isnan().all(), name
        assert not out[0, 16].isnan().any(), name  # the forward direction only carries it on


def test_autocast_leaves_parameters_and_states_wide():
    inputs = as_leaves(scan_inputs((2, 40, 20, 16, 1)))
    with torch.autocast(device().type, torch.bfloat16):
        out = bi_scan(**inputs)
    assert out.dtype == torch.bfloat16
    cast = {n: x.detach().bfloat16() if n in ("u", "delta", "B", "C", "z") else x for n, x in inputs.items()}
    assert torch.equal(out, bi_scan(**cast))
    out.float().sum().backward()
    assert inputs["u"].grad.dtype == inputs["A"].grad.dtype == torch.float32


def test_saves_its_inputs_and_few_states():
    """The states, N times larger, are recomputed from those before every 32nd token, on a GPU every 16th."""
    inputs = as_leaves(scan_inputs((2, 65, 24, 16, 1)))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        bi_scan(**inputs)
    given = {x.data_ptr() for x in inputs.values() if isinstance(x, torch.Tensor)}
    assert [tuple(x.shape) for x in saved if x.data_ptr() not in given] == [(2, 2, tiles(65), 16, 24)]


def test_checkpoints_are_the_states_before_each_tile():
    """With and without checkpoints the results are the same bits, and a checkpoint is the state of a shorter scan."""
    inputs = scan_inputs((1, 70, 20, 16, 1))
    lengths = torch.tensor([66])
    out, checkpoints = torch.ops.ssamba.bi_scan_forward(*inputs.values(), lengths)
    assert torch.equal(out, bi_scan(**inputs, lengths=lengths))
    step = CHECKPOINT_TOKENS[device().type]
    for direction, tile, tokens in (
        (0, 0, slice(0, 0)),
        (0, 2, slice(0, 2 * step)),
        (1, 0, slice(step, 66)),
        (1, 1, slice(2 * step, 66)),
    ):
        one = {name: x[direction] if name not in ("z", "delta_softplus") else x for name, x in inputs.items()}
        part = {name: x[:, tokens] if name in ("u", "delta", "B", "C", "z") else x for name, x in one.items()}
        _, state = reference.selective_scan(**as_float64(part), reverse=direction == 1)
        assert_close(checkpoints[direction, :, tile].mT, state, 64, f"direction {direction}, tile {tile}")


@pytest.mark.host
def test_trains_on_the_meta_device():
    """Shapes alone, as when a model is laid out before it has weights."""
    inputs = {n: x.to("meta") if isinstance(x, torch.Tensor) else x for n, x in scan_inputs((2, 40, 6, 4, 1)).items()}
    leaves = as_leaves(inputs)
    out = bi_scan(**leaves)
    out.sum().backward()
    assert (out.device.type, out.shape) == ("meta", (2, 40, 6))
    assert all(x.grad.shape == x.shape for x in leaves.values() if isinstance(x, torch.Tensor))


BAD = {
    "u rank": (lambda i: i | {"u": i["u"][0, 0]}, r"u has shape \(10, 6\); expected \(2, B, L, D\)"),
    "u directions": (lambda i: i | {"u": i["u"][:1]}, r"u has shape \(1, 2, 10, 6\)"),
    "integers": (lambda i: i | {"u": i["u"].int()}, "u is int32; expected float32, float64"),
    "delta shape": (lambda i: i | {"delta": i["delta"][:, :, :9]}, r"delta has shape \(2, 2, 9, 6\).*\(2, 2, 10, 6\)"),
    "delta dtype": (lambda i: i | {"delta": i["delta"].half()}, "delta is float16; expected float32, as u"),
    "A rank": (lambda i: i | {"A": i["A"][0]}, r"A has shape \(6, 4\); expected 3 dimensions"),
    "A channels": (lambda i: i | {"A": i["A"][:, :5]}, r"A has shape \(2, 5, 4\); expected \(2, D, N\) = \(2, 6, 4\)"),
    "A dtype": (lambda i: i | {"A": i["A"].bfloat16()}, "A is bfloat16; expected float32"),
    "no states": (lambda i: i | {"A": i["A"][..., :0]}, "A has shape .*at least one state"),
    "B states": (lambda i: i | {"B": i["B"][..., :3]}, r"B has shape .*\(2, 2, 10, 4\)"),
    "C clips": (lambda i: i | {"C": i["C"][:, :1]}, r"C has shape \(2, 1, 10, 4\)"),
    "C dtype": (lambda i: i | {"C": i["C"].double()}, "C is float64; expected float32, as u"),
    "groups": (
        lambda i: i | {n: i[n].unsqueeze(3).expand(-1, -1, -1, 4, -1) for n in "BC"},
        "6 channels and B has 4 groups; expected the channels to be a multiple",
    ),
    "groups differ": (
        lambda i: i | {"B": i["B"].unsqueeze(3).expand(-1, -1, -1, 2, -1)},
        "B has shape .* and C has shape .*same groups",
    ),
    "no groups": (lambda i: i | {n: i[n].unsqueeze(3)[:, :, :, :0] for n in "BC"}, "0 groups"),
    "D shape": (lambda i: i | {"D": i["D"][0]}, r"D has shape \(6,\); expected \(2, D\) = \(2, 6\)"),
    "z shape": (lambda i: i | {"z": i["z"][:1]}, r"z has shape \(1, 10, 6\)"),
    "bias dtype": (lambda i: i | {"delta_bias": i["delta_bias"].double()}, "delta_bias is float64; expected float32"),
    "lengths shape": (
        lambda i: i | {"lengths": torch.tensor([1])},
        r"lengths has shape \(1,\); expected \(B,\) = \(2,\)",
    ),
    "lengths dtype": (
        lambda i: i | {"lengths": torch.tensor([1.0, 2.0])},
        "lengths is float32; expected int64 or int32",
    ),
    "device": (
        lambda i: i | {"z": i["z"].to("meta")},
        "z is on meta and u on (cpu|cuda:0); expected all tensors on one device",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    change, message = BAD[case]
    with pytest.raises((RuntimeError, NotImplementedError), match=message):
        bi_scan(**change(scan_inputs((2, 10, 6, 4, 1))))


def test_bad_checkpoints_are_named():
    inputs = scan_inputs((2, 40, 6, 4, 1))
    out, checkpoints = torch.ops.ssamba.bi_scan_forward(*inputs.values(), None)
    message = rf"checkpoints has shape \(2, 2, 1, 4, 6\); expected \(R, B, K, N, D\) = \(2, 2, {tiles(40)}, 4, 6\)"
    with pytest.raises(RuntimeError, match=message):
        torch.ops.ssamba.bi_scan_backward(out, checkpoints[:, :, :1], *inputs.values(), None)
    with pytest.raises(RuntimeError, match="checkpoints is float64; expected float32, as the states"):
        torch.ops.ssamba.bi_scan_backward(out, checkpoints.double(), *inputs.values(), None)


def test_lengths_random_batches_match_reference():
    for seed in range(3):
        check(scan_inputs((4, 67, 9, 5, 3), seed=seed), random_lengths(4, 67, seed))


def test_accumulation_dtype_of_parameters_gradients():
    inputs = as_leaves(scan_inputs((1, 8, 4, 2, 1), torch.bfloat16))
    bi_scan(**inputs).float().sum().backward()
    for name in ("A", "D", "delta_bias"):
        assert inputs[name].grad.dtype == accumulation(torch.bfloat16)
