"""Checkpoints of the published SSAMBA code: a state_dict by its names, without a configuration.

What the file does not say is read from names and shapes. A pretraining checkpoint holds its input size and both
prediction heads, a fine-tuned one a class head instead. Every file also holds a 1000-class head that nothing reads,
left over from the image model that the published code builds on.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..config import SSAMBAConfig
from .folder import read_tensors, save_atomically, save_objects, some_names

log = logging.getLogger(__name__)

PREFIX = "module."  # of torch's DataParallel, in which the published code saves its models
SIZES = ("p_input_fdim", "p_input_tdim")
PRETRAINING = ("mask_embed", "cpredlayer.", "gpredlayer.")
MEL_BINS = 128  # of every published model; fine-tuned files do not say
FINETUNING_STRIDE = 10  # of the published fine-tuning recipes, where it is not the patch size

# Tensors that tell the sizes, and their number of dimensions.
TELLING = {
    "v.cls_token": 3,
    "v.pos_embed": 3,
    "v.patch_embed.proj.weight": 4,
    "v.layers.0.mixer.A_log": 2,
    "v.layers.0.mixer.A_b_log": 2,
    "v.layers.0.mixer.conv1d.weight": 3,
    "v.layers.0.mixer.dt_proj.weight": 2,
}


@dataclass(frozen=True)
class OfficialCheckpoint:
    """A published checkpoint: the configuration that it implies, and its tensors by this package's names.

    `fresh` names the parameters that such a file never holds; `unused_head` the 1000-class head, by published names.
    """

    config: SSAMBAConfig
    tensors: dict[str, Tensor]
    fresh: set[str]
    unused_head: dict[str, Tensor]


def read_official(
    path: str | os.PathLike,
    input_tdim: int | None = None,
    fstride: int | None = None,
    tstride: int | None = None,
    num_classes: int | None = None,
) -> OfficialCheckpoint:
    """Reads a pretraining or fine-tuned checkpoint of the published code.

    What is asked for matters to fine-tuned files only. They hold neither input length nor strides: left out, strides
    are the patch size or 10, whichever fits the position table. `num_classes` must be that of their head. Raises
    FileNotFoundError, or ValueError saying what was found in place of a checkpoint, or which sizes would fit. Whether
    the tensors are complete shows when they are loaded.
    """
    state = read_tensors(path)
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    if len(tensors) < len(state):
        raise ValueError(f"{path} holds tensors of the same name with and without {PREFIX!r}")
    _check_tensors(path, tensors)
    finetuned = any(name.startswith("mlp_head.") for name in tensors)
    try:
        if finetuned:
            config = _finetuned_config(tensors, input_tdim, fstride, tstride)
        else:
            config = _pretraining_config(tensors)
            tensors = {name: tensor for name, tensor in tensors.items() if name not in SIZES}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if finetuned and num_classes not in (None, config.num_classes):
        raise ValueError(
            f"{path} is fine-tuned to {config.num_classes} classes, not {num_classes}; leave num_classes out to keep "
            "its head; a new one is made when the model, saved with save_pretrained, is read with "
            f"SSAMBA.from_pretrained(directory, num_classes={num_classes})"
        )
    unused = {}
    for name, shape in _unused_shapes(config).items():
        if name in tensors and tensors[name].shape == shape:
            unused[name] = tensors.pop(name)
    if unused:
        log.info("%s: the 1000-class head that every published checkpoint carries is left out; nothing reads it", path)
    if finetuned:
        log.info("%s: fine-tuned, so without what pretraining needs; these parts of the model are untrained", path)
    own = {name: _own_name(name) for name in tensors}
    unknown = [f"{name} {tuple(tensors[name].shape)}" for name in own if official_name(own[name]) != PREFIX + name]
    if unknown:
        raise ValueError(f"{path} holds what the published code does not have: {', '.join(unknown)}")
    return OfficialCheckpoint(config, {own[name]: tensors[name] for name in own}, _fresh(finetuned), unused)


def save_official(
    path: str | os.PathLike, config: SSAMBAConfig, own: Mapping[str, Tensor], unused_head: Mapping[str, Tensor]
) -> None:
    """What `SSAMBA.save_official` documents, of a model's configuration, state dict and 1000-class head."""
    state = _official_state(config, own, unused_head)
    save_atomically(path, lambda aside: save_objects(aside, state))


def official_name(own: str) -> str:
    """The published name of a parameter: `norm_f.bias` → `module.v.norm_f.bias`."""
    if own.startswith("head."):
        return f"{PREFIX}mlp_{own}"
    return PREFIX + own if own.startswith(PRETRAINING) else f"{PREFIX}v.{own}"


def _own_name(published: str) -> str:
    """The inverse of `official_name`, without the prefix."""
    return published.removeprefix("v." if published.startswith("v.") else "mlp_")


def _official_state(
    config: SSAMBAConfig, own: Mapping[str, Tensor], unused_head: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    if config.layout != "paired":
        raise ValueError(
            f"the published network has layout 'paired', this model {config.layout!r}; it has no such file"
        )
    narrow = sorted({str(tensor.dtype) for tensor in own.values() if tensor.dtype != torch.float32})
    if narrow:
        raise ValueError(f"published files hold float32, this model {', '.join(narrow)}; call model.float() first")
    state = {}
    if config.num_classes is None:
        if (config.fstride, config.tstride) != (config.fshape, config.tshape):
            raise ValueError(
                f"published pretraining files have patches without overlap, this model patches of {config.fshape} x "
                f"{config.tshape} with strides {config.fstride} x {config.tstride} and no class head"
            )
        sizes = (config.input_fdim, config.input_tdim)
        state = {PREFIX + name: torch.tensor(size) for name, size in zip(SIZES, sizes, strict=True)}
    else:
        own = {name: tensor for name, tensor in own.items() if not name.startswith(PRETRAINING)}
    for name, tensor in own.items():
        state[official_name(name)] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    for name, shape in _unused_shapes(config).items():
        kept = unused_head.get(name)
        state[PREFIX + name] = torch.zeros(shape) if kept is None else kept.clone()
    return state


def _check_tensors(path: str | os.PathLike, tensors: dict[str, Tensor]) -> None:
    lacking = [name for name, dimensions in TELLING.items() if name not in tensors or tensors[name].dim() != dimensions]
    if lacking:
        raise ValueError(
            f"{path} is not a checkpoint of the published SSAMBA code: it has no {', '.join(lacking)} of the expected "
            f"dimensions, but {some_names(tensors)}"
        )
    if not any(name in tensors for name in SIZES) and not any(name.startswith("mlp_head.") for name in tensors):
        raise ValueError(
            f"{path} is incomplete: it has neither {' and '.join(SIZES)} (pretraining) nor mlp_head.* (fine-tuned)"
        )
    other = [f"{name} {tensor.dtype}" for name, tensor in tensors.items() if tensor.dtype != _dtype(name)]
    if other:
        raise ValueError(f"{path}: published checkpoints are float32, but it holds {', '.join(other[:8])}")
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise ValueError(f"{path} holds NaN or infinity in {', '.join(broken)}")


def _dtype(name: str) -> torch.dtype:
    return torch.int64 if name in SIZES else torch.float32


def _pretraining_config(tensors: dict[str, Tensor]) -> SSAMBAConfig:
    wrong = [name for name in SIZES if name not in tensors or tensors[name].numel() != 1]
    if wrong:
        raise ValueError(f"it has no single number {' and no '.join(wrong)}, so its input size is unknown")
    fdim, tdim = (int(tensors[name]) for name in SIZES)
    fshape, tshape = tensors["v.patch_embed.proj.weight"].shape[2:]
    config = _config(tensors, input_fdim=fdim, input_tdim=tdim, fstride=fshape, tstride=tshape)
    patches = tensors["v.pos_embed"].shape[1] - 1
    if config.num_patches != patches:
        raise ValueError(
            f"its position table holds {patches} patches, but its input of {fdim} x {tdim} cut into "
            f"{fshape} x {tshape} makes {config.num_patches}"
        )
    return config


def _finetuned_config(
    tensors: dict[str, Tensor], input_tdim: int | None, fstride: int | None, tstride: int | None
) -> SSAMBAConfig:
    fshape, tshape = tensors["v.patch_embed.proj.weight"].shape[2:]
    patches = tensors["v.pos_embed"].shape[1] - 1
    head = tensors.get("mlp_head.1.weight")
    if head is None or head.dim() != 2:
        raise ValueError("it has no mlp_head.1.weight of shape (classes, D), so its number of classes is unknown")
    usual = ((fshape, tshape), (min(FINETUNING_STRIDE, fshape), min(FINETUNING_STRIDE, tshape)))
    asked = [(f if fstride is None else fstride, t if tstride is None else tstride) for f, t in usual]
    strides = list(dict.fromkeys(asked))
    fitting = []
    for f, t in strides:
        frames = tshape if input_tdim is None else input_tdim
        config = _config(tensors, input_fdim=MEL_BINS, input_tdim=frames, fstride=f, tstride=t, num_classes=len(head))
        columns = patches // config.rows
        if input_tdim is None and columns:
            config = replace(config, input_tdim=(columns - 1) * t + tshape)
        if config.num_patches == patches:
            fitting.append(config)
    if len(fitting) == 1:
        return fitting[0]
    length = "" if input_tdim is None else f" of {input_tdim} frames"
    tried = " or ".join(f"{f} x {t}" for f, t in strides)
    if not fitting:
        raise ValueError(
            f"its position table holds {patches} patches, which strides {tried} cannot make from an input{length}; "
            "give the input_tdim, fstride and tstride that it was fine-tuned with (`ssamba convert` has options)"
        )
    grids = " or ".join(f"{c.grid[0]} x {c.grid[1]} (strides {c.fstride} x {c.tstride})" for c in fitting)
    raise ValueError(
        f"its {patches} patches may be {grids}; a fine-tuned checkpoint does not say which: give the input_tdim, or "
        "the fstride and tstride, that it was fine-tuned with (`ssamba convert` has options)"
    )


def _config(tensors: dict[str, Tensor], *, input_fdim: int, **sizes: int | None) -> SSAMBAConfig:
    """The configuration of a published model; masks as many of its patches as published, 400 of 512."""
    fshape, tshape = tensors["v.patch_embed.proj.weight"].shape[2:]
    width = tensors["v.cls_token"].shape[2]
    inner, state_size = tensors["v.layers.0.mixer.A_log"].shape
    layers = {int(match[1]) for match in (re.match(r"v\.layers\.(\d+)\.", name) for name in tensors) if match}
    if max(layers) >= len(layers):
        raise ValueError(f"its layers are not numbered without gaps: {', '.join(map(str, sorted(layers)[:30]))}")
    biased = any(name.endswith(("norm.bias", "norm_f.bias")) for name in tensors)
    return SSAMBAConfig(
        embed_dim=width,
        depth=len(layers),
        state_size=state_size,
        conv_width=tensors["v.layers.0.mixer.conv1d.weight"].shape[2],
        expand=inner // max(width, 1),
        dt_rank=tensors["v.layers.0.mixer.dt_proj.weight"].shape[1],
        fshape=fshape,
        tshape=tshape,
        layout="paired",
        norm="layernorm" if biased else "rmsnorm",
        backward_dt_init="zero_bias",
        masked_patches=max(1, (tensors["v.pos_embed"].shape[1] - 1) * 400 // 512),
        masking="frame" if fshape == input_fdim else "cluster",
        features="compat",
        input_fdim=input_fdim,
        **sizes,
    )


def _fresh(finetuned: bool) -> set[str]:
    if not finetuned:
        return set()
    heads = [
        f"{head}.{layer}.{part}"
        for head in ("cpredlayer", "gpredlayer")
        for layer in (0, 2)
        for part in ("weight", "bias")
    ]
    return {"mask_embed", *heads}


def _unused_shapes(config: SSAMBAConfig) -> dict[str, tuple[int, ...]]:
    return {"v.head.weight": (1000, config.embed_dim), "v.head.bias": (1000,)}
