"""int8 matrices round, and do nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssamba.quantization import Int8Linear, quantize_int8

KINDS = pytest.mark.parametrize("kind", ["dynamic", "weight_only"])


def rounded(matrix, steps, dim=None):
    """Values of `matrix` on the grid of `steps` from its largest one on each side."""
    largest = matrix.abs().amax() if dim is None else matrix.abs().amax(dim, keepdim=True)
    return (matrix / largest * steps).round() * largest / steps


@KINDS
@pytest.mark.parametrize("bias", [True, False])
def test_linear(noise, kind, bias):
    torch.manual_seed(0)
    linear, x = nn.Linear(24, 10, bias=bias), noise(2, 7, 24)
    with torch.no_grad():
        found = Int8Linear(linear.weight, linear.bias, kind)(x)
        weight = rounded(linear.weight, 127, dim=1)
        exact = nn.functional.linear(x, weight, linear.bias)
        if kind == "weight_only":
            torch.testing.assert_close(found, exact, rtol=0, atol=1e-5)
        else:  # x is rounded to 127 steps between its extremes
            step = (x.max() - x.min()) / 127
            assert ((found - exact).abs() <= 0.51 * step * weight.abs().sum(dim=1) + 1e-5).all()
            assert (found - exact).abs().max() > 0


@KINDS
@pytest.mark.parametrize("layout", ["sequential", "paired"])
def test_model(make_model, noise, kind, layout):
    """The copy is the model with rounded matrices, and the original is left alone."""
    model, x = make_model(layout=layout, depth=4), noise(2, 130, 128)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        wanted = model.encode(x)
        quantized = quantize_int8(model, kind)
        found = quantized.encode(x)
        for layer in model.layers:
            for name in ("in_proj", "out_proj") if kind == "weight_only" else ("in_proj",):
                matrix = getattr(layer.mixer, name).weight
                matrix.copy_(rounded(matrix, 127, dim=1))
        tolerance = 1e-5 if kind == "weight_only" else 0.2
        torch.testing.assert_close(found, model.encode(x), rtol=0, atol=tolerance)
        assert 0 < (found - wanted).abs().mean() < 0.02
        lengths = [130, 64]
        torch.testing.assert_close(
            quantized.encode(x, lengths=lengths), model.encode(x, lengths=lengths), rtol=0, atol=tolerance
        )
        model.load_state_dict(before)
        assert torch.equal(model.encode(x), wanted)


@KINDS
@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
def test_norms_with_affine_maps(make_model, noise, kind, norm):
    model, x = make_model(depth=4, norm=norm), noise(2, 130, 128)
    with torch.no_grad():
        for layer in model.layers:
            for parameter in layer.norm.parameters():
                parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
        found, wanted = quantize_int8(model, kind).encode(x), model.encode(x)
    assert 0 < (found - wanted).abs().mean() < 0.02


def test_wrong_use(make_model):
    with pytest.raises(ValueError, match="kind is 'int4'; choose 'dynamic' or 'weight_only'"):
        quantize_int8(make_model(), "int4")
    with pytest.raises(ValueError, match=r"the model is torch.float64 on cpu; give a float32 model"):
        quantize_int8(make_model(torch.float64))


@KINDS
def test_nothing_is_saved(make_model, kind, tmp_path):
    """A directory of it would lack the matrices."""
    with pytest.raises(NotImplementedError, match="save the model that quantize_int8 copied"):
        quantize_int8(make_model(), kind).save_pretrained(tmp_path / "int8")
    assert not (tmp_path / "int8").exists()
