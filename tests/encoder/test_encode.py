"""The encoder: what it accepts, and that its numbers do not depend on how it is run."""

from __future__ import annotations

import pytest
import torch

from ssamba.encoder.stack import stochastic_depth

LAYOUTS = pytest.mark.parametrize("layout", ["sequential", "paired"])


def test_sequential_layout_is_plain_residual_layers(make_model, noise):
    model, x = make_model(torch.float64, depth=3), noise(2, 96, 128).double()
    with torch.no_grad():
        state = model.embed(*model.patches(x))
        for layer in model.layers:
            state = state + layer.mixer(layer.norm(state))
        torch.testing.assert_close(model.encode(x), model.norm_f(state), rtol=0, atol=1e-12)


def test_patch_embedding_is_the_published_convolution(make_model, noise):
    model, x = make_model(torch.float64, fstride=10, tstride=12), noise(2, 96, 128).double()
    with torch.no_grad():
        tokens = model.patch_embed(model.patches(x)[0])
        convolved = model.patch_embed.proj(x.transpose(1, 2).unsqueeze(1)).flatten(2).transpose(1, 2)
        torch.testing.assert_close(tokens, convolved, rtol=0, atol=1e-12)


@LAYOUTS
def test_rms_norm_and_other_patch_shapes(make_model, noise, layout):
    """Patches need not be 16 x 16, nor cover all mel bins, and nothing in the losses assumes 256 elements."""
    model = make_model(layout=layout, norm="rmsnorm", fshape=12, tshape=6, fstride=9, tstride=5, input_fdim=40)
    x = noise(2, 98, 40)
    output = model.pretrain_loss(x, seed=0)
    assert output.reconstruction.shape == (2, 16, 72)
    output.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for n, p in model.named_parameters() if "head" not in n)
    # the element order of a patch: 6 * df + dt
    patch = model.patches(x)[0][1, 19 * 2 + 3]  # third band, fourth column of 4 x 19
    assert torch.equal(patch.unflatten(0, (12, 6)), x[1, 15:21, 18:30].T)


@LAYOUTS
def test_any_length_from_one_patch(make_model, noise, layout):
    model = make_model(layout=layout)
    with torch.no_grad():
        for frames, columns in [(16, 1), (31, 1), (32, 2), (96, 6), (300, 18)]:
            tokens = model.encode(noise(1, frames, 128))
            assert tokens.shape == (1, 1 + 8 * columns, 32)
            assert tokens.isfinite().all()


@LAYOUTS
def test_gradient_checkpointing_gives_the_same_gradients(make_model, noise, layout):
    model, x = make_model(torch.float64, layout=layout, depth=4, drop_path=0.3).train(), noise(3, 96, 128).double()
    gradients = []
    for enabled in (False, True):
        model.gradient_checkpointing_enable(enabled)
        model.zero_grad()
        torch.manual_seed(3)
        model.pretrain_loss(x, seed=0).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name


@LAYOUTS
def test_same_seed_same_numbers(make_model, noise, layout):
    x = noise(2, 96, 128)
    losses = []
    for _ in range(2):
        model = make_model(layout=layout).train()
        torch.manual_seed(11)
        output = model.pretrain_loss(x)
        output.loss.backward()
        losses.append((output.loss.item(), output.mask, model.pos_embed.grad.clone()))
    assert losses[0][0] == losses[1][0]
    assert torch.equal(losses[0][1], losses[1][1])
    assert torch.equal(losses[0][2], losses[1][2])


@LAYOUTS
def test_autocast_keeps_residual_norms_and_losses_wide(make_model, noise, layout):
    model, x = make_model(layout=layout, depth=4), noise(2, 96, 128)
    with torch.autocast("cpu", torch.bfloat16):
        tokens = model.encode(x)
        output = model.pretrain_loss(x, seed=0)
    assert tokens.dtype == output.loss.dtype == torch.float32
    output.loss.backward()
    wide = model.pretrain_loss(x, seed=0)
    torch.testing.assert_close(tokens, model.encode(x), rtol=0, atol=0.1)
    torch.testing.assert_close(output.loss, wide.loss, rtol=0.02, atol=0)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_forward_names_the_task(make_model, noise):
    model, x = make_model(), noise(2, 96, 128)
    with torch.no_grad():
        assert torch.equal(model(x), model.encode(x))
        assert torch.equal(model(x, task="classify", pooling="cls"), model.classify(x, "cls"))
        assert torch.equal(model(x, task="pretrain_loss", seed=1).loss, model.pretrain_loss(x, seed=1).loss)


def test_stochastic_depth_drops_whole_clips_and_keeps_the_mean(noise):
    hidden = noise(4000, 3, 2)
    dropped = stochastic_depth(hidden, 0.25, training=True)
    kept = (dropped != 0).flatten(1)
    assert torch.equal(kept.all(1), kept.any(1))
    torch.testing.assert_close(dropped[kept.all(1)], hidden[kept.all(1)] / 0.75)
    assert abs(kept.all(1).float().mean().item() - 0.75) < 5 * (0.25 * 0.75 / 4000) ** 0.5
    assert torch.equal(stochastic_depth(hidden, 0.25, training=False), hidden)


@LAYOUTS
def test_stochastic_depth_rates(make_model, noise, layout, monkeypatch):
    """Sequential: from 0 for the first layer to the full rate for the last. Paired: as published, one layer late."""
    rates = []
    monkeypatch.setattr("ssamba.encoder.stack.stochastic_depth", lambda x, rate, training: rates.append(rate) or x)
    model = make_model(layout=layout, depth=6, drop_path=0.1).train()
    model.encode(noise(1, 32, 128))
    published = [0.1 * (reader - 1) / 5 for reader in (2, 3, 4, 5)] + [0.1]
    assert rates == pytest.approx(published if layout == "paired" else [0.1 * i / 5 for i in range(6)])


@LAYOUTS
def test_stochastic_depth_acts_in_training_only(make_model, noise, layout):
    model, x = make_model(layout=layout, drop_path=0.5), noise(4, 32, 128)
    with torch.no_grad():
        assert torch.equal(model.encode(x), model.encode(x))
        model.train()
        assert not torch.equal(model.encode(x), model.encode(x))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((96, 128), r"x must be floating point of shape \(batch, frames, 128 mel bins\), got torch.float32 of shape"),
        ((1, 128, 96), "128 mel bins"),
        ((1, 15, 128), r"x has 15 frames, less than one patch of 16 frames; give at least 0.175 s of audio"),
    ],
)
def test_bad_input(make_model, shape, message):
    with pytest.raises(ValueError, match=message):
        make_model().encode(torch.zeros(shape))


def test_integer_input(make_model):
    with pytest.raises(ValueError, match=r"got torch.int64 of shape \(1, 96, 128\)"):
        make_model().encode(torch.zeros(1, 96, 128, dtype=torch.int64))


def test_what_is_no_tensor_and_no_task(make_model, noise):
    model, x = make_model(), noise(1, 96, 128)
    with pytest.raises(TypeError, match=r"x is ndarray; give a tensor \(batch, frames, 128 mel bins\)"):
        model.encode(x.numpy())
    with pytest.raises(ValueError, match="task is 'extract'; choose one of 'encode', 'classify', 'pretrain_loss'"):
        model(x, task="extract")


def test_bad_pretraining_options(make_model, noise):
    model, x = make_model(), noise(1, 96, 128)
    with pytest.raises(ValueError, match="objective is 'mae'; choose one of 'joint', 'discriminative', 'generative'"):
        model.pretrain_loss(x, objective="mae")
    with pytest.raises(ValueError, match="passes is 3; choose 1"):
        model.pretrain_loss(x, passes=3)
    with pytest.raises(ValueError, match=r"masked_patches is 16, but the input has only 8 x 2 = 16 patches"):
        model.pretrain_loss(x[:, :32])


@LAYOUTS
def test_compiles_into_one_graph_for_any_length(make_model, noise, layout):
    model = make_model(layout=layout, depth=2, embed_dim=16)
    compiled = torch.compile(model.encode, fullgraph=True, dynamic=True, backend="eager")
    for frames in (96, 64, 130):
        x = noise(2, frames, 128)
        torch.testing.assert_close(compiled(x), model.encode(x), rtol=0, atol=1e-6)
