"""Checkpoints of the published SSAMBA code: tensors without a configuration, which their shapes imply."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import load_official_state
from ..config import SSAMBAConfig
from ..model import SSAMBA


def read_published(path: Path) -> dict[str, Tensor]:
    """The tensors of a published pretraining checkpoint (.pth); raises ValueError if it is something else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is not a checkpoint that torch can read ({str(error).splitlines()[0]})") from error
    names = {"module.v.cls_token", "module.p_input_tdim", "module.v.layers.0.mixer.A_b_log"}
    if not isinstance(state, Mapping) or not names <= state.keys():
        raise ValueError(f"{path} is not a pretraining checkpoint of the published SSAMBA code")
    return dict(state)


def published_config(state: Mapping[str, Tensor]) -> SSAMBAConfig:
    """The configuration that the tensors of a published checkpoint imply, masking 78 % of its patches."""
    inner, state_size = state["module.v.layers.0.mixer.A_log"].shape
    _, _, fshape, tshape = state["module.v.patch_embed.proj.weight"].shape
    width = state["module.v.cls_token"].shape[-1]
    patches = state["module.v.pos_embed"].shape[1] - 1
    return SSAMBAConfig(
        embed_dim=width,
        depth=1 + max(int(name.split(".")[3]) for name in state if name.startswith("module.v.layers.")),
        state_size=state_size,
        conv_width=state["module.v.layers.0.mixer.conv1d.weight"].shape[-1],
        expand=inner // width,
        dt_rank=state["module.v.layers.0.mixer.dt_proj.weight"].shape[1],
        fshape=fshape,
        tshape=tshape,
        fstride=fshape,  # pretraining patches do not overlap
        tstride=tshape,
        input_fdim=int(state["module.p_input_fdim"]),
        input_tdim=int(state["module.p_input_tdim"]),
        layout="paired",
        norm="layernorm" if "module.v.norm_f.bias" in state else "rmsnorm",
        masked_patches=max(1, patches * 400 // 512),
    )


def load_published(path: Path, **overrides: Any) -> SSAMBA:
    """The published model, with the same overrides as `SSAMBA.from_pretrained`."""
    state = read_published(path)
    model = SSAMBA(published_config(state))
    load_official_state(model, state)
    if not overrides:
        return model
    with tempfile.TemporaryDirectory() as directory:  # overrides adapt what is stored
        model.save_pretrained(directory)
        return SSAMBA.from_pretrained(directory, **overrides)
