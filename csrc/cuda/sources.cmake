# The kernels, for the CUDA library and for the emulator: one line a file.
set(ssamba_cuda_sources
    csrc/cuda/patch_mask.cu)
