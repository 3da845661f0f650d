// The second pass of gradients that are sums: partial sums to tensors.
#pragma once

#include "../tensor.h"
#include "kernels.h"
#include "parallel.h"

namespace ssamba {

// partials (count, ...), accumulators -> their sum over the first axis, in order, in the given shape.
inline Tensor sum_partials(const Tensor& partials, std::initializer_list<int64_t> shape) {
  constexpr int64_t kColumns = 1024;  // of one work item
  const Dtype acc = partials.scalar_type() == ScalarType::Double ? Dtype::float64 : Dtype::float32;
  Tensor out = empty(shape, partials.scalar_type(), partials);
  const int64_t count = partials.size(0), size = out.numel();
  void* sums = out.mutable_data_ptr();
  parallel_items((size + kColumns - 1) / kColumns, [&](int64_t begin, int64_t end) {
    SSAMBA_LAUNCH(launch_sum_partials, acc, partials.const_data_ptr(), count, size, sums, begin * kColumns,
                  end * kColumns < size ? end * kColumns : size);
  });
  return out;
}

}  // namespace ssamba
