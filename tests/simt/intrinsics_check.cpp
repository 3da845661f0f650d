// What the emulated warp and the half-precision types give, for comparison in Python.

#include "../../csrc/cuda/launch.cuh"
#include "../../csrc/cuda/numbers.cuh"
#include "../../csrc/cuda/on_device.h"
#include "../../csrc/registration.h"

namespace ssamba {
namespace {

constexpr int kLanes = 32;
constexpr unsigned kAll = 0xffffffffu, kEven = 0x55555555u;

// One row of 32 results for each call.
__global__ void warp_kernel(const float* x, float* out) {
  const int lane = int(threadIdx.x);
  const float value = x[lane];
  const auto row = [&](int number, float result) { out[number * kLanes + lane] = result; };
  row(0, __shfl_sync(kAll, value, (lane * 7) % 64, 8));
  row(1, __shfl_up_sync(kAll, value, 3));
  row(2, __shfl_down_sync(kAll, value, 5, 16));
  row(3, __shfl_xor_sync(kAll, value, 9));
  row(4, __shfl_xor_sync(kAll, value, 24, 16));
  row(5, float(__shfl_sync(kAll, double(value) + 0.5, 31 - lane)));
  row(6, float(__shfl_sync(kAll, unsigned(lane) * 3u, 1)));
  row(7, float(__ballot_sync(kAll, lane % 8 == 2)));
  row(8, float(__any_sync(kAll, lane == 9)));
  row(9, float(__all_sync(kAll, lane != 9)));
  row(10, lane % 2 ? -1.0f : float(__ballot_sync(kEven, lane < 16)));
}

template <typename in_t>
__global__ void round_kernel(const float* x, float* out, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = widen(narrow<in_t>(x[i]));
}

// 2^x, and 1 / x.
__global__ void approximate_kernel(const float* x, float* out, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = fast_exp2(x[i]), out[n + i] = __fdividef(1.0f, x[i]);
}

Tensor approximate(Tensor x) {
  Tensor out = empty({2, x.size(0)}, x.scalar_type(), x);
  const int n = int(x.numel());
  launch(approximate_kernel, dim3(unsigned(n + 63) / 64), dim3(64), 0, OnDevice(x).stream(),
         static_cast<const float*>(x.const_data_ptr()), static_cast<float*>(out.mutable_data_ptr()), n);
  return out;
}

Tensor warp_calls(Tensor x) {
  constexpr int kCalls = 11;
  Tensor out = empty({kCalls, kLanes}, x.scalar_type(), x);
  launch(warp_kernel, dim3(1), dim3(kLanes), 0, OnDevice(x).stream(), static_cast<const float*>(x.const_data_ptr()),
         static_cast<float*>(out.mutable_data_ptr()));
  return out;
}

template <typename in_t>
Tensor rounded(Tensor x) {
  Tensor out = empty({x.size(0)}, x.scalar_type(), x);
  const int n = int(x.numel());
  launch(round_kernel<in_t>, dim3(unsigned(n + 63) / 64), dim3(64), 0, OnDevice(x).stream(),
         static_cast<const float*>(x.const_data_ptr()), static_cast<float*>(out.mutable_data_ptr()), n);
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY(ssamba_simt_intrinsics, m) {
  m.def("warp_calls(Tensor x) -> Tensor");
  m.def("approximate(Tensor x) -> Tensor");
  m.def("rounded_to_half(Tensor x) -> Tensor");
  m.def("rounded_to_bfloat16(Tensor x) -> Tensor");
}
STABLE_TORCH_LIBRARY_IMPL(ssamba_simt_intrinsics, CPU, m) {
  m.impl("warp_calls", TORCH_BOX(&warp_calls));
  m.impl("approximate", TORCH_BOX(&approximate));
  m.impl("rounded_to_half", TORCH_BOX(&rounded<__half>));
  m.impl("rounded_to_bfloat16", TORCH_BOX(&rounded<__nv_bfloat16>));
}

}  // namespace ssamba
