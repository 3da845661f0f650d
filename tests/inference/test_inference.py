"""Inference in parts gives the numbers of the formula that training uses, from the weights as they are."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest
import torch
from torch.func import functional_call

EXACT = {"rtol": 0, "atol": 1e-12}
LAYOUTS = pytest.mark.parametrize("layout", ["sequential", "paired"])


def with_gradient(model, x, **options):
    """The numbers of the path that training takes."""
    with torch.enable_grad():
        return model.encode(x, **options).detach()


@pytest.fixture
def perturbed(make_model, perturb):
    """A float64 model no parameter of which is at a symmetric value."""
    return lambda **overrides: perturb(make_model(torch.float64, depth=4, **overrides))


@LAYOUTS
@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("rows", [1, 8, 50, 1000])
@pytest.mark.parametrize("taps", [1, 4])
def test_parts_are_the_whole(perturbed, noise, monkeypatch, layout, norm, rows, taps):
    monkeypatch.setattr("ssamba.inference.parts.rows_at_once", lambda: rows)
    model, x = perturbed(layout=layout, norm=norm, conv_width=taps), noise(2, 130, 128).double()
    with torch.inference_mode():
        torch.testing.assert_close(model.encode(x), with_gradient(model, x), **EXACT)


@LAYOUTS
@pytest.mark.parametrize("rows", [8, 60])
def test_parts_of_a_padded_batch(perturbed, noise, monkeypatch, layout, rows):
    monkeypatch.setattr("ssamba.inference.parts.rows_at_once", lambda: rows)
    model, x, lengths = perturbed(layout=layout), noise(4, 150, 128).double(), [150, 16, 97, 33]
    with torch.no_grad():
        torch.testing.assert_close(model.encode(x, lengths=lengths), with_gradient(model, x, lengths=lengths), **EXACT)


@LAYOUTS
@pytest.mark.parametrize("rows", [24, 90, 1000])
def test_float32(perturbed, noise, monkeypatch, layout, rows):
    """With packed matrices; five clips one by one, two by two and together."""
    monkeypatch.setattr("ssamba.inference.parts.rows_at_once", lambda: rows)
    model, x, lengths = perturbed(layout=layout), noise(5, 80, 128).double(), [80, 16, 80, 33, 64]
    exact = with_gradient(model, x, lengths=lengths)
    with torch.no_grad():
        found = model.float().encode(x.float(), lengths=lengths)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5)


@LAYOUTS
def test_states_on_the_way(perturbed, noise, layout):
    model, x = perturbed(layout=layout), noise(2, 64, 128).double()
    patches, grid = model.patches(x)
    _, wanted = model.encode_patches(patches, grid, wanted=(0, 3))
    with torch.no_grad():
        _, found = model.encode_patches(patches, grid, wanted=(0, 3))
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), **EXACT)


def load_other_weights(model):
    model.load_state_dict({name: 1.1 * tensor for name, tensor in model.state_dict().items()})


def assign_other_weights(model):
    model.load_state_dict({name: 1.1 * tensor for name, tensor in model.state_dict().items()}, assign=True)


def write_in_place(model):
    with torch.no_grad():
        model.layers[1].mixer.D_b.mul_(1.5)


def write_into_a_view(model):
    with torch.no_grad():
        model.layers[2].norm.weight[:3] = 2.0


def replace_a_parameter(model):
    model.layers[1].mixer.A_log = torch.nn.Parameter(model.layers[1].mixer.A_log.detach() + 0.3)


def set_data(model):
    model.layers[3].mixer.in_proj.weight.data = model.layers[3].mixer.in_proj.weight.data * 1.2


def through_half_precision(model):
    model.to(torch.bfloat16).to(torch.float64)


def take_a_step(model, **options):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, **options)
    with torch.enable_grad():
        model.encode(torch.ones(1, 32, 128, dtype=torch.float64)).square().sum().backward()
    optimizer.step()


def take_a_fused_step(model):
    take_a_step(model, fused=True)


def take_a_step_of_all_at_once(model):
    take_a_step(model, foreach=True)


def take_a_step_of_another_optimizer(model):
    class WritesUncounted(torch.optim.Optimizer):
        def step(self):
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.data.mul_(1.1)

    WritesUncounted(model.parameters(), {}).step()


def write_through_data(model):
    """As adapters are merged and as teachers follow their students."""
    for parameter in model.parameters():
        parameter.data.mul_(0.9).add_(0.01)


def write_through_data_all_at_once(model):
    torch._foreach_mul_([parameter.data for parameter in model.parameters()], 1.1)


def write_through_detached(model):
    model.layers[2].mixer.x_proj.weight.detach().numpy()[:] *= 1.3


def write_into_shared_memory(model):
    """Through a tensor that knows nothing of the parameter, as another process would."""
    model.share_memory()
    storage = model.layers[0].mixer.out_proj.weight.untyped_storage()
    torch.tensor([], dtype=torch.float64).set_(storage).mul_(1.5)


def point_to_another_storage(model):
    model.layers[1].mixer.dt_proj.weight.set_(torch.full_like(model.layers[1].mixer.dt_proj.weight, 0.2))


@LAYOUTS
@pytest.mark.parametrize(
    "change",
    [
        load_other_weights,
        assign_other_weights,
        write_in_place,
        write_into_a_view,
        replace_a_parameter,
        set_data,
        through_half_precision,
        take_a_step,
        take_a_fused_step,
        take_a_step_of_all_at_once,
        take_a_step_of_another_optimizer,
        write_through_data,
        write_through_data_all_at_once,
        write_through_detached,
        write_into_shared_memory,
        point_to_another_storage,
    ],
)
def test_no_stale_weights(perturbed, noise, layout, change):
    model, x = perturbed(layout=layout), noise(1, 64, 128).double()
    with torch.no_grad():
        before = model.encode(x)
        change(model)
        after = model.encode(x)
        assert (after - before).abs().max() > 1e-4
        torch.testing.assert_close(after, with_gradient(model, x), **EXACT)


@LAYOUTS
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_weights_of_their_own(perturbed, noise, layout, duplicate):
    model, x = perturbed(layout=layout), noise(1, 64, 128).double()
    with torch.no_grad():
        before = model.encode(x)
        other = duplicate(model)
        write_in_place(other)
        assert torch.equal(model.encode(x), before)
        torch.testing.assert_close(other.encode(x), with_gradient(other, x), **EXACT)
        assert (other.encode(x) - before).abs().max() > 1e-4


@LAYOUTS
def test_parameters_from_outside(perturbed, noise, layout):
    model, x = perturbed(layout=layout), noise(1, 64, 128).double()
    other = {name: 1.1 * tensor.detach() for name, tensor in model.named_parameters()}
    with torch.no_grad():
        before = model.encode(x)
        found = functional_call(model, other, x)
        assert torch.equal(model.encode(x), before)
        load_other_weights(model)
        torch.testing.assert_close(found, model.encode(x), **EXACT)


def test_a_model_made_in_inference_mode(perturbed, noise):
    """Whose writes torch does not count."""
    with torch.inference_mode():
        model, x = perturbed(layout="paired"), noise(1, 64, 128).double()
        before = model.encode(x)
        write_in_place(model)
        after = model.encode(x)
        assert (after - before).abs().max() > 1e-4


@LAYOUTS
def test_autocast_and_plain_inference_side_by_side(perturbed, noise, layout):
    model, x = perturbed(layout=layout).float(), noise(1, 64, 128)
    with torch.no_grad():
        plain = model.encode(x)
        with torch.autocast("cpu", torch.bfloat16):
            low = model.encode(x)
            with torch.enable_grad():
                trained = model.encode(x).detach()
        assert torch.equal(model.encode(x), plain)
    assert low.dtype == torch.float32
    assert (low - plain).abs().max() > 0
    torch.testing.assert_close(low, plain, rtol=0, atol=0.15)
    torch.testing.assert_close(low, trained, rtol=0, atol=0.1)


@pytest.fixture
def one_process(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@LAYOUTS
@pytest.mark.parametrize("sharded", ["layers", "model"])
def test_sharded(perturbed, noise, one_process, layout, sharded):
    """By FSDP, which puts parameters together for the time of a call, and apart again."""
    from torch.distributed.fsdp import fully_shard

    model, x = perturbed(layout=layout), noise(1, 64, 128).double()
    before = with_gradient(model, x)
    for layer in model.layers if sharded == "layers" else ():
        fully_shard(layer)
    fully_shard(model, reshard_after_forward=True)
    with torch.no_grad():
        torch.testing.assert_close(model(x), before, **EXACT)
        for parameter in model.parameters():
            parameter.mul_(1.1)
        after = model(x)
    torch.testing.assert_close(after, model(x).detach(), **EXACT)
    assert (after - before).abs().max() > 1e-4


@LAYOUTS
def test_shapes_alone(make_model, noise, layout):
    """On the meta device, as counters of memory and operations use it."""
    model, x = make_model(layout=layout).to("meta"), noise(2, 64, 128).to("meta")
    with torch.no_grad():
        assert model.encode(x).shape == (2, 33, 32)
    model.train().encode(x).sum().backward()
    assert all(p.grad.is_meta for p in model.layers.parameters())


@LAYOUTS
@pytest.mark.parametrize("grad", [False, True])
def test_nothing_is_held_after_a_call(make_model, noise, layout, grad):
    def use(model):
        with torch.set_grad_enabled(grad):
            model.encode(noise(1, 64, 128))
        model.extract(noise(16 * 96 * 160), 16000)  # many windows

    use(make_model(layout=layout))  # what is made once, whatever the model
    gc.collect()
    model = make_model(layout=layout)
    before = {id(tensor) for tensor in gc.get_objects() if isinstance(tensor, torch.Tensor)}
    use(model)
    gc.collect()
    assert not [t.shape for t in gc.get_objects() if isinstance(t, torch.Tensor) and id(t) not in before]


@LAYOUTS
def test_many_windows_are_the_windows(perturbed, noise, layout):
    """Which are read with weights that are prepared once."""
    model, audio = perturbed(layout=layout), 0.1 * noise(1, 16 * 96 * 160 + 400).double()
    x, _ = model.features(audio)
    with torch.no_grad():
        wanted = [model.encode(part)[:, 1:].unflatten(1, (8, 6)) for part in x[:, : 16 * 96].split(96, dim=1)]
    torch.testing.assert_close(model.extract(audio, 16000, "patch")[:, :, :96], torch.cat(wanted, dim=2), **EXACT)


@LAYOUTS
def test_traced(perturbed, noise, layout):
    model, x = perturbed(layout=layout), noise(2, 64, 128).double()
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.trace(model, x)(x), with_gradient(model, x), **EXACT)


def test_exported_for_any_number_of_clips(perturbed, noise):
    model, x = perturbed(), noise(3, 64, 128).double()
    with torch.no_grad():
        exported = torch.export.export(model, (x[:2],), dynamic_shapes=({0: torch.export.Dim("clips")},))
        torch.testing.assert_close(exported.module()(x), with_gradient(model, x), **EXACT)


@pytest.mark.parametrize("layout", ["sequential", "paired"])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_exported_for_any_length(make_model, noise, layout, frozen, named):
    """From two columns of patches on, the position table's own length among them; on the package's ops."""
    model, dim = make_model(layout=layout), torch.export.Dim("frames", min=32, max=2000)
    exported = torch.export.export(
        model.frozen() if frozen else model,
        (noise(2, 64, 128),),
        dynamic_shapes=({1: dim if named else torch.export.Dim.AUTO},),
        prefer_deferred_runtime_asserts_over_guards=named,  # torch cannot prove its own guards on reshapes
    )
    assert sum(node.target is torch.ops.ssamba.bi_conv1d.default for node in exported.graph.nodes) >= 1
    for frames in (32, 96, 130, 1024):
        x = noise(2, frames, 128)
        torch.testing.assert_close(exported.module()(x), model(x), rtol=0, atol=1e-5)
