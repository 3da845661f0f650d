// Small kernels that are right, and the same with a fault planted: the emulator's own tests. Each op runs one kernel on
// x (n,) and returns what it wrote.

#include <optional>
#include <string>

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
  missing_global_barrier,
  overlapping_blocks,
  block_reads_another,
  not_atomic,
  missing_wait,
  wait_for_too_few,
  missing_barrier_after_wait,
  grid_too_high,
  default_stream,
  no_device,
  beyond_a_row,
  unshared_sum,
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

// Threads hand values on to the other end of the block through the tensor that they write.
__global__ void exchange_kernel(const float* x, float* out, int n, Plant plant) {
  const int i = int(threadIdx.x);
  out[i] = x[n - 1 - i];
  if (plant != Plant::missing_global_barrier) __syncthreads();
  const float other = out[n - 1 - i];
  __syncthreads();
  out[i] = other;
}

// Blocks of 32 threads take a stretch each, and count themselves.
__global__ void blocks_kernel(const float* x, float* out, int* count, Plant plant) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  out[i] = x[i];
  if (plant == Plant::overlapping_blocks && blockIdx.x == 1 && threadIdx.x == 0) out[i - 1] = x[i - 1];
  if (plant == Plant::block_reads_another && blockIdx.x == 1 && threadIdx.x == 0) out[i] = x[i] + 0 * out[i + 32];
  if (threadIdx.x > 0) return;
  if (plant == Plant::not_atomic)
    ++*count;
  else
    atomicAdd(count, 1);
}

struct alignas(16) Halves {
  float values[2][128];
};

// A table of whose rows one is passed, and a sum in shared memory that all threads add to at once.
struct Table {
  float rows[2][32];
  float sum;
};
__global__ void table_kernel(const float* x, float* out, Plant plant) {
  Table& shared = shared_memory<Table>();
  const int i = int(threadIdx.x);
  shared.rows[1][i] = x[i];
  if (i == 0) shared.sum = 0;
  __syncthreads();
  if (plant == Plant::unshared_sum || i == 0) shared.sum += 1;
  out[i] = plant == Plant::beyond_a_row ? shared.rows[0][32 + i] : shared.rows[1][i];
}

// Two groups of copies, each of which a thread then hands on to its neighbour.
__global__ void copies_kernel(const float* x, float* out, Plant plant) {
  Halves& shared = shared_memory<Halves>();
  const int i = int(threadIdx.x);
  for (int half = 0; half < 2; ++half) {
    copy_async_16(&shared.values[half][4 * i], x + 128 * half + 4 * i);
    copy_async_commit();
  }
  for (int half = 0; half < 2; ++half) {
    if (half == 0 && plant != Plant::wait_for_too_few)
      copy_async_wait<1>();
    else if (half == 1 && plant != Plant::missing_wait)
      copy_async_wait<0>();
    if (plant != Plant::missing_barrier_after_wait) __syncthreads();
    for (int k = 0; k < 4; ++k) out[128 * half + 4 * (i ^ 1) + k] = shared.values[half][4 * (i ^ 1) + k];
  }
}

Tensor run(const char* op, const Tensor& x, const Tensor& out, int64_t plant_number) {
  const Plant plant = Plant(plant_number);
  std::optional<OnDevice> device;
  if (plant != Plant::no_device) device.emplace(x);
  const Stream stream = plant == Plant::default_stream || !device ? Stream{!device} : device->stream();
  const auto* in = static_cast<const float*>(x.const_data_ptr());
  auto* to = static_cast<float*>(out.mutable_data_ptr());
  const int n = int(x.numel());
  const std::string name = op;
  const std::size_t bytes = plant == Plant::shared_too_small ? sizeof(Shared) - 4 : sizeof(Shared);
  if (name == "sum") {
    const dim3 grid(plant == Plant::empty_grid ? 0 : 1, plant == Plant::grid_too_high ? kMostBlocksY + 1 : 1);
    launch(sum_kernel, grid, dim3(n), bytes, stream, in, to, n, plant);
  }
  if (name == "warp_sum") launch(warp_sum_kernel, dim3(1), dim3(32), 0, stream, in, to, plant);
  if (name == "neighbour") launch(neighbour_kernel, dim3(1), dim3(32), bytes, stream, in, to, plant);
  if (name == "copy") launch(copy_kernel, dim3(1), dim3(32), 0, stream, in, to, n, plant == Plant::misaligned ? 1 : 0);
  if (name == "exchange") launch(exchange_kernel, dim3(1), dim3(n), 0, stream, in, to, n, plant);
  if (name == "blocks") {
    int blocks = 0;
    launch(blocks_kernel, dim3(n / 32), dim3(32), 0, stream, in, to, &blocks, plant);
    check(blocks == n / 32, "counted ", blocks, " blocks");
  }
  if (name == "table") launch(table_kernel, dim3(1), dim3(32), sizeof(Table), stream, in, to, plant);
  if (name == "copies") launch(copies_kernel, dim3(1), dim3(32), sizeof(Halves), stream, in, to, plant);
  return out;
}

constexpr const char* kOps[] = {"sum", "warp_sum", "neighbour", "copy", "exchange", "blocks", "copies", "table"};

template <int kOp>
Tensor planted(Tensor x, int64_t plant) {
  return run(kOps[kOp], x, empty({x.size(0)}, x.scalar_type(), x), plant);
}

}  // namespace

STABLE_TORCH_LIBRARY(ssamba_simt_faults, m) {
  for (const char* op : kOps) m.def((std::string(op) + "(Tensor x, int plant) -> Tensor").c_str());
}
STABLE_TORCH_LIBRARY_IMPL(ssamba_simt_faults, CPU, m) {
  m.impl("sum", TORCH_BOX(&planted<0>));
  m.impl("warp_sum", TORCH_BOX(&planted<1>));
  m.impl("neighbour", TORCH_BOX(&planted<2>));
  m.impl("copy", TORCH_BOX(&planted<3>));
  m.impl("exchange", TORCH_BOX(&planted<4>));
  m.impl("blocks", TORCH_BOX(&planted<5>));
  m.impl("copies", TORCH_BOX(&planted<6>));
  m.impl("table", TORCH_BOX(&planted<7>));
}

}  // namespace ssamba
