"""Every derivative that torch can ask of an op: forward mode, torch.func, second derivatives."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import ssamba_ops
from conv_cases import conv_inputs
from scan_cases import scan_inputs
from ssamba_ops import reference
from tolerance import assert_close

LENGTHS = torch.tensor([5, 3])


def mask_inputs(dtype):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return {"x": normal(2, 5, 3), "mask_token": normal(3), "pos": normal(5, 3)}


def inputs_of(op: str, dtype=torch.float64) -> tuple[dict, dict]:
    """The arguments to differentiate, all that the op has, and the others."""
    if op == "patch_mask":
        return mask_inputs(dtype), {"mask": torch.arange(10).view(2, 5) % 3 == 0}
    if op.endswith("conv1d"):
        two = op == "bi_conv1d"
        inputs = conv_inputs((2, 5, 3, 3), dtype, directions=two, initial_state=not two)
        return inputs, {"silu": True, "lengths": LENGTHS} | ({} if two else {"reverse": True})
    two = op == "bi_scan"
    inputs = scan_inputs((2, 5, 4, 2, 2), dtype, directions=two)
    del inputs["delta_softplus"]
    others = {"delta_softplus": True, "lengths": LENGTHS}
    if not two:
        inputs["initial_state"] = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(3)).to(inputs["A"].dtype)
        others["reverse"] = True
    return inputs, others


OPS = ("bi_scan", "selective_scan", "causal_conv1d", "bi_conv1d", "patch_mask")
all_ops = pytest.mark.parametrize("op", OPS)


def functions(op: str, dtype=torch.float64):
    """The op and its definition as functions of what they are differentiated by, and that."""
    inputs, others = inputs_of(op, dtype)

    def of(function):
        return lambda *tensors: function(**dict(zip(inputs, tensors, strict=True)), **others)

    return of(getattr(ssamba_ops, op)), of(getattr(reference, op)), tuple(inputs.values())


def tangents_of(inputs, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in inputs)


def scalar(function):
    def total(*tensors):
        out = function(*tensors)
        return sum(x.sin().sum() for x in out) if isinstance(out, tuple) else out.sin().sum()

    return total


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@all_ops
def test_tangent_is_the_definitions(op):
    found, expected, inputs = functions(op)
    tangents = tangents_of(inputs)
    assert_same(jvp(found, inputs, tangents), jvp(expected, inputs, tangents))


@all_ops
def test_tangent_against_finite_differences(op):
    found, _, inputs = functions(op)
    leaves = [x.requires_grad_() for x in inputs]
    assert gradcheck(found, leaves, check_forward_ad=True, check_backward_ad=False, fast_mode=True)


@all_ops
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_tangent_in_the_dtype_of_the_activations(op, dtype):
    found, expected, inputs = functions(op, dtype)
    tangents = tangents_of(inputs)
    _, tangent = jvp(found, inputs, tangents)
    _, exact = jvp(expected, tuple(x.double() for x in inputs), tuple(x.double() for x in tangents))
    pairs = zip(tangent, exact, strict=True) if isinstance(tangent, tuple) else [(tangent, exact)]
    for actual, wanted in pairs:
        assert_close(actual, wanted, 100, "tangent", dtype)


@all_ops
@pytest.mark.parametrize("which", [0, 1, -1])
def test_tangent_of_one_argument(op, which):
    found, expected, inputs = functions(op)

    def of_one(function):
        def called(x):
            arguments = list(inputs)
            arguments[which] = x
            return function(*arguments)

        return called

    one, tangent = (inputs[which],), tangents_of(inputs)[which : which + 1 or None]
    assert_same(jvp(of_one(found), one, tangent), jvp(of_one(expected), one, tangent))


@all_ops
def test_dual_level_with_and_without_gradient(op):
    found, expected, inputs = functions(op)
    tangents = tangents_of(inputs)
    _, wanted = jvp(scalar(expected), inputs, tangents)
    with forward_ad.dual_level():
        for needed in (False, True):
            leaves = [x.clone().requires_grad_(needed) for x in inputs]
            with torch.set_grad_enabled(needed):
                duals = [forward_ad.make_dual(x, t) for x, t in zip(leaves, tangents, strict=True)]
                total = scalar(found)(*duals)
            assert_same(forward_ad.unpack_dual(total).tangent, wanted)
            if needed:
                values = grad(scalar(expected), argnums=tuple(range(len(inputs))))(*inputs)
                assert_same(torch.autograd.grad(forward_ad.unpack_dual(total).primal, leaves), values)
        assert forward_ad.unpack_dual(found(*inputs)[0]).tangent is None


@all_ops
def test_func_grad_and_vjp(op):
    found, expected, inputs = functions(op)
    every = tuple(range(len(inputs)))
    assert_same(grad(scalar(found), every)(*inputs), grad(scalar(expected), every)(*inputs))
    out, pull = vjp(found, *inputs)
    wanted_out, wanted_pull = vjp(expected, *inputs)
    assert_same(out, wanted_out)
    upstream = torch.utils._pytree.tree_map(torch.ones_like, out)
    assert_same(pull(upstream), wanted_pull(upstream))


@all_ops
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_gradients_per_sample(op):
    found, expected, inputs = functions(op)
    many = tuple(torch.stack([x, 0.5 * x, -0.1 * x]) for x in inputs)
    every = tuple(range(len(inputs)))
    per_sample = vmap(grad(scalar(found), every))(*many)
    for sample in range(3):
        wanted = grad(scalar(expected), every)(*(x[sample] for x in many))
        assert_same(tuple(x[sample] for x in per_sample), wanted)
    shared = vmap(grad(scalar(found)), (0, *(None for _ in inputs[1:])))(many[0], *inputs[1:])
    for sample in range(3):
        assert_same(shared[sample], grad(scalar(expected))(many[0][sample], *inputs[1:]))


@all_ops
@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("transform", [jacrev, jacfwd], ids=["jacrev", "jacfwd"])
def test_jacobians(op, transform):
    found, expected, inputs = functions(op)
    for which in (0, len(inputs) - 1):
        assert_same(transform(found, which)(*inputs), transform(expected, which)(*inputs))


@all_ops
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_hessians(op):
    found, expected, inputs = functions(op)
    every = tuple(range(min(3, len(inputs))))
    wanted = hessian(scalar(expected), every)(*inputs)
    assert_same(hessian(scalar(found), every)(*inputs), wanted)
    assert_same(jacrev(jacrev(scalar(found), every), every)(*inputs), wanted)
    assert_same(jacrev(jacfwd(scalar(found), every), every)(*inputs), wanted)


@all_ops
def test_second_derivative(op):
    found, _, inputs = functions(op)
    assert gradgradcheck(found, [x.requires_grad_() for x in inputs], check_fwd_over_rev=True, fast_mode=True)


@all_ops
def test_third_derivative(op):
    found, expected, inputs = functions(op)
    tangents = tangents_of(inputs)

    def along(function):
        return lambda t: function(*(x + t * v for x, v in zip(inputs, tangents, strict=True)))

    t = torch.zeros((), dtype=torch.float64)
    third = [grad(grad(grad(along(scalar(function)))))(t) for function in (found, expected)]
    assert_same(*third)


@all_ops
def test_gradient_penalty(op):
    """A second derivative of half precision activations, by .backward()."""
    found, expected, inputs = functions(op, torch.float32)
    penalties = []
    for function, dtype in ((found, torch.float32), (expected, torch.float64)):
        leaves = [x.detach().to(dtype).requires_grad_() for x in inputs]
        gradients = torch.autograd.grad(scalar(function)(*leaves), leaves, create_graph=True)
        sum(g.square().sum() for g in gradients).backward()
        penalties.append([x.grad for x in leaves])
    for actual, wanted in zip(*penalties, strict=True):
        assert_close(actual, wanted, 1000, "gradient of the penalty")


@pytest.mark.host
@all_ops
def test_compiled_tangent(op):
    found, expected, inputs = functions(op)
    tangents = tangents_of(inputs)
    compiled = torch.compile(lambda x, t: jvp(found, x, t), backend="aot_eager")
    assert_same(compiled(inputs, tangents), jvp(expected, inputs, tangents))


@pytest.mark.parametrize("op", ["bi_scan", "selective_scan"])
def test_the_training_form_has_the_same_tangent(op):
    inputs, others = inputs_of(op)
    call = getattr(torch.ops.ssamba, f"{op}_forward")
    named = {argument.name: (inputs | others).get(argument.name) for argument in call.default._schema.arguments}

    def training(u):
        return call(**named | {"u": u})[0]

    def definition(u):
        out = getattr(reference, op)(**named | {"u": u})
        return out[0] if isinstance(out, tuple) else out

    u = inputs["u"]
    wanted = jvp(definition, (u,), (u,))
    assert_same(jvp(training, (u,), (u,)), wanted)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(u.clone().requires_grad_(), u)
        assert_same(forward_ad.unpack_dual(training(dual)).tangent, wanted[1])


@pytest.mark.host
def test_scan_part_refuses_derivatives_and_vmap():
    u = torch.ones(1, 2, 3)
    rest = {name: torch.ones(1, 2, 1) for name in ("dt", "B", "C")}
    rest |= {name: torch.ones(3, 1) for name in ("dt_weight", "A")} | {name: torch.ones(3) for name in ("D", "dt_bias")}

    def part(u):
        ssamba_ops.scan_part(torch.zeros(1, 2, 3), torch.zeros(1, 3, 1), u, **rest)
        return u

    message = "scan_part has no derivative; call ssamba_ops.selective_scan, or detach its inputs"
    for asked in (lambda: jvp(part, (u,), (u,)), lambda: grad(lambda u: part(u).sum())(u)):
        with pytest.raises(NotImplementedError, match=message):
            asked()
    y = torch.full((1, 2, 3), 7.0)
    with torch.no_grad(), forward_ad.dual_level(), pytest.raises(NotImplementedError, match=message):
        ssamba_ops.scan_part(y, torch.zeros(1, 3, 1), forward_ad.make_dual(u, u), **rest)
    assert (y == 7).all()
    part(u.requires_grad_().detach())
    with pytest.raises(NotImplementedError, match=r"scan_part cannot be mapped by torch\.vmap; call ssamba_ops"):
        vmap(part)(torch.ones(3, 1, 2, 3))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_per_sample_gradients_of_a_module():
    """vmap(grad(functional_call)): the parameters shared, the clips apart."""

    class Filter(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(3, 4, generator=torch.Generator().manual_seed(1)))

        def forward(self, x):
            return ssamba_ops.causal_conv1d(x, self.weight, silu=True).square().sum()

    module = Filter()
    x = torch.randn(5, 1, 7, 3, generator=torch.Generator().manual_seed(2))
    parameters = {name: p.detach() for name, p in module.named_parameters()}
    found = vmap(grad(lambda p, x: functional_call(module, p, (x,))), (None, 0))(parameters, x)
    for clip in range(5):
        (wanted,) = torch.autograd.grad(module(x[clip]), module.weight)
        torch.testing.assert_close(found["weight"][clip], wanted)
