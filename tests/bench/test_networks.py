"""The peers compute what they are called after."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ssamba.bench.networks import Encoder, published, ssast, with_transformer
from ssamba.bench.scans import BOTH_DIRECTIONS, bi_scan_inputs
from ssamba.config import SSAMBAConfig
from ssamba.model import SSAMBA

CLOSE = {"rtol": 0, "atol": 1e-10}


def small_model():
    torch.manual_seed(0)
    model = SSAMBA(SSAMBAConfig(embed_dim=16, depth=4, state_size=4, layout="paired", drop_path=0.0)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("scan", ["reference", "mambapy"])
@pytest.mark.parametrize("recomputed", [False, True])
def test_published_formulation_is_the_same_network(scan, recomputed):
    if scan == "mambapy":
        pytest.importorskip("mambapy")
    model, tokens = small_model(), torch.randn(2, 11, 16, dtype=torch.float64)
    leaves = list(model.layers.parameters())
    wanted = Encoder(model)(tokens)
    gradients = torch.autograd.grad(wanted.square().sum(), leaves)
    found = Encoder(published(model, scan, recomputed))(tokens)
    torch.testing.assert_close(found, wanted, **CLOSE)
    for ours, theirs in zip(torch.autograd.grad(found.square().sum(), leaves), gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("provider", ["ssamba", "mambapy"])
def test_scans_agree_with_the_definition(provider):
    if provider == "mambapy":
        pytest.importorskip("mambapy")
    inputs = bi_scan_inputs(2, 13, 6, 4, torch.float64)
    inputs |= {name: inputs[name].double() for name in ("A", "D", "delta_bias")}
    wanted = BOTH_DIRECTIONS["reference"](**inputs)
    torch.testing.assert_close(BOTH_DIRECTIONS[provider](**inputs), wanted, **CLOSE)


def test_transformers_of_both_kinds_are_torchs_own():
    torch.manual_seed(0)
    ours = {explicit: ssast(192, explicit).double().eval() for explicit in (False, True)}
    ours[True].load_state_dict(ours[False].state_dict())
    tokens = torch.randn(2, 7, 192, dtype=torch.float64)
    wanted = tokens
    for block in ours[False][:-1]:
        theirs = torch.nn.TransformerEncoderLayer(
            192, 3, 768, 0.0, F.gelu, norm_first=True, batch_first=True, dtype=torch.float64
        )
        names = {
            "self_attn.in_proj_": "attention.qkv.",
            "self_attn.out_proj.": "attention.proj.",
            "linear1.": "mlp.0.",
            "linear2.": "mlp.2.",
            "norm1.": "norm1.",
            "norm2.": "norm2.",
        }
        state = block.state_dict()
        theirs.load_state_dict(
            {their + kind: state[our + kind] for their, our in names.items() for kind in ("weight", "bias")}
        )
        wanted = theirs(wanted)
    wanted = ours[False][-1](wanted)
    for network in ours.values():
        torch.testing.assert_close(network(tokens), wanted, **CLOSE)


@pytest.mark.parametrize("explicit", [False, True])
def test_a_training_step_of_the_transformer_is_ours_with_other_layers(explicit):
    torch.manual_seed(0)
    config = SSAMBAConfig(embed_dim=192, depth=2, input_tdim=32, masked_patches=5, layout="paired")
    model = with_transformer(SSAMBA(config), explicit)
    x = torch.randn(2, 32, 128)
    output = model.pretrain_loss(x, seed=0)
    output.loss.backward()
    unused = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert unused == set()
    tokens = model.embed(*model.patches(x))
    layers = model.layers.blocks(tokens)
    torch.testing.assert_close(model.encode(x), model.norm_f(model.norm_f(layers)))
