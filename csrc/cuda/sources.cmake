# The kernels, for the CUDA library and for the emulator: one line a file.
set(ssamba_cuda_sources
  csrc/cuda/selective_scan.cu
  csrc/cuda/selective_scan_backward.cu)
