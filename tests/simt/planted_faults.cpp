// Small kernels that are right, and the same with a fault planted: the emulator's own tests. Each op runs one kernel on
// x (n,), one block of n threads, and returns what it wrote.

#include "../../csrc/cuda/launch.cuh"
#include "../../csrc/cuda/on_device.h"
#include "../../csrc/registration.h"

namespace ssamba {
namespace {

enum class Plant {
  none,
  missing_barrier,
  off_by_one_store,
  unwritten_output,
  divergent_barrier,
  different_barriers,
  shared_out_of_bounds,
  shared_too_small,
  early_exit,
  lane_left_out,
  different_calls,
  missing_warp_barrier,
  misaligned,
  empty_grid,
  unwritten_shared,
};

struct Shared {
  float values[256];
};

// The sum of the block's values, by halves through shared memory; every thread writes it plus its own value.
__global__ void sum_kernel(const float* x, float* out, int n, Plant plant) {
  Shared& shared = shared_memory<Shared>();
  const int i = int(threadIdx.x);
  if (plant != Plant::unwritten_shared || i != 5) shared.values[i] = x[i];
  for (int half = n / 2; half > 0; half /= 2) {
    if (plant == Plant::divergent_barrier && i == 70) return;
    if (plant == Plant::different_barriers && i >= 32)
      __syncthreads();
    else if (plant != Plant::missing_barrier)
      __syncthreads();
    if (i < half) shared.values[i] += shared.values[i + half];
  }
  __syncthreads();
  const int behind = plant == Plant::shared_out_of_bounds ? 256 : 0;
  if (plant == Plant::unwritten_output && i == n - 1) return;
  out[plant == Plant::off_by_one_store ? i + 1 : i] = shared.values[behind] + x[i];
}

// The same for one warp, by shuffles.
__global__ void warp_sum_kernel(const float* x, float* out, Plant plant) {
  const int i = int(threadIdx.x);
  const unsigned mask = plant == Plant::lane_left_out ? 0x7fffffffu : 0xffffffffu;
  float sum = x[i];
  if (plant == Plant::early_exit && i == 3) return;
  if (plant == Plant::different_calls && i == 5) __syncwarp();
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(mask, sum, lanes);
  out[i] = sum + x[i];
}

// Neighbours in a warp hand values on through shared memory.
__global__ void neighbour_kernel(const float* x, float* out, Plant plant) {
  Shared& shared = shared_memory<Shared>();
  const int i = int(threadIdx.x);
  shared.values[i] = x[i];
  if (plant != Plant::missing_warp_barrier) __syncwarp();
  out[i] = shared.values[i ^ 1];
}

__global__ void copy_kernel(const float* x, float* out, int n, int shift) {
  const int i = int(threadIdx.x) * 4 + shift;
  if (i + 4 <= n) *reinterpret_cast<float4*>(out + i) = *reinterpret_cast<const float4*>(x + i);
}

Tensor run(const char* op, const Tensor& x, const Tensor& out, int64_t plant_number) {
  const OnDevice device(x);
  const Plant plant = Plant(plant_number);
  const auto* in = static_cast<const float*>(x.const_data_ptr());
  auto* to = static_cast<float*>(out.mutable_data_ptr());
  const int n = int(x.numel());
  const std::string name = op;
  const std::size_t bytes = plant == Plant::shared_too_small ? sizeof(Shared) - 4 : sizeof(Shared);
  if (name == "sum")
    launch(sum_kernel, dim3(plant == Plant::empty_grid ? 0 : 1), dim3(n), bytes, device.stream(), in, to, n, plant);
  if (name == "warp_sum") launch(warp_sum_kernel, dim3(1), dim3(32), 0, device.stream(), in, to, plant);
  if (name == "neighbour") launch(neighbour_kernel, dim3(1), dim3(32), bytes, device.stream(), in, to, plant);
  if (name == "copy")
    launch(copy_kernel, dim3(1), dim3(32), 0, device.stream(), in, to, n, plant == Plant::misaligned ? 1 : 0);
  return out;
}

Tensor sum(Tensor x, int64_t plant) { return run("sum", x, empty({x.size(0)}, x.scalar_type(), x), plant); }
Tensor warp_sum(Tensor x, int64_t plant) { return run("warp_sum", x, empty({x.size(0)}, x.scalar_type(), x), plant); }
Tensor neighbour(Tensor x, int64_t plant) { return run("neighbour", x, empty({x.size(0)}, x.scalar_type(), x), plant); }
Tensor copy(Tensor x, int64_t plant) { return run("copy", x, empty({x.size(0)}, x.scalar_type(), x), plant); }

}  // namespace

STABLE_TORCH_LIBRARY(ssamba_simt_faults, m) {
  m.def("sum(Tensor x, int plant) -> Tensor");
  m.def("warp_sum(Tensor x, int plant) -> Tensor");
  m.def("neighbour(Tensor x, int plant) -> Tensor");
  m.def("copy(Tensor x, int plant) -> Tensor");
}
STABLE_TORCH_LIBRARY_IMPL(ssamba_simt_faults, CPU, m) {
  m.impl("sum", TORCH_BOX(&sum));
  m.impl("warp_sum", TORCH_BOX(&warp_sum));
  m.impl("neighbour", TORCH_BOX(&neighbour));
  m.impl("copy", TORCH_BOX(&copy));
}

}  // namespace ssamba
