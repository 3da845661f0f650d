// How many multiprocessors the current device has.
#pragma once

#include "launch.cuh"

namespace ssamba {

inline int multiprocessor_count() {
#if defined(SSAMBA_SIMT)
  return 2;
#else
  int device = 0, count = 1;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count;
#endif
}

}  // namespace ssamba
