// What ops with packed matrices share: checks of their tensors, packing, and rows shared among threads.
#pragma once

#include <algorithm>
#include <vector>

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

// A matrix to be packed: output o of input k is at matrix[o * output_stride + k * input_stride].
struct Packing {
  const float* matrix;
  int64_t outputs, inner, output_stride, input_stride;

  int64_t panels() const { return panels_of(outputs); }
  int64_t elements() const { return panels() * kPanel * inner; }
};

// A few inputs at a time, so that a line of memory that was read or written is still at hand when its next number is.
inline void pack_panel(const Packing& w, int64_t panel, float* out) {
  constexpr int64_t kInputs = 16;
  const int64_t first = panel * kPanel, count = std::min(w.outputs - first, kPanel);
  if (count < kPanel) std::fill_n(out, w.inner * kPanel, 0.0f);
  for (int64_t begin = 0; begin < w.inner; begin += kInputs) {
    const int64_t end = std::min(begin + kInputs, w.inner);
    for (int64_t o = 0; o < count; ++o) {
      const float* in = w.matrix + (first + o) * w.output_stride;
      for (int64_t k = begin; k < end; ++k) out[k * kPanel + o] = in[k * w.input_stride];
    }
  }
}

// Packed matrices, one after the other in memory of their own.
class PackedMatrices {
 public:
  PackedMatrices(std::initializer_list<Packing> matrices, const Tensor& like) {
    int64_t elements = 0;
    for (const Packing& w : matrices) {
      first_.push_back(elements);
      elements += w.elements();
    }
    memory_ = empty({elements}, ScalarType::Float, like);
    std::vector<std::pair<int64_t, int64_t>> panels;  // matrix and panel of it
    for (int64_t i = 0; i < int64_t(matrices.size()); ++i)
      for (int64_t p = 0; p < matrices.begin()[i].panels(); ++p) panels.emplace_back(i, p);
    parallel_items(int64_t(panels.size()), [&](int64_t begin, int64_t end) {
      for (; begin < end; ++begin) {
        const auto [i, p] = panels[std::size_t(begin)];
        const Packing& w = matrices.begin()[i];
        pack_panel(w, p, mutable_floats(memory_) + first_[std::size_t(i)] + p * kPanel * w.inner);
      }
    });
  }
  const float* operator[](std::size_t i) const { return floats(memory_) + first_[i]; }

 private:
  std::vector<int64_t> first_;
  Tensor memory_;
};

}  // namespace ssamba
