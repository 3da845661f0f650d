// A GPU for kernels, emulated on the host: what csrc/cuda/device.cuh includes in place of CUDA's headers. README.md
// says how it works and what it cannot show.
#pragma once

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#include "approximate.h"
#include "async_copies.h"
#include "block.h"
#include "intrinsics.h"
#include "vector_types.h"
#include "warp.h"
