"""int8 matrices round, and do nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssamba import quantize_int8
from ssamba.inference.quantization import Int8Product, RestoredProduct, quantise

KINDS = pytest.mark.parametrize("kind", ["dynamic", "weight_only"])


def rounded(matrix, steps, dim=None):
    """Values of `matrix` on the grid of `steps` from its largest one on each side."""
    largest = matrix.abs().amax() if dim is None else matrix.abs().amax(dim, keepdim=True)
    return (matrix / largest * steps).round() * largest / steps


@torch.no_grad()
@KINDS
@pytest.mark.parametrize("bias", [True, False])
def test_product(noise, kind, bias):
    torch.manual_seed(0)
    linear, x = nn.Linear(24, 10, bias=bias), noise(2, 7, 24)
    weight = rounded(linear.weight, 127, dim=1)
    exact = nn.functional.linear(x, weight, linear.bias)
    product = {"dynamic": Int8Product, "weight_only": RestoredProduct}[kind](quantise(linear.weight), linear.bias)
    found = product(x)
    torch.testing.assert_close(product.weight.restored(), weight, rtol=1e-6, atol=0)
    if kind == "weight_only":
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-5)
    else:  # x is rounded to 127 steps between its extremes
        step = (x.max() - x.min()) / 127
        assert ((found - exact).abs() <= 0.51 * step * weight.abs().sum(dim=1) + 1e-5).all()
        assert (found - exact).abs().max() > 0


@torch.no_grad()
@KINDS
@pytest.mark.parametrize("layout", ["sequential", "paired"])
def test_model(make_model, noise, kind, layout):
    """What is made is the model with rounded matrices, and the original is left alone."""
    model, x = make_model(layout=layout, depth=4), noise(2, 130, 128)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
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


@torch.no_grad()
@KINDS
@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
def test_norms_with_affine_maps(make_model, noise, kind, norm):
    model, x = make_model(depth=4, norm=norm), noise(2, 130, 128)
    for layer in model.layers:
        for parameter in layer.norm.parameters():
            parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
    found, wanted = quantize_int8(model, kind).encode(x), model.encode(x)
    assert 0 < (found - wanted).abs().mean() < 0.02


@KINDS
def test_a_quarter_of_the_memory(make_model, kind):
    held = quantize_int8(make_model(), kind).layers.state_dict()
    assert held["0.in_proj"].dtype == torch.int8
    assert held["0.out_proj"].dtype == (torch.int8 if kind == "weight_only" else torch.float32)


def test_wrong_use(make_model):
    with pytest.raises(ValueError, match="kind is 'int4'; choose 'dynamic' or 'weight_only'"):
        quantize_int8(make_model(), "int4")
    with pytest.raises(ValueError, match=r"from float32; this is torch.float64 on cpu"):
        quantize_int8(make_model(torch.float64))
