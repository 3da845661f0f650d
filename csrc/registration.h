// Where a library's ops are registered: as torch.ops.ssamba, but for the emulator's, which has a namespace of its own.
#pragma once

#include "torch_calls.h"

#if !defined(SSAMBA_NAMESPACE)
#define SSAMBA_NAMESPACE ssamba
#endif

// The kernels in csrc/cuda register for GPUs; in the emulator's library, for the tensors that it has: the CPU's.
#if !defined(SSAMBA_KEY)
#define SSAMBA_KEY CUDA
#endif

// torch's macro with its argument expanded first.
#define SSAMBA_LIBRARY(name, m) STABLE_TORCH_LIBRARY(name, m)
