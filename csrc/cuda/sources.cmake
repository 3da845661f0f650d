# The kernels, and what stands before them, for the CUDA library and for the emulator: one line a file.
set(ssamba_cuda_sources
    csrc/out_of_memory.cpp
    csrc/cuda/causal_conv1d.cu
    csrc/cuda/causal_conv1d_kernel.cu
    csrc/cuda/causal_conv1d_backward_kernel.cu
    csrc/cuda/causal_conv1d_any_backward_kernel.cu
    csrc/cuda/device_check.cpp
    csrc/cuda/patch_mask.cu
    csrc/cuda/sample_patch_mask.cu
    csrc/cuda/selective_scan.cu
    csrc/cuda/selective_scan_kernel.cu
    csrc/cuda/selective_scan_backward_kernel.cu)
