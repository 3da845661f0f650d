"""The derivatives of every op. The gradient has a kernel of its own; what is asked for more rarely, the tangent of
forward mode and derivatives of the gradient, is that of the op's definition in `reference.py`, and as slow.

Each op has an Autograd kernel, so that `.backward()` and `torch.func` find the same rules, and not
torch.library.register_autograd, which drops tangents without a word and refuses the transforms of torch.func.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import (
    get_inplace_requires_grad_allowed,
    peek_interpreter_stack,
    set_inplace_requires_grad_allowed,
)
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction
from torch.autograd.graph import increment_version

from ssamba_ops import reference

_registrations = []


def given(gradient: Tensor, of: Tensor | None) -> Tensor | None:
    """The gradient, or None where the op was called without the input."""
    return None if of is None else gradient


def register_derivatives(
    op: str,
    setup_context: Callable[..., None],
    backward: Callable[..., Any],
    results: Callable[[tuple], Any] | None = None,
    gradient_definition: Callable[..., tuple[Tensor, ...]] | None = None,
) -> None:
    """Registers the derivatives of `ssamba::<op>` and of its gradient, `ssamba::<op>_backward`.

    `backward` and `setup_context` are as `torch.library.register_autograd` takes them. With `results`,
    `ssamba::<op>_forward` stands for the op where a gradient is wanted: it also returns what the backward pass starts
    from, and `results` takes from its outputs those of the op. `gradient_definition` is the gradient in plain torch,
    for an op whose `<op>_backward` does not take the op's own inputs; else it follows from the definition.
    """
    packets = torch.ops.ssamba
    inference = getattr(packets, op).default
    training = getattr(packets, f"{op}_forward").default if results else inference
    gradient = getattr(packets, f"{op}_backward").default
    first = _function(training, setup_context, backward)
    definition = getattr(reference, op)
    gradient_definition = gradient_definition or _GradientOf(definition, inference, gradient)
    second = _function(gradient, _keep_arguments, partial(_differentiate, gradient_definition))

    def run(*args: Any) -> Any:
        if _wants_gradient(args):
            outputs = _apply(first, args)
            return results(outputs) if results else outputs
        return _below_autograd(inference, args)

    def run_training(*args: Any) -> Any:
        return _apply(first, args) if _wants_gradient(args) else _below_autograd(training, args)

    def run_gradient(*args: Any) -> Any:
        return _apply(second, args) if _wants_gradient(args) else _below_autograd(gradient, args)

    _register(inference, run, definition)
    if results:
        _register(training, run_training, definition)
    _register(gradient, run_gradient, gradient_definition)


def register_refusal(op: str, instead: str) -> None:
    """Makes `ssamba::<op>`, an op of inference, say what to call instead where a derivative or torch.vmap is wanted.

    What it writes in place is marked as changed, so that a gradient which needs the old values is refused by autograd.
    """
    overload = getattr(torch.ops.ssamba, op).default
    arguments = overload._schema.arguments
    written = [i for i, one in enumerate(arguments) if one.alias_info is not None and one.alias_info.is_write]

    def refuse(*args: Any) -> Any:
        raise NotImplementedError(f"ssamba::{op} has no derivative; {instead}, or detach its inputs")

    def refuse_to_map(*_: Any) -> Any:
        raise NotImplementedError(f"ssamba::{op} cannot be mapped by torch.vmap; {instead}")

    def run(*args: Any) -> Any:
        if _wants_gradient(args):
            return refuse(*args)
        outputs = _below_autograd(overload, args)
        changed = [args[i] for i in written if args[i] is not None]
        increment_version([x for x in changed if not x.is_inference()])
        return outputs

    _register(overload, run, refuse)
    torch.library.register_vmap(f"ssamba::{op}", refuse_to_map)


def _register(overload: Any, run: Callable[..., Any], plain: Callable[..., Any]) -> None:
    """Makes `run` the Autograd kernel. Where tangents come in, `plain`, the same in plain torch, gives those that go
    out; where gradients are wanted too it gives all, since gradients then have tangents."""
    defaults = [argument.default_value for argument in overload._schema.arguments]

    def kernel(*args: Any) -> Any:
        args = (*args, *defaults[len(args) :])
        if not _any_dual(args):
            return run(*args)
        duals = plain(*args)  # first, as it may refuse
        outputs = _below_autograd(overload, [_primal(x) for x in args])
        if isinstance(outputs, Tensor):
            return duals if _wants_gradient(args) else _dual(outputs, duals)
        duals = duals if isinstance(duals, tuple) else (duals,)
        if _wants_gradient(args):
            return (*duals, *outputs[len(duals) :])  # checkpoints have no tangent
        return (*map(_dual, outputs, duals), *outputs[len(duals) :])

    library = torch.library.Library("ssamba", "IMPL", "Autograd")
    library.impl(overload, kernel)
    _registrations.append(library)


class _GradientOf:
    """The gradient of a definition, with the arguments of `ssamba::<op>_backward`: upstream gradients, perhaps
    checkpoints, and the op's own inputs."""

    def __init__(self, definition: Callable[..., Any], inference: Any, gradient: Any):
        self.definition = definition
        self.inputs = [argument.name for argument in inference._schema.arguments]
        self.names = [argument.name for argument in gradient._schema.arguments]
        self.differentiated = [output.name.removeprefix("d") for output in gradient._schema.returns]

    def __call__(self, *args: Any) -> tuple[Tensor, ...]:
        named = dict(zip(self.names, args, strict=True))
        upstream = [named[name] for name in ("dout", "dlast_state") if name in named]
        with torch.enable_grad():
            leaves = {name: _leaf(named[name]) for name in self.differentiated}
            out = self.definition(**{name: leaves.get(name, named[name]) for name in self.inputs})
            found = _gradients(out if isinstance(out, tuple) else (out,), list(leaves.values()), upstream)
        return tuple(upstream[0].new_empty(0) if x is None else x for x in found)


def _keep_arguments(ctx: Any, inputs: tuple, output: Any) -> None:
    ctx.others = [None if isinstance(x, Tensor) else x for x in inputs]
    ctx.save_for_backward(*(x if isinstance(x, Tensor) else None for x in inputs))
    ctx.set_materialize_grads(False)


def _differentiate(function: Callable[..., tuple[Tensor, ...]], ctx: Any, *cotangents: Tensor | None) -> tuple:
    """The gradients of a function in plain torch, over the arguments kept."""
    args = [other if x is None else x for x, other in zip(ctx.saved_tensors, ctx.others, strict=True)]
    with torch.enable_grad():
        leaves = [_leaf(x) if needed else None for x, needed in zip(args, ctx.needs_input_grad, strict=True)]
        outputs = function(*(x if leaf is None else leaf for x, leaf in zip(args, leaves, strict=True)))
        return tuple(_gradients(outputs, leaves, cotangents))


def _gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor | None], cotangents: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Gradients over the inputs that are there, themselves differentiable; zeros where nothing depends on one."""
    pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if g is not None and y.requires_grad]
    there = [x for x in inputs if x is not None]
    if not pairs:
        return [None if x is None else torch.zeros_like(x) for x in inputs]
    found = iter(
        torch.autograd.grad(
            [y for y, _ in pairs], there, [g for _, g in pairs], create_graph=True, materialize_grads=True
        )
    )
    return [None if x is None else next(found) for x in inputs]


def _leaf(x: Any) -> Tensor | None:
    """The tensor under a new name, from which gradients can be asked for without losing what it depends on."""
    if not _is_real(x):
        return None
    x = x.view_as(x)
    if not x.requires_grad:
        allowed = get_inplace_requires_grad_allowed()  # not by itself within torch.func
        set_inplace_requires_grad_allowed(True)
        try:
            x.requires_grad_()
        finally:
            set_inplace_requires_grad_allowed(allowed)
    return x


def _function(overload: Any, setup_context: Callable[..., None], backward: Callable[..., Any]) -> type:
    """An autograd.Function of one level: the dispatcher goes from level to level of torch.func by itself."""

    def forward(ctx: Any, *args: Any) -> Any:
        # Autograd has turned both off, which outer levels of torch.func would see.
        with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
            outputs = _below_autograd(overload, args)
        setup_context(ctx, args, outputs)
        return outputs

    return type(
        overload._schema.name.replace("::", "_"),
        (_SingleLevelFunction,),
        {"forward": staticmethod(forward), "backward": staticmethod(backward)},
    )


def _apply(function: type, args: Sequence[Any]) -> Any:
    with enable_single_level_autograd_function():
        return function.apply(*args)


def _below_autograd(overload: Any, args: Sequence[Any]) -> Any:
    try:
        with torch._C._AutoDispatchBelowAutograd():
            return overload(*args)
    except RuntimeError as error:  # torch's type does not come through its stable ABI
        if "CUDA out of memory" in str(error) and not isinstance(error, torch.OutOfMemoryError):
            raise torch.OutOfMemoryError(str(error)) from None
        raise


def _wants_gradient(args: Sequence[Any]) -> bool:
    return torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in args)


def _any_dual(args: Sequence[Any]) -> bool:
    # torch.compile enters torch.func.jvp without telling forward_ad.
    entered = forward_ad._current_level >= 0 or peek_interpreter_stack() is not None
    return entered and torch._C._is_fwd_grad_enabled() and any(_tangent(x) is not None for x in args)


def _tangent(x: Any) -> Tensor | None:
    return forward_ad.unpack_dual(x, level=0).tangent if _is_real(x) else None


def _primal(x: Any) -> Any:
    return forward_ad.unpack_dual(x, level=0).primal if _is_real(x) else x


def _is_real(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _dual(primal: Tensor, like: Tensor) -> Tensor:
    """The tensor with the tangent of another."""
    tangent = _tangent(like)
    return primal if tangent is None else forward_ad.make_dual(primal, tangent, level=0)
