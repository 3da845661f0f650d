// Runs one case of a launch and prints, line by line, what the runtime and torch are asked for; then the error, if one
// came of it. Arguments: the case, and where the stand-in for libtorch_cuda lies.

#include <cstdio>
#include <cstring>

#include "../../../csrc/cuda/multiprocessors.h"
#include "../../../csrc/cuda/on_device.h"

namespace {

const char* scenario = "";
bool is(const char* name) { return std::strcmp(scenario, name) == 0; }

constexpr int kDevice = 3;
int current_device = 0;

}  // namespace

// The runtime.
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int value) {
  std::printf("grant %d bytes\n", value);
  return is("refused memory") ? cudaErrorInvalidConfiguration : cudaSuccess;
}
cudaError_t cudaFuncGetName(const char** name, const void*) {
  if (is("nameless kernel")) return cudaErrorInvalidConfiguration;
  *name = "_ZN6ssamba11some_kernelEi";
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorNoKernelImageForDevice ? "no kernel image" : "invalid configuration";
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? 100 + device : -1;
  return cudaSuccess;
}
cudaError_t start(const cudaLaunchConfig_t& config, const void*) {
  std::printf("launch grid (%u, %u, %u) block (%u, %u, %u) shared %zu stream %p on device %d\n", config.gridDim.x,
              config.gridDim.y, config.gridDim.z, config.blockDim.x, config.blockDim.y, config.blockDim.z,
              config.dynamicSmemBytes, static_cast<void*>(config.stream), current_device);
  if (is("no image")) return cudaErrorNoKernelImageForDevice;
  return is("refused launch") || is("nameless kernel") ? cudaErrorInvalidConfiguration : cudaSuccess;
}
unsigned __cvta_generic_to_shared(const void*) { return 0; }

// torch.
extern "C" {
AOTITorchError aoti_torch_get_device_index(AtenTensorHandle, int32_t* index) {
  *index = kDevice;
  return 0;
}
AOTITorchError aoti_torch_delete_tensor_object(AtenTensorHandle) { return 0; }
AOTITorchError aoti_torch_create_device_guard(int32_t device, DeviceGuardHandle* guard) {
  std::printf("device %d\n", device);
  *guard = reinterpret_cast<DeviceGuardHandle>(&current_device);
  current_device = device;
  return 0;
}
AOTITorchError aoti_torch_delete_device_guard(DeviceGuardHandle) {
  std::printf("device 0\n");
  current_device = 0;
  return 0;
}
}

namespace ssamba {
namespace {

__global__ void some_kernel(int) {}

void run() {
  const Tensor x(reinterpret_cast<AtenTensorHandle>(&current_device));
  const OnDevice device(x);
  if (is("multiprocessors")) std::printf("%d multiprocessors\n", multiprocessor_count());
  const std::size_t bytes = is("much memory") || is("refused memory") ? (48 << 10) + 1 : 48 << 10;
  launch(some_kernel, dim3(5, blocks_y(int64_t(1) << 40), 2), dim3(32, 4), bytes, device.stream(), 7);
}

}  // namespace

void check_device_is_right(int device) {
  std::printf("is device %d right?\n", device);
  if (is("wrong device")) throw std::runtime_error("kernels are wrong here");
}

}  // namespace ssamba

int main(int, char** arguments) {
  scenario = arguments[1];
  if (void* torch_cuda = is("no torch for GPUs") ? nullptr : dlopen(arguments[2], RTLD_NOW))
    *static_cast<int32_t*>(dlsym(torch_cuda, "torch_cuda_answer")) = is("torch fails") ? 2 : 0;
  try {
    ssamba::run();
  } catch (const std::runtime_error& error) {
    std::printf("%s\n", error.what());
  }
}
