"""Fused kernels for bidirectional state-space models, published as ordinary torch ops under torch.ops.ssamba."""

from ssamba_ops import _library as _library  # registers torch.ops.ssamba
from ssamba_ops import flops as flops  # registers what torch counts
from ssamba_ops import reference
from ssamba_ops.bi_conv1d import bi_conv1d
from ssamba_ops.bi_mixer import bi_mixer
from ssamba_ops.bi_scan import bi_scan
from ssamba_ops.causal_conv1d import causal_conv1d
from ssamba_ops.isa import available_cpu_isas, cpu_isa, current_cpu_isa
from ssamba_ops.packed_linear import pack_matrix, packed_linear, unpack_matrix
from ssamba_ops.packed_mixer import mixer_memory, packed_mixer
from ssamba_ops.patch_mask import patch_mask
from ssamba_ops.sample_patch_mask import sample_patch_mask
from ssamba_ops.scan_part import scan_part
from ssamba_ops.selective_scan import selective_scan

__all__ = [
    "available_cpu_isas",
    "bi_conv1d",
    "bi_mixer",
    "bi_scan",
    "causal_conv1d",
    "cpu_isa",
    "current_cpu_isa",
    "mixer_memory",
    "pack_matrix",
    "packed_linear",
    "packed_mixer",
    "patch_mask",
    "reference",
    "sample_patch_mask",
    "scan_part",
    "selective_scan",
    "unpack_matrix",
]
