"""The two pretraining objectives: telling hidden patches apart, and rebuilding them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PretrainOutput(NamedTuple):
    """What `SSAMBA.pretrain_loss` returns; an objective that was not asked for is None.

    loss, discriminative, generative and accuracy are 0-dim. mask (B, P) is True at hidden patches; reconstruction
    (B, K, fshape · tshape) holds the rebuilt patches in the order of their index, K the most hidden patches of a clip,
    zeros where a clip has fewer.
    """

    loss: Tensor
    discriminative: Tensor | None
    generative: Tensor | None
    accuracy: Tensor | None
    mask: Tensor
    reconstruction: Tensor | None


def infonce(
    predictions: Tensor, targets: Tensor, orientation: str = "paper", valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Contrasts each hidden patch with the others of its clip; returns (loss, accuracy), both 0-dim.

    T[j, k] = target_j · prediction_k; loss = mean of -log softmax(T)[j, j]. Orientation "paper" takes the softmax over
    the targets j of each prediction k (equation 1 of the SSAST paper) and counts a prediction right when its own target
    scores highest. "published_code" takes it over the predictions k of each target j, yet searches the best target of
    each prediction in the normalised matrix, as the published code does. predictions and targets are (B, K, E);
    valid (B, K) bool leaves out the padding of clips with fewer hidden patches. Computed in float32 or wider.
    """
    if orientation not in ("paper", "published_code"):
        raise ValueError(f"orientation is {orientation!r}; choose 'paper' or 'published_code'")
    predictions, targets = _at_least_float32(predictions), _at_least_float32(targets)
    with torch.autocast(predictions.device.type, enabled=False):
        scores = torch.matmul(targets, predictions.mT)  # (B, target j, prediction k)
    lowest = torch.finfo(scores.dtype).min
    pairs = predictions.new_ones(predictions.shape[:2], dtype=torch.bool) if valid is None else valid
    if orientation == "paper":
        normalised = scores.masked_fill(~pairs[:, :, None], lowest).log_softmax(dim=1)
    else:
        normalised = scores.masked_fill(~pairs[:, None, :], lowest).log_softmax(dim=2)
    loss = -_mean(normalised.diagonal(dim1=1, dim2=2), pairs)
    best = normalised.detach().masked_fill(~pairs[:, :, None], lowest).argmax(dim=1)  # (B, K)
    right = best == torch.arange(best.shape[1], device=best.device)
    return loss, _mean(right.to(loss.dtype), pairs)


def reconstruction_error(predictions: Tensor, targets: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean of (prediction - target)² over hidden patches and their elements; shapes as in `infonce`."""
    error = (_at_least_float32(predictions) - _at_least_float32(targets)).square().mean(dim=2)
    return error.mean() if valid is None else _mean(error, valid)


def _mean(x: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen, x, torch.zeros_like(x)).sum() / chosen.sum()


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
