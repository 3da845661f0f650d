"""Matrices packed for inference multiply like any others."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ssamba.inference.products import Product


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(3, 70, 20), (0, 70, 20), (1, 1, 20), (20,)], ids=str)
@pytest.mark.parametrize("with_bias", [False, True])
def test_is_the_linear_map(noise, dtype, shape, with_bias):
    x, weight, bias = noise(*shape).to(dtype), noise(44, 20, seed=1).to(dtype), noise(44, seed=2).to(dtype)
    bias = bias if with_bias else None
    expected = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    found = Product(weight, bias)(x)
    assert (found.shape, found.dtype) == (expected.shape, dtype)
    if dtype == torch.float32:
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    else:
        assert torch.equal(found, F.linear(x, weight, bias))


@torch.no_grad()
def test_strided_input_and_weight(noise):
    x, weight = noise(2, 9, 40)[:, ::2, 10:30], noise(20, 7).T
    torch.testing.assert_close(Product(weight)(x), F.linear(x, weight), rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_shared_matrix_stays_where_it_is(noise):
    x, weight = noise(5, 20), noise(7, 20, seed=1).share_memory_()
    product = Product(weight)
    assert product.weight is weight
    assert torch.equal(product(x), F.linear(x, weight))
