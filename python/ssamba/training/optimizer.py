"""AdamW, or Adam as published; weight decay on weight matrices only, unless asked for."""

from __future__ import annotations

import torch
from torch import nn

NEVER_DECAYED = ("A_log", "A_b_log", "D", "D_b", "pos_embed", "cls_token", "mask_embed")


def is_decayed(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: to weight matrices, not to norms, biases, A, D, positions, single tokens."""
    return parameter.ndim >= 2 and name.rpartition(".")[2] not in NEVER_DECAYED


def parameter_groups(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    head: str = "head",
    head_multiplier: float = 1.0,
    decay_all: bool = False,
) -> list[dict]:
    """Trainable parameters of `model` in up to four groups: encoder or head, decayed or not.

    `peak` of a group is its highest learning rate: `learning_rate`, times `head_multiplier` for parameters of `head`.
    With `decay_all` every parameter decays, as published. Every parameter that requires a gradient is in exactly one
    group; groups without parameters are left out.
    """
    members: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decayed = decay_all or is_decayed(name, parameter)
            members.setdefault((name.startswith(f"{head}."), decayed), []).append(parameter)
    groups = []
    for (in_head, decayed), parameters in sorted(members.items(), key=lambda item: item[0]):
        peak = learning_rate * (head_multiplier if in_head else 1.0)
        groups.append(
            {"params": parameters, "lr": peak, "peak": peak, "weight_decay": weight_decay if decayed else 0.0}
        )
    return groups


def make_optimizer(groups: list[dict], beta1: float, beta2: float, kind: str = "adamw") -> torch.optim.Optimizer:
    """Optimiser over `parameter_groups`, eps 1e-8.

    "adamw": decay apart from the gradient; "adam": weight_decay · weight is added to the gradient.
    """
    optimizer = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[kind]
    return optimizer(groups, betas=(beta1, beta2), eps=1e-8)
