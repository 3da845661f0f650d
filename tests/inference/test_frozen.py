"""A frozen encoder gives the model's numbers as they were, wherever it is taken, and is changed by nothing."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from ssamba import SSAMBA, FrozenSSAMBA

EXACT = {"rtol": 0, "atol": 1e-12}
LAYOUTS = pytest.mark.parametrize("layout", ["sequential", "paired"])
NORMS = pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])


@pytest.fixture
def perturbed(make_model, perturb):
    """A float64 model no parameter of which is at a symmetric value."""
    return lambda **overrides: perturb(make_model(torch.float64, depth=4, **overrides))


@LAYOUTS
@NORMS
def test_the_models_numbers(perturbed, noise, layout, norm):
    model, x, lengths = perturbed(layout=layout, norm=norm), noise(4, 150, 128).double(), [150, 16, 97, 33]
    frozen, audio = model.frozen(), 0.1 * noise(2, 16400).double()
    assert frozen.multiplies_in == "float64"
    torch.testing.assert_close(frozen(x), model(x).detach(), **EXACT)
    torch.testing.assert_close(frozen.encode(x, lengths), model.encode(x, lengths).detach(), **EXACT)
    for pooling in ("avgtok", "cls", "segments"):
        wanted = model.classify(x, pooling, lengths).detach()
        torch.testing.assert_close(frozen(x, task="classify", pooling=pooling, lengths=lengths), wanted, **EXACT)
    for options in ({"level": "clip"}, {"level": "patch", "layers": [0, 3]}):
        torch.testing.assert_close(
            frozen.extract(audio, 16000, **options), model.extract(audio, 16000, **options), **EXACT
        )
    assert torch.equal(frozen.features(audio)[0], model.features(audio)[0])
    assert torch.equal(frozen.column_times(3), model.column_times(3))


@LAYOUTS
def test_float32_and_bfloat16(perturbed, noise, layout):
    """float32 with packed matrices; bfloat16 as autocast multiplies."""
    model, x = perturbed(layout=layout), noise(2, 130, 128)
    exact = model(x.double()).detach()
    model.float()
    torch.testing.assert_close(model.frozen()(x).double(), exact, rtol=0, atol=3e-5)
    frozen = model.frozen(torch.bfloat16)
    found = frozen(x)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        wanted = model(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.15)
    assert frozen.layers.state_dict()["0.in_proj"].dtype == torch.bfloat16
    half = copy.deepcopy(model).bfloat16().frozen()
    assert half.multiplies_in == "bfloat16"
    assert half(x).dtype == torch.bfloat16
    wide = copy.deepcopy(model).bfloat16().frozen(torch.float32)  # products in float32, states in bfloat16
    assert wide(x).dtype == torch.bfloat16
    torch.testing.assert_close(wide(x).double(), half(x).double(), rtol=0, atol=0.15)


def test_autocast_leaves_the_layers_as_they_were_frozen(perturbed, noise):
    frozen, tokens = perturbed().float().frozen(), noise(2, 33, 32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = frozen.layers(tokens)[0]
    assert torch.equal(inside, frozen.layers(tokens)[0])


@LAYOUTS
def test_nothing_changes_it(perturbed, noise, layout):
    model, x = perturbed(layout=layout), noise(1, 64, 128).double()
    frozen = model.frozen()
    before = frozen(x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    assert torch.equal(frozen(x), before)
    assert not frozen.train().training
    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    with pytest.raises(TypeError, match=r"frozen encoder stays torch.float64, not torch.float32; SSAMBA.frozen takes"):
        frozen.float()
    state = frozen.state_dict()
    frozen.load_state_dict(state)  # as a container of it is resumed
    with pytest.raises(RuntimeError, match="a frozen encoder is never overwritten; freeze the model"):
        frozen.load_state_dict({**state, "layers.1.forward.D": 2 * state["layers.1.forward.D"]})
    assert torch.equal(frozen(x), before)


def test_gradients(perturbed, noise):
    """None through it, and a head on it can be trained."""
    frozen, x = perturbed().frozen(), noise(1, 64, 128).double()
    with pytest.raises(RuntimeError, match=r"a frozen encoder has no gradient, but its input requires one"):
        frozen(x.clone().requires_grad_())
    frozen.head.requires_grad_()
    frozen.classify(x).sum().backward()
    wanted = frozen(x)[0, 1:].mean(0)
    assert frozen.head[1].bias.grad.tolist() == [1.0] * 5
    normalised = nn.functional.layer_norm(wanted, wanted.shape, frozen.head[0].weight, frozen.head[0].bias)
    torch.testing.assert_close(frozen.head[1].weight.grad[2], normalised.detach(), **EXACT)


def through_deepcopy(frozen, folder):
    return copy.deepcopy(frozen)


def through_pickle(frozen, folder):
    return pickle.loads(pickle.dumps(frozen))


def through_torch_save(frozen, folder):
    buffer = io.BytesIO()
    torch.save(frozen, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def through_files(frozen, folder):
    frozen.save_pretrained(folder / "frozen")
    return FrozenSSAMBA.from_pretrained(folder / "frozen")


@LAYOUTS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, "int8", "int8_weight_only"])
@pytest.mark.parametrize(
    "way", [lambda frozen, _: copy.deepcopy(frozen), through_pickle, through_torch_save, through_files]
)
def test_copies_are_the_same_bits(make_model, noise, tmp_path, layout, dtype, way):
    frozen, x = make_model(layout=layout, depth=4).frozen(dtype), noise(2, 64, 128)
    other = way(frozen, tmp_path)
    assert other.multiplies_in == frozen.multiplies_in
    assert torch.equal(other.classify(x, lengths=[64, 40]), frozen.classify(x, lengths=[64, 40]))
    assert other.state_dict().keys() == frozen.state_dict().keys()


def test_files_that_do_not_fit(make_model, tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(FileNotFoundError, match=r"no frozen.safetensors, but model.safetensors, which SSAMBA.from"):
        FrozenSSAMBA.from_pretrained(tmp_path / "model")
    model.frozen().save_pretrained(tmp_path / "frozen")
    with pytest.raises(FileNotFoundError, match=r"no model.safetensors, but frozen.safetensors, which FrozenSSAMBA"):
        SSAMBA.from_pretrained(tmp_path / "frozen")
    make_model(depth=4).frozen().save_pretrained(tmp_path / "deeper")
    (tmp_path / "deeper" / "config.json").write_text((tmp_path / "frozen" / "config.json").read_text())
    with pytest.raises(ValueError, match=r"do not fit the model:\n  unexpected layers.2.backward.A"):
        FrozenSSAMBA.from_pretrained(tmp_path / "deeper")


def encode_in_child(frozen, x, results):
    shared = all(tensor.is_shared() for tensor in frozen.state_dict().values())
    results.put((frozen(x).numpy(), shared))


@LAYOUTS
def test_shared_memory(make_model, noise, layout):
    """A process that it is sent to reads the same pages."""
    frozen, x = make_model(layout=layout).frozen(), noise(1, 64, 128)
    before = frozen(x)
    assert frozen.share_memory() is frozen
    assert all(tensor.is_shared() for tensor in frozen.state_dict().values())
    torch.testing.assert_close(frozen(x), before, rtol=0, atol=1e-5)
    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=encode_in_child, args=(frozen, x, results))
    child.start()
    found, shared = results.get(timeout=120)
    child.join()
    assert shared
    torch.testing.assert_close(torch.from_numpy(found), frozen(x), rtol=0, atol=1e-6)


@LAYOUTS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, "int8_weight_only"])
def test_exported_and_traced(make_model, noise, layout, dtype):
    frozen, x = make_model(layout=layout).frozen(dtype), noise(2, 64, 128)
    wanted, tolerance = frozen(x), 0.05 if dtype == torch.bfloat16 else 1e-5
    exported = torch.export.export(frozen, (x,)).module()
    torch.testing.assert_close(exported(x), wanted, rtol=0, atol=tolerance)
    torch.testing.assert_close(torch.jit.trace(frozen, x, check_trace=False)(x), wanted, rtol=0, atol=tolerance)
    compiled = torch.compile(frozen, backend="eager")
    torch.testing.assert_close(compiled(x), wanted, rtol=0, atol=1e-6)


def test_dynamic_int8_is_not_exported(make_model, noise):
    with pytest.raises(NotImplementedError, match="products in int8 cannot be exported"):
        torch.export.export(make_model().frozen("int8"), (noise(1, 64, 128),))


@LAYOUTS
def test_given_away(make_model, noise, layout):
    """Layer after layer, so that the weights are never there twice."""
    model, x = make_model(layout=layout), noise(1, 64, 128)
    wanted = model.frozen()(x)
    frozen = model.frozen(release=True)
    assert torch.equal(frozen(x), wanted)
    assert all(parameter.is_meta for parameter in model.parameters())
    with pytest.raises(ValueError, match="x is on cpu, the model on meta; move one of them"):
        model(x)


@LAYOUTS
def test_on_a_device_of_its_own(make_model, noise, layout):
    frozen = make_model(layout=layout).frozen(device="meta")
    assert frozen(noise(2, 64, 128).to("meta")).shape == (2, 33, 32)
    assert make_model(layout=layout).frozen().to("meta")(noise(2, 64, 128).to("meta")).is_meta


@LAYOUTS
def test_as_wide_layers(make_model, noise, layout):
    """The way of a GPU, here on a CPU: vmap takes it."""
    frozen, x = make_model(layout=layout).frozen(), noise(3, 2, 64, 128)
    with torch.no_grad():
        found = torch.vmap(frozen)(x)
    torch.testing.assert_close(found, torch.stack([frozen(clips) for clips in x]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        (
            "layers.1.mixer.x_proj",
            lambda part: prune.l1_unstructured(part, "weight", 0.5),
            r"layers.1.mixer.x_proj has a forward pre-hook \(L1Unstructured\), which a frozen encoder would not call; "
            "merge or remove it first, for example by merge_and_unload, prune.remove or remove_weight_norm",
        ),
        ("layers.0", lambda part: part.register_forward_hook(print), r"layers.0 has a forward hook \(print\)"),
        ("norm_f", lambda part: part.register_forward_hook(print), r"norm_f has a forward hook \(print\)"),
        ("head.1", lambda part: prune.l1_unstructured(part, "weight", 0.5), r"head.1 has a forward pre-hook"),
        ("layers", lambda part: setattr(part, "forward", None), r"layers has a forward that was put in the place of"),
        ("layers.1.norm", lambda part: setattr(part, "__class__", nn.Identity), r"layers.1.norm is a torch.nn"),
        ("layers.1.mixer.dt_proj", lambda part: setattr(part, "bias", None), r"dt_proj has no parameter bias, which"),
    ],
)
def test_what_would_not_be_called_is_refused_by_its_path(make_model, path, change, message):
    model = make_model()
    change(model.get_submodule(path))
    with pytest.raises(ValueError, match=message):
        model.frozen()


def test_wrong_dtypes(make_model):
    with pytest.raises(ValueError, match="dtype is 'int4'; choose a floating point dtype of torch, 'int8' or"):
        make_model().frozen("int4")
    with pytest.raises(ValueError, match=r"dtype is torch.int32; choose"):
        make_model().frozen(torch.int32)
    for device in ("meta",):
        with pytest.raises(
            ValueError, match=r"int8 multiplies on a CPU, and from float32; this is torch.float32 on meta"
        ):
            make_model().frozen("int8", device)
        with pytest.raises(ValueError, match="int8 runs on a CPU, these weights are on meta"):
            make_model().frozen("int8").to(device)


def count(model, x, grad=False):
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(grad):
        model(x)
    return counter.get_total_flops()


@LAYOUTS
def test_operations_counted(make_model, noise, layout):
    """The same with gradient, without, on meta; frozen, the products with large matrices are all there."""
    model, x = make_model(layout=layout, drop_path=0.0), noise(1, 96, 128)
    with_gradient = count(model, x, grad=True)
    assert count(model, x) == with_gradient
    assert count(copy.deepcopy(model).to("meta"), x.to("meta")) == with_gradient
    tokens, (width, inner) = 49, (32, 64)
    products = 2 * 2 * tokens * 3 * width * inner + 2 * 48 * 256 * width
    for dtype in (None, "int8", "int8_weight_only"):
        assert products < count(model.frozen(dtype), x) < 1.5 * with_gradient
