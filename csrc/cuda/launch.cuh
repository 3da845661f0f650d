// The one place where kernels are launched.
#pragma once

#include "device.cuh"

#if !defined(SSAMBA_SIMT)
#include <cxxabi.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#endif

namespace ssamba {

#if defined(SSAMBA_SIMT)

using Stream = simt::Stream;

constexpr int64_t kMostBlocksY = simt::kMostBlocksYZ;

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            const Arguments&... arguments) {
  simt::launch(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, stream, [&] { kernel(arguments...); });
}

#else

using Stream = cudaStream_t;

constexpr int64_t kMostBlocksY = 65535;

inline std::string kernel_name(const void* kernel) {
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, kernel) != cudaSuccess) return "a kernel";
  int status = 0;
  char* plain = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  const std::string name = plain ? plain : mangled;
  std::free(plain);
  return name;
}

[[noreturn]] inline void refuse_launch(const void* kernel, cudaError_t error) {
  std::string message = "ssamba: " + kernel_name(kernel) + " did not start: " + cudaGetErrorString(error);
  if (error == cudaErrorNoKernelImageForDevice)
    message += ". The kernels were built for other GPUs; `ssamba doctor` says which. Rebuild with SSAMBA_CUDA_ARCHS.";
  throw std::runtime_error(message);
}

// Starts a kernel on a stream, or throws with its name and the reason. More than 48 KB of shared memory must be asked
// for.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            const Arguments&... arguments) {
  constexpr std::size_t kGranted = 48 << 10;
  const void* function = reinterpret_cast<const void*>(kernel);
  if (shared_bytes > kGranted) {
    const cudaError_t error =
        cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
    if (error != cudaSuccess) refuse_launch(function, error);
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes, config.stream = stream;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, arguments...);
  if (error != cudaSuccess) refuse_launch(function, error);
}

#endif

// The second axis of a grid whose blocks go on in steps of gridDim.y.
inline unsigned blocks_y(int64_t count) { return unsigned(count < kMostBlocksY ? count : kMostBlocksY); }

}  // namespace ssamba
