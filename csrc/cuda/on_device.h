// Where a tensor's kernels run: makes its device current unless kernels are wrong there, and knows the stream that
// torch works on.
#pragma once

#include "../tensor.h"
#include "device_check.h"
#include "launch.cuh"

#if !defined(SSAMBA_SIMT)
#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>
#endif

namespace ssamba {

#if defined(SSAMBA_SIMT)

class OnDevice {
 public:
  explicit OnDevice(const Tensor&) {
    check_device_is_right(0);
    ++simt::guards;
  }
  OnDevice(const OnDevice&) = delete;
  ~OnDevice() { --simt::guards; }
  Stream stream() const { return {true}; }
};

#else

// The function lives in libtorch_cuda, which a torch for CPUs does not have: so it is looked up, not linked.
inline Stream current_stream(int32_t device) {
  using GetCurrentStream = int32_t (*)(int32_t, void**);
  static const auto get = [] {
    void* torch_cuda = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    return reinterpret_cast<GetCurrentStream>(torch_cuda ? dlsym(torch_cuda, "aoti_torch_get_current_cuda_stream")
                                                         : nullptr);
  }();
  void* stream = nullptr;
  check(get && get(device, &stream) == 0, "ssamba: torch does not tell its current CUDA stream; expected a CUDA build ",
        "of torch 2.11 or newer");
  return static_cast<Stream>(stream);
}

class OnDevice {
 public:
  explicit OnDevice(const Tensor& x) : guard_(x.get_device_index()), stream_(current_stream(x.get_device_index())) {
    check_device_is_right(x.get_device_index());
  }
  Stream stream() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  Stream stream_;
};

#endif

}  // namespace ssamba
