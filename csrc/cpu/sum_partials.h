// The second pass of gradients that are sums: partial sums to tensors.
#pragma once

#include "../tensor.h"
#include "kernels.h"
#include "parallel.h"

namespace ssamba {

// partials (count, size), accumulators -> their sum over the first axis, in order.
inline void sum_rows(Dtype acc, const void* partials, int64_t count, int64_t size, void* out) {
  constexpr int64_t kColumns = 1024;  // of one work item
  parallel_items((size + kColumns - 1) / kColumns, [&](int64_t begin, int64_t end) {
    SSAMBA_LAUNCH(launch_sum_partials, acc, partials, count, size, out, begin * kColumns,
                  end * kColumns < size ? end * kColumns : size);
  });
}

// The same for tensors, in the given shape.
inline Tensor sum_partials(const Tensor& partials, std::initializer_list<int64_t> shape) {
  const Dtype acc = partials.scalar_type() == ScalarType::Double ? Dtype::float64 : Dtype::float32;
  Tensor out = empty(shape, partials.scalar_type(), partials);
  sum_rows(acc, partials.const_data_ptr(), partials.size(0), out.numel(), out.mutable_data_ptr());
  return out;
}

}  // namespace ssamba
