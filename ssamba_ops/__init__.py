"""Fused kernels for bidirectional state-space models, published as ordinary torch ops under torch.ops.ssamba."""

from ssamba_ops import _library as _library  # registers torch.ops.ssamba
from ssamba_ops.bi_scan import bi_scan
from ssamba_ops.isa import available_cpu_isas, cpu_isa, current_cpu_isa
from ssamba_ops.reference import bi_conv1d, causal_conv1d, patch_mask
from ssamba_ops.selective_scan import selective_scan


def sample_patch_mask(batch, rows, cols, masked, min_cluster, max_cluster, seed):
    import torch

    g = torch.Generator().manual_seed(seed)
    scores = torch.rand(batch, rows * cols, generator=g)
    mask = torch.zeros(batch, rows * cols, dtype=torch.bool)
    return mask.scatter(1, scores.topk(masked, dim=1).indices, True)


__all__ = [
    "available_cpu_isas",
    "bi_conv1d",
    "bi_scan",
    "causal_conv1d",
    "cpu_isa",
    "current_cpu_isa",
    "patch_mask",
    "sample_patch_mask",
    "selective_scan",
]
