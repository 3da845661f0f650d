"""A model that is done with training: an encoder that owns its weights."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from ..checkpoints import folder
from ..config import SSAMBAConfig
from ..encoder.audio_encoder import AudioEncoder, PatchEmbedding, make_head
from ..encoder.layers import Norm
from ..encoder.packing import MixerTensors, cast
from ..encoder.shortcuts import watched
from ..encoder.stack import LAYOUTS, Stack, part_to_call
from .extraction import FeatureExtraction
from .frozen_stack import FLOATS, INT8, FrozenStack, from_named, named
from .memory import return_freed_memory
from .quantization import quantise


class FrozenSSAMBA(FeatureExtraction, AudioEncoder):
    """An encoder for inference that owns its weights, packed once for its device; `SSAMBA.frozen` makes it.

    It computes what the model computed when it was frozen, without gradient, always in evaluation mode, and takes other
    devices (`to`), shared memory (`share_memory`), copies, pickles and `torch.export`; what its layers multiply in
    stays as it was frozen. Under torch.compile its layers run outside of the graph on a CPU.
    """

    def __init__(self, config: SSAMBAConfig) -> None:
        """Parts without values, and no layers yet; `SSAMBA.frozen` and `from_pretrained` fill them."""
        super().__init__()
        self.config = config
        with torch.device("meta"):
            self.patch_embed = PatchEmbedding(config)
            self.cls_token = nn.Parameter(torch.empty(1, 1, config.embed_dim))
            self.pos_embed = nn.Parameter(torch.empty(1, 1 + config.num_patches, config.embed_dim))
            self.norm_f = Norm(config)
            self.head = make_head(config)
        self.requires_grad_(False).eval()

    @property
    def multiplies_in(self) -> str:
        """A dtype by name, "int8" or "int8_weight_only"."""
        return self.layers.kind

    def train(self, mode: bool = True) -> FrozenSSAMBA:
        """Stays in evaluation mode, so that what it is a part of can be trained."""
        return super().train(False)

    def save_pretrained(self, directory: str | os.PathLike) -> None:
        """Writes config.json and frozen.safetensors into `directory`, each aside first and then renamed."""
        about = {"multiplies_in": self.multiplies_in}
        folder.write_pretrained(directory, self.config, self.state_dict(), folder.FROZEN_FILE, about)

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike) -> FrozenSSAMBA:
        """Reads what `save_pretrained` wrote, onto the CPU.

        Raises FileNotFoundError naming what is missing, ValueError listing missing, unexpected or misshapen tensors.
        """
        config, tensors, about = folder.read_stored(directory, folder.FROZEN_FILE)
        kind = about.get("multiplies_in")
        if kind not in (*FLOATS, *INT8):
            known = ", ".join((*FLOATS, *INT8))
            raise ValueError(f"{directory} multiplies in {kind!r}; this version knows {known}")
        frozen = cls(config)
        own = {name: parameter.shape for name, parameter in frozen.named_parameters()}
        shapes = _layer_shapes(config, kind)
        own |= {f"layers.{i}.{name}": shape for i in range(config.depth) for name, shape in shapes.items()}
        folder.check_fit(own, tensors, source=str(directory))
        frozen.load_state_dict({name: tensors[name] for name, _ in frozen.named_parameters()}, assign=True)
        layers = ({name: tensors.pop(f"layers.{i}.{name}") for name in shapes} for i in range(config.depth))
        frozen.layers = _stack(config, map(from_named, layers), kind)
        return frozen

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FrozenSSAMBA:
        before = self.pos_embed.dtype
        after = fn(torch.empty(0, dtype=before)).dtype
        if after != before:
            raise TypeError(f"a frozen encoder stays {before}, not {after}; SSAMBA.frozen takes a dtype to multiply in")
        return super()._apply(fn, recurse)


@torch.no_grad()
def freeze(
    model: AudioEncoder, dtype: torch.dtype | str | None, device: torch.device | str | None, release: bool
) -> FrozenSSAMBA:
    """What `SSAMBA.frozen` documents."""
    kind = _kind(model, dtype, device)
    if found := _part_to_call(model):
        raise ValueError(
            f"{found[0]} {found[1]}, which a frozen encoder would not call; merge or remove it first, for example by "
            "merge_and_unload, prune.remove or remove_weight_norm"
        )
    with torch.inference_mode(False):  # what is kept may take part in autograd
        frozen = FrozenSSAMBA(model.config)
        for name in ("patch_embed", "norm_f", "head"):
            setattr(frozen, name, copy.deepcopy(getattr(model, name)))
        for name in ("cls_token", "pos_embed"):
            setattr(frozen, name, nn.Parameter(getattr(model, name).clone()))
        frozen.requires_grad_(False).eval().to(device)
        frozen.layers = _stack(model.config, _frozen_mixers(model.layers, kind, device, release), kind)
    if release:
        model.to("meta")
        return_freed_memory()
    return frozen


@torch.no_grad()
def freeze_layers(model: AudioEncoder) -> FrozenStack:
    """The layers of a model alone, as they are."""
    kind = _kind(model, None, None)
    return _stack(model.config, _frozen_mixers(model.layers, kind, None, False), kind)


def _part_to_call(model: AudioEncoder) -> tuple[str, str] | None:
    """Path of the first module that a frozen encoder would not call, and why it must be called."""
    if found := part_to_call(model.layers):
        return f"layers.{found[0]}".rstrip("."), found[1]
    for path, module in model.named_modules():  # these are copied and called; what watches them would be lost
        copied = path.startswith(("patch_embed", "norm_f", "head"))
        if copied and (reason := watched(module)):
            return path, reason
    return None


def quantize_int8(model: AudioEncoder, kind: Literal["dynamic", "weight_only"] = "dynamic") -> FrozenSSAMBA:
    """`model.frozen` with matrices in int8, by the names that this function has for them."""
    if kind not in ("dynamic", "weight_only"):
        raise ValueError(f"kind is {kind!r}; choose 'dynamic' or 'weight_only'")
    return freeze(model, {"dynamic": "int8", "weight_only": "int8_weight_only"}[kind], None, False)


def _kind(model: AudioEncoder, dtype: torch.dtype | str | None, device: torch.device | str | None) -> str:
    """What is multiplied in, by name."""
    own = model.pos_embed
    name = str(own.dtype if dtype is None else dtype).removeprefix("torch.")
    if name not in (*FLOATS, *INT8):
        raise ValueError(f"dtype is {dtype!r}; choose a floating point dtype of torch, 'int8' or 'int8_weight_only'")
    where = own.device if device is None else torch.device(device)
    if name in INT8 and (own.dtype != torch.float32 or where.type != "cpu"):
        raise ValueError(f"int8 multiplies on a CPU, and from float32; this is {own.dtype} on {where}")
    return name


def _frozen_mixers(stack: Stack, kind: str, device: torch.device | str | None, release: bool) -> Iterator[MixerTensors]:
    for index in range(0, len(stack), stack.together):
        for g, layer in enumerate(stack.reading_together(index)):
            mixer = cast(layer.folded(swap=bool(g % 2)), FLOATS.get(kind, torch.float32))
            if not release:  # what is not made anew is the model's own
                mixer = from_named({name: tensor.clone() for name, tensor in named(mixer).items()})
            mixer = from_named({name: tensor.detach().to(device) for name, tensor in named(mixer).items()})
            if kind in INT8:
                mixer = mixer._replace(in_proj=quantise(mixer.in_proj))
            if kind == "int8_weight_only":
                mixer = mixer._replace(out_proj=quantise(mixer.out_proj))
            yield mixer
            if release:
                del mixer
                layer.to("meta")
                return_freed_memory()  # or the holes that the layers leave would stay beside what is packed


def _stack(config: SSAMBAConfig, mixers: Iterable[MixerTensors], kind: str) -> FrozenStack:
    together = LAYOUTS[config.layout].together
    return FrozenStack(mixers, kind, together, config.norm_eps, centred=config.norm == "layernorm")


def _layer_shapes(config: SSAMBAConfig, kind: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a layer, as `frozen_stack.named` calls them."""
    width, inner, states, rank = config.embed_dim, config.inner_dim, config.state_size, config.time_step_rank
    direction = {
        "conv": (inner, config.conv_width),
        "conv_bias": (inner,),
        "x_proj": (rank + 2 * states, inner),
        "dt_proj": (inner, rank),
        "dt_bias": (inner,),
        "A": (inner, states),
        "D": (inner,),
    }
    shapes: dict[str, tuple[int, ...]] = {"in_proj": (2 * inner, width), "out_proj": (width, inner)}
    if config.norm == "layernorm":
        shapes["in_bias"] = (2 * inner,)
    if kind in INT8:
        shapes["in_proj_scales"] = (2 * inner, 1)
    if kind == "int8_weight_only":
        shapes["out_proj_scales"] = (width, 1)
    return shapes | {f"{side}.{name}": shape for side in ("forward", "backward") for name, shape in direction.items()}
