"""Whatever is put in the place of a part, or watches it, is heard: with gradient, without, and in a padded batch."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, parametrize, prune, weight_norm

EXACT = {"rtol": 0, "atol": 1e-12}
LAYOUTS = pytest.mark.parametrize("layout", ["sequential", "paired"])
SIDES = ("conv1d", "conv1d_b", "x_proj", "x_proj_b", "dt_proj", "dt_proj_b")
PARTS = (
    *("patch_embed.proj", "layers.1.norm", "layers.0.mixer.in_proj", "layers.0.mixer.x_proj"),
    *(f"layers.1.mixer.{name}" for name in ("in_proj", "out_proj", *SIDES)),
)


@pytest.fixture
def perturbed(make_model, perturb):
    """A float64 model no parameter of which is at a symmetric value."""
    return lambda **overrides: perturb(make_model(torch.float64, **overrides))


@pytest.fixture
def x(noise):
    return noise(3, 96, 128).double()


def numbers(model, x):
    """Tokens with gradient and without, of whole clips and of padded ones."""
    whole, padded = model.encode(x).detach(), model.encode(x, [96, 16, 57]).detach()
    with torch.no_grad():
        torch.testing.assert_close(model.encode(x), whole, **EXACT)
        torch.testing.assert_close(model.encode(x, [96, 16, 57]), padded, **EXACT)
    return torch.cat([whole, padded])


@torch.no_grad()
def doubled_weights(model, x, path):
    """The numbers when what the part at `path` gives is twice as large."""
    parameters = list(model.get_submodule(path).parameters())
    for parameter in parameters:
        parameter.mul_(2)
    wanted = numbers(model, x)
    for parameter in parameters:
        parameter.div_(2)
    return wanted


class Doubled(nn.Module):
    """As an adapter stands in the place of what it adapts."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return 2 * self.inner(x)


def put_a_module_in_its_place(model, path):
    model.set_submodule(path, Doubled(model.get_submodule(path)))


def put_a_forward_in_its_place(model, path):
    part = model.get_submodule(path)
    own = part.forward
    part.forward = lambda x: 2 * own(x)


def hook_its_output(model, path):
    model.get_submodule(path).register_forward_hook(lambda module, args, output: 2 * output)


def derive_its_class(model, path):
    part = model.get_submodule(path)

    class Other(type(part)):
        def forward(self, x):
            return 2 * super().forward(x)

    part.__class__ = Other


def parametrize_its_weights(model, path):
    class Twice(nn.Module):
        def forward(self, w):
            return 2 * w

    part = model.get_submodule(path)
    for name in [name for name, _ in part.named_parameters()]:
        parametrize.register_parametrization(part, name, Twice())


@LAYOUTS
@pytest.mark.parametrize("path", PARTS)
@pytest.mark.parametrize(
    "change",
    [
        put_a_module_in_its_place,
        put_a_forward_in_its_place,
        hook_its_output,
        derive_its_class,
        parametrize_its_weights,
    ],
)
def test_a_changed_part(perturbed, x, layout, path, change):
    model = perturbed(layout=layout)
    wanted = doubled_weights(model, x, path)
    change(model, path)
    torch.testing.assert_close(numbers(model, x), wanted, **EXACT)


@LAYOUTS
@pytest.mark.parametrize("path", ["layers.1", "layers.1.mixer"])
@pytest.mark.parametrize("change", [hook_its_output, put_a_forward_in_its_place])
def test_a_changed_layer(perturbed, x, layout, path, change):
    """Whose output is doubled by its last matrix as well."""
    model = perturbed(layout=layout)
    wanted = doubled_weights(model, x, "layers.1.mixer.out_proj")
    if change is hook_its_output:
        hook_its_output(model, path)
    else:
        part = model.get_submodule(path)
        own = part.forward
        part.forward = lambda *args, **options: 2 * own(*args, **options)
    torch.testing.assert_close(numbers(model, x), wanted, **EXACT)


def test_a_class_whose_forward_was_replaced(perturbed, x, monkeypatch):
    model, own = perturbed(), nn.Conv1d.forward
    before = numbers(model, x)
    seen = []
    monkeypatch.setattr(nn.Conv1d, "forward", lambda self, x: seen.append(self) or own(self, x))
    torch.testing.assert_close(numbers(model, x), before, **EXACT)
    convolutions = [model.get_submodule(f"layers.{i}.mixer.{name}") for i in (0, 1) for name in ("conv1d", "conv1d_b")]
    assert seen == 4 * convolutions


@LAYOUTS
def test_hooks_on_all_modules_see_all(perturbed, x, layout):
    """As counters of operations count by module."""
    model, seen = perturbed(layout=layout), []
    before = numbers(model, x)
    hook = register_module_forward_hook(lambda module, args, output: seen.append(module))
    try:
        torch.testing.assert_close(numbers(model, x), before, **EXACT)
    finally:
        hook.remove()
    outside = {model, *model.cpredlayer.modules(), *model.gpredlayer.modules(), *model.head.modules()}
    assert set(seen) == set(model.modules()) - outside
    assert all(seen.count(layer.mixer.x_proj) == 4 for layer in model.layers)


def zero_half(module):
    prune.l1_unstructured(module, "weight", 0.5)


def normalise_rows(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        weight_norm(module)


@LAYOUTS
@pytest.mark.parametrize("path", [path for path in PARTS if "norm" not in path])
@pytest.mark.parametrize("how", [zero_half, normalise_rows, parametrizations.weight_norm])
def test_a_weight_that_is_made_at_the_call(perturbed, x, layout, path, how):
    """It trains, and each call takes the weight as it is made then."""
    model = perturbed(layout=layout, drop_path=0.0)
    part = model.get_submodule(path)
    how(part)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model.pretrain_loss(x, seed=0).loss.backward()
        optimizer.step()
    found = numbers(model, x)
    plain = perturbed(layout=layout)
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(f"{path}.")}
    for hook in part._forward_pre_hooks.values():
        hook(part, ())  # makes the weight
    state.update({f"{path}.weight": part.weight.detach()})
    if part.bias is not None:
        state[f"{path}.bias"] = part.bias.detach()
    plain.load_state_dict(state)
    torch.testing.assert_close(found, numbers(plain, x), **EXACT)


def test_another_kind_of_weight(perturbed, x):
    """As quantised and sharded weights are: the product is the module's business."""

    class Stored(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            if function is nn.functional.linear:
                return 2 * super().__torch_function__(function, types, args, kwargs or {}).as_subclass(torch.Tensor)
            return super().__torch_function__(function, types, args, kwargs or {})

    model = perturbed()
    wanted = doubled_weights(model, x, "layers.0.mixer.x_proj")
    part = model.layers[0].mixer.x_proj
    part.weight = nn.Parameter(part.weight.detach().as_subclass(Stored))
    torch.testing.assert_close(numbers(model, x), wanted, **EXACT)


def test_a_bias_where_there_was_none(perturbed, x):
    model = perturbed()
    before = numbers(model, x)
    part = model.layers[0].mixer.x_proj
    wider = nn.Linear(part.in_features, part.out_features).double()
    with torch.no_grad():
        wider.weight.copy_(part.weight)
    model.layers[0].mixer.x_proj = wider
    assert (numbers(model, x) - before).abs().max() > 1e-4
    with torch.no_grad():
        wider.bias.zero_()
    torch.testing.assert_close(numbers(model, x), before, **EXACT)


@LAYOUTS
def test_parametrized_decay_rates(perturbed, x, layout):
    """Which belong to the mixer itself."""

    class Shifted(nn.Module):
        def forward(self, A_log):
            return A_log + 0.3

    model = perturbed(layout=layout)
    with torch.no_grad():
        model.layers[1].mixer.A_log.add_(0.3)
        wanted = numbers(model, x)
        model.layers[1].mixer.A_log.sub_(0.3)
    parametrize.register_parametrization(model.layers[1].mixer, "A_log", Shifted())
    torch.testing.assert_close(numbers(model, x), wanted, **EXACT)


def test_low_rank_adapters_everywhere(perturbed, x):
    """Also under autocast, where they and the model multiply in bfloat16; merged, they give the same."""

    class LowRank(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base_layer = base
            self.down = nn.Linear(base.in_features, 2, bias=False).to(base.weight.dtype)
            self.up = nn.Linear(2, base.out_features, bias=False).to(base.weight.dtype)

        def forward(self, x):
            return self.base_layer(x) + self.up(self.down(x))

    model = perturbed()
    before = numbers(model, x)
    linear = [path for path, part in model.layers.named_modules() if type(part) is nn.Linear]
    for path in linear:
        model.layers.set_submodule(path, LowRank(model.layers.get_submodule(path)))
    adapted = numbers(model, x)
    assert (adapted - before).abs().max() > 1e-2
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        low = model.float().encode(x.float())
    torch.testing.assert_close(low.double(), adapted[: len(x)], rtol=0, atol=0.3)
    model.double()
    for path in linear:
        adapter = model.layers.get_submodule(path)
        adapter.base_layer.weight.data += adapter.up.weight @ adapter.down.weight
        model.layers.set_submodule(path, adapter.base_layer)
    torch.testing.assert_close(numbers(model, x), adapted, rtol=0, atol=1e-5)
