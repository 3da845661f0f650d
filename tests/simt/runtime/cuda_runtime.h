// A CUDA runtime that starts nothing and writes down what it is asked: so that launch.cuh and on_device.h, as they are
// compiled for a GPU, can be watched without one. launch_check.cpp says what it answers.
#pragma once

#include <cstddef>

#include "../vector_types.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__
#define __align__(bytes)

using cudaStream_t = struct CUstream_st*;

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9, cudaErrorNoKernelImageForDevice = 209 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16 };

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value);
cudaError_t cudaFuncGetName(const char** name, const void* function);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t start(const cudaLaunchConfig_t& config, const void* function);

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               const Arguments&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments));
  (void)sizeof...(arguments);
  return start(*config, reinterpret_cast<const void*>(kernel));
}

unsigned __cvta_generic_to_shared(const void* address);
