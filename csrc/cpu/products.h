// What ops with packed matrices share: checks of their tensors, and rows shared among threads.
#pragma once

#include <algorithm>

#include "../product.h"
#include "../tensor.h"
#include "isa.h"
#include "kernels.h"
#include "parallel.h"

namespace ssamba {

inline const float* floats(const Tensor& x) { return static_cast<const float*>(x.const_data_ptr()); }
inline float* mutable_floats(Tensor& x) { return static_cast<float*>(x.mutable_data_ptr()); }

inline void check_floats(const char* op, const char* name, const Tensor& x, std::initializer_list<int64_t> shape,
                         const char* letters) {
  check_shape(op, name, x, shape, letters);
  check_dtype(op, name, x, ScalarType::Float, "which is all that this op computes in");
}

// Packed matrices are as large as a model: they are never copied.
inline void check_packed(const char* op, const char* name, const Tensor& x, std::initializer_list<int64_t> shape,
                         const char* letters) {
  check_floats(op, name, x, shape, letters);
  check(x.is_contiguous(), op, ": ", name, " is not contiguous; expected a packed matrix as pack_matrix makes it");
}

// How many rows one item takes, so that all threads have the same: whole blocks of rows, about 64, as each item reads
// the matrix from afar. A row's bits do not depend on it.
inline int64_t rows_of_item(int64_t rows) {
  constexpr int64_t kRows = 64, kBlock = 6;  // kBlock: what every level's blocks are multiples of
  const int64_t threads = thread_count(),
                turns = std::max<int64_t>(1, (rows + threads * kRows / 2) / (threads * kRows));
  const int64_t even = (rows + threads * turns - 1) / (threads * turns);
  return std::max(2 * kBlock, (even + kBlock - 1) / kBlock * kBlock);
}

// Calls body(begin, end) for stretches of `rows`, on all threads.
template <typename Body>
void parallel_rows(int64_t rows, const Body& body) {
  const int64_t item = rows_of_item(rows);
  parallel_items((rows + item - 1) / item, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i * item, std::min((i + 1) * item, rows));
  });
}

inline void multiply(const ProductArgs& args, int64_t begin, int64_t end) {
  SSAMBA_LAUNCH(launch_product, args, begin, end);
}

}  // namespace ssamba
