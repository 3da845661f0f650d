"""From a case to the work that is timed."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import ssamba_ops
from ssamba_ops import reference

from ..config import SSAMBAConfig
from ..model import SSAMBA
from ..objectives.masking import sample_mask
from . import clips, floors
from .case import Case
from .networks import encoder, published, with_transformer
from .peers.comparison import peer_work
from .scans import BOTH_DIRECTIONS, bi_scan_inputs
from .work import Work

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MASKED = 400


def make_work(case: Case) -> Work:
    """Raises ImportError if the provider is not installed."""
    torch.manual_seed(0)
    return {
        "encoder": _encoder,
        "pretraining": _pretraining,
        "ops": _op,
        "features": clips.features,
        "loading": clips.loading,
        "peers": peer_work,
    }[case.part](case)


def add_floor(case: Case, work: Work) -> None:
    """Measures the floor of a case, after its time and memory, which this would disturb."""
    if case.device != "cpu" or case.provider != "ssamba":
        return
    if case.part == "encoder":
        config = getattr(SSAMBAConfig, case.size)()
        work.floor = floors.encoder_floor(config, case.batch * case.tokens, DTYPES[case.dtype])
    if case.part == "ops":
        if case.detail.startswith("bi_scan"):  # of the forward pass, for forward + backward too
            count = 2 * case.batch * case.tokens * 2 * case.width
            work.floor = {"scans": count * floors.scan_floor_ns(16) * 1e-9 / torch.get_num_threads()}
        else:
            work.floor = {"bytes": work.notes["bytes"] / floors.copy_rate(work.notes["bytes"])}


def _encoder(case: Case) -> Work:
    network = encoder(case.provider, case.size, case.device, DTYPES[case.dtype])
    tokens = torch.randn(case.batch, case.tokens, case.width).to(case.device, DTYPES[case.dtype])

    def run() -> Tensor:
        with torch.inference_mode():
            return network(tokens)

    return Work(run)


def _pretraining(case: Case) -> Work:
    """A step of AdamW on the joint objective, from log-mel to new weights."""
    config = _pretraining_config(case)
    model = SSAMBA(config)
    if case.provider.startswith("published"):
        scan, *recomputed = case.provider.removeprefix("published ").split()
        model = published(model, scan, bool(recomputed))
    if case.provider.startswith("SSAST"):
        model = with_transformer(model, explicit=case.provider.endswith("explicit"))
    model.to(case.device)
    passes = 2 if case.provider.startswith("published") or case.provider.endswith("two passes") else 1
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-4)
    x = torch.randn(case.batch, config.input_tdim, config.input_fdim, device=case.device)
    mask = sample_mask(config, case.batch, config.grid[1], seed=0)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast(case.device, torch.bfloat16, enabled=case.dtype == "bfloat16"):
            loss = model.pretrain_loss(x, mask=mask, passes=passes).loss
        loss.backward()
        optimizer.step()

    return Work(run, notes={"passes": passes})


def _pretraining_config(case: Case) -> SSAMBAConfig:
    """For clips of `tokens` tokens, cls included; 400 patches hidden, in proportion fewer of less than 512."""
    base = getattr(SSAMBAConfig, case.size)(layout="paired")
    patches = case.tokens - 1
    frames = base.tstride * (patches // base.rows)
    return dataclasses.replace(base, input_tdim=frames, masked_patches=min(MASKED, MASKED * patches // 512))


def _op(case: Case) -> Work:
    name, _, backward = case.detail.partition(" ")
    dtype, inner = DTYPES[case.dtype], 2 * case.width
    if name == "bi_scan":
        function, inputs = BOTH_DIRECTIONS[case.provider], bi_scan_inputs(case.batch, case.tokens, inner, 16, dtype)
        moved = 0
    elif name == "bi_conv1d":
        function = ssamba_ops.bi_conv1d if case.provider == "ssamba" else reference.bi_conv1d
        inputs = {
            "x": torch.randn(case.batch, case.tokens, inner).to(dtype),
            "weight": torch.randn(2, inner, 4),
            "bias": torch.randn(2, inner),
        }
        moved = (7 if backward else 3) * inputs["x"].nbytes  # x, both results; then their gradients, x again, its own
    else:
        function = ssamba_ops.patch_mask if case.provider == "ssamba" else reference.patch_mask
        inputs = {
            "x": torch.randn(case.batch, case.tokens, case.width).to(dtype),
            "mask": torch.rand(case.batch, case.tokens) < MASKED / 512,
            "mask_token": torch.randn(case.width),
            "pos": torch.randn(case.tokens, case.width),
        }
        moved = int((2 - MASKED / 512) * inputs["x"].nbytes) + inputs["pos"].nbytes
    notes = {"bytes": moved} if moved else {}
    inputs = {name: x.to(case.device) for name, x in inputs.items()}
    if not backward:

        def forward() -> Tensor:
            with torch.inference_mode():
                return function(**inputs)

        return Work(forward, notes=notes)
    leaves = [x.requires_grad_() for x in inputs.values() if x.is_floating_point()]
    upstream = torch.ones((), dtype=dtype, device=case.device)

    def forward_and_backward() -> tuple[Tensor, ...]:
        out = function(**inputs)
        return torch.autograd.grad(out, leaves, upstream.expand(out.shape))

    return Work(forward_and_backward, notes=notes)
