"""SSAMBA: a bidirectional Mamba encoder of log-mel patches, its pretraining, its head and feature extraction."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .checkpoints import folder, published
from .config import CHOICES, SSAMBAConfig
from .encoder.audio_encoder import AudioEncoder, PatchEmbedding, RunLayers, make_head
from .encoder.layers import Norm
from .encoder.stack import make_stack, part_to_call
from .inference.engine import run_layers
from .inference.extraction import FeatureExtraction
from .inference.frozen import FrozenSSAMBA, freeze, freeze_layers
from .objectives.losses import PretrainOutput, infonce, reconstruction_error
from .objectives.masking import hidden_patches, sample_mask, take_patches


class SSAMBA(FeatureExtraction, AudioEncoder):
    """Self-supervised audio model over log-mel patches (the published model with layout "paired").

    Input x is (B, T, F): T frames of F mel bins, normalised as `features` returns it; T may be anything from one patch
    up. Tokens are a cls token, then the patches frequency-major. `lengths` (B,) counts the valid frames of each clip;
    a clip in a padded batch gives what it gives alone. Every result follows from the parameters as they are at the
    call; `frozen` makes the encoder that prepares them once.
    """

    tasks = ("encode", "classify", "pretrain_loss")

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__()
        if not isinstance(config, SSAMBAConfig):
            raise TypeError(
                f"config is {type(config).__name__}; give an SSAMBAConfig (SSAMBAConfig.from_dict for a dict)"
            )
        self.config = config
        width, patch = config.embed_dim, config.fshape * config.tshape
        self.patch_embed = PatchEmbedding(config)
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + config.num_patches, width))
        self.mask_embed = nn.Parameter(torch.empty(1, 1, width))
        self.layers = make_stack(config)
        self.norm_f = Norm(config)
        self.cpredlayer = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, patch))
        self.gpredlayer = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, patch))
        self.unused_head: dict[str, Tensor] = {}  # of the published checkpoint that this model was read from
        self.head = make_head(config)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.xavier_normal_(self.mask_embed)

    def pretrain_loss(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        mask: Tensor | tuple[Tensor, Tensor] | None = None,
        seed: int | None = None,
        objective: Literal["joint", "discriminative", "generative"] | None = None,
        passes: int = 1,
    ) -> PretrainOutput:
        """Hides patches, encodes the clips and scores how well the hidden patches are told apart and rebuilt.

        loss = discriminative + generative_weight · generative for "joint", else the one objective. mask (B, P) bool
        fixes the hidden patches; otherwise they are drawn (see `masking.sample_mask`) from `seed`, or from torch's
        default generator. passes=2 is the published joint objective: each part has a mask and a forward pass of its own
        (mask may then be a pair, discriminative first; the mask returned is the generative one).
        """
        objective = objective or self.config.objective
        if objective not in CHOICES["objective"]:
            raise ValueError(f"objective is {objective!r}; choose one of {', '.join(map(repr, CHOICES['objective']))}")
        if passes not in (1, 2):
            raise ValueError(
                f"passes is {passes!r}; choose 1 (one mask for both objectives) or 2 (one each, as published)"
            )
        if passes == 2 and objective == "joint":
            masks = mask if isinstance(mask, (tuple, list)) else (mask, mask)
            seeds = (seed, None if seed is None else seed + 1)
            first = self.pretrain_loss(x, lengths, masks[0], seeds[0], "discriminative")
            second = self.pretrain_loss(x, lengths, masks[1], seeds[1], "generative")
            loss = first.loss + self.config.generative_weight * second.loss
            return second._replace(loss=loss, discriminative=first.discriminative, accuracy=first.accuracy)

        patches, grid = self.patches(x, lengths)
        if mask is None:
            mask = sample_mask(self.config, len(x), grid.width, grid.columns, seed)
        mask, hidden, chosen = hidden_patches(mask.to(x.device), grid.valid_patches(len(x), x.device))
        tokens, _ = self.encode_patches(patches, grid, mask)
        tokens, targets = take_patches(tokens[:, 1:], hidden), take_patches(patches, hidden)  # (B, K, …)
        discriminative = accuracy = generative = reconstruction = None
        if objective != "generative":
            orientation = self.config.infonce_orientation
            discriminative, accuracy = infonce(self.cpredlayer(tokens), targets, orientation, chosen)
        if objective != "discriminative":
            reconstruction = self.gpredlayer(tokens) * chosen.unsqueeze(-1)
            generative = reconstruction_error(reconstruction, targets, chosen)
        if objective == "joint":
            loss = discriminative + self.config.generative_weight * generative
        else:
            loss = generative if discriminative is None else discriminative
        return PretrainOutput(loss, discriminative, generative, accuracy, mask, reconstruction)

    def frozen(
        self,
        dtype: torch.dtype | Literal["int8", "int8_weight_only"] | None = None,
        device: torch.device | str | None = None,
        release: bool = False,
    ) -> FrozenSSAMBA:
        """An encoder for inference that owns the weights as they are now, packed once for its device.

        Nothing that happens to this model afterwards changes it. `dtype` is what its layers multiply in, by default as
        this model does; torch.bfloat16 keeps the residual stream in this model's dtype, as autocast does. "int8", on a
        CPU, multiplies in_proj in int8: half of the products, of normalised input; "int8_weight_only" holds in_proj and
        out_proj in int8 and multiplies by what they restore. `release` gives the weights away, layer after layer, so
        that they are never held twice; this model is then on the meta device. Raises ValueError naming the first module
        of a layer that would have to be called: an adapter, a pruned or a watched part.
        """
        return freeze(self, dtype, device, release)

    def prepared_layers(self) -> RunLayers:
        """Frozen for the time of a call, unless a part must be called."""
        return self.run_layers if part_to_call(self.layers) else freeze_layers(self)

    def run_layers(
        self, tokens: Tensor, lengths: Tensor | None, wanted: Collection[int]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        return run_layers(self.layers, tokens, lengths, wanted)

    def gradient_checkpointing_enable(self, enabled: bool = True) -> None:
        """Recomputes each layer in the backward pass instead of keeping its activations; the numbers stay the same."""
        self.layers.checkpointing = enabled

    def save_pretrained(self, directory: str | os.PathLike) -> None:
        """Writes config.json and model.safetensors into `directory`, each aside first and then renamed."""
        folder.write_pretrained(directory, self.config, self.state_dict())

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike, **overrides: Any) -> SSAMBA:
        """Reads what `save_pretrained` wrote; `overrides` change the configuration on the way.

        New num_classes or classes make a new head; a new input_tdim, fstride or tstride carries the position table
        over. A field that would change other weights raises ValueError, as do missing, unexpected or misshapen tensors.
        """
        config, tensors, fresh = folder.read_pretrained(directory, overrides)
        model = cls(config)
        folder.load_strictly(model.state_dict(), tensors, fresh, source=str(directory))
        return model

    @classmethod
    def from_official(
        cls,
        path: str | os.PathLike,
        *,
        input_tdim: int | None = None,
        fstride: int | None = None,
        tstride: int | None = None,
        num_classes: int | None = None,
        map_location: str | torch.device = "cpu",
        **overrides: Any,
    ) -> SSAMBA:
        """Reads a checkpoint (.pth) of the published SSAMBA code, whatever its size and norm; no code in it is run.

        From a pretraining checkpoint, `input_tdim` and strides (default: as pretrained, 16 x 16) carry the position
        table over and `num_classes` makes a new head, as published fine-tuning does. For a fine-tuned one they say how
        it was fine-tuned (left out: whichever of its patch size and 10 fits); its prediction heads and mask token start
        afresh, for the file has none. `overrides` are as for `from_pretrained`; set mean and std if they are not
        AudioSet's, which no file tells. Features are "compat". Raises FileNotFoundError, or ValueError saying what was
        found and what was expected.
        """
        asked = {"input_tdim": input_tdim, "fstride": fstride, "tstride": tstride, "num_classes": num_classes}
        asked = {name: value for name, value in asked.items() if value is not None}
        stored = published.read_official(path, **asked)
        config, tensors, fresh = folder.carry_over(stored.config, stored.tensors, {**overrides, **asked})
        model = cls(config)
        folder.load_strictly(model.state_dict(), tensors, fresh | stored.fresh, str(path), published.official_name)
        model.unused_head = stored.unused_head
        return model.to(map_location)

    def save_official(self, path: str | os.PathLike) -> None:
        """Writes the weights as the published code would: what `from_official` read comes back bit for bit.

        With a head in the fine-tuned form (without prediction heads and mask token), else in the pretraining form. The
        1000-class head that nothing reads is that of the file this model came from, else zeros. Raises ValueError for a
        model that the published code cannot hold: sequential, not float32, or pretrained with overlapping patches.
        """
        published.save_official(path, self.config, self.state_dict(), self.unused_head)
