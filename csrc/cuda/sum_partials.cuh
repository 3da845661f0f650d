// The second pass of gradients that are sums: adds partial sums in an order that follows from their number alone.
//
//   partials (count, size) -> out (size,)
//
// A block takes 32 neighbouring columns, one to a lane. Its rows of threads take turns at the partials; their sums meet
// in shared memory and are added in order.
#pragma once

#include "../tensor.h"
#include "dispatch.h"
#include "launch.cuh"

namespace ssamba {
namespace {

constexpr int kSumColumns = 32, kMostSumRows = 16;

template <typename acc_t>
struct SumShared {
  acc_t sums[kMostSumRows][kSumColumns];
};

template <typename acc_t>
__global__ void __launch_bounds__(kSumColumns* kMostSumRows)
    sum_partials_kernel(const acc_t* partials, int64_t count, int64_t size, acc_t* out) {
  SumShared<acc_t>& shared = shared_memory<SumShared<acc_t>>();
  const int rows = int(blockDim.y), row = int(threadIdx.y), lane = int(threadIdx.x);
  const int64_t column = int64_t(blockIdx.x) * kSumColumns + lane;
  acc_t sum = 0;
  if (column < size) {
#pragma unroll 8
    for (int64_t i = row; i < count; i += rows) sum += partials[i * size + column];
  }
  shared.sums[row][lane] = sum;
  __syncthreads();
  if (row > 0 || column >= size) return;
  for (int i = 1; i < rows; ++i) sum += shared.sums[i][lane];
  out[column] = sum;
}

template <typename acc_t>
void launch_sum_partials(const void* partials, int64_t count, int64_t size, void* out, Stream stream) {
  if (size == 0) return;
  const unsigned rows = unsigned(count < 4 ? 1 : count < kMostSumRows ? 4 : kMostSumRows);
  const dim3 grid(unsigned(ceil_divide(size, kSumColumns)));
  launch(sum_partials_kernel<acc_t>, grid, dim3(kSumColumns, rows), sizeof(SumShared<acc_t>), stream,
         static_cast<const acc_t*>(partials), count, size, static_cast<acc_t*>(out));
}

}  // namespace

// partials (count, ...), accumulators -> their sum over the first axis, in the given shape.
inline Tensor sum_partials(const Tensor& partials, std::initializer_list<int64_t> shape, Stream stream) {
  Tensor out = empty(shape, partials.scalar_type(), partials);
  const int64_t count = partials.size(0);
  if (partials.scalar_type() == ScalarType::Double)
    launch_sum_partials<double>(partials.const_data_ptr(), count, out.numel(), out.mutable_data_ptr(), stream);
  else
    launch_sum_partials<float>(partials.const_data_ptr(), count, out.numel(), out.mutable_data_ptr(), stream);
  return out;
}

}  // namespace ssamba
