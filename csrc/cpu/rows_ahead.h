// Fetches the rows of the next tile while this one is worked on: left alone, waiting for memory takes as long as the
// scan. Line by line in the order in which rows lie in memory, so that the processor's own prefetchers see a stream.
#pragma once

#include "simd.h"

namespace ssamba {
namespace {

template <int kTensors>
class RowsAhead {
 public:
  // Rows of `vectors` channel vectors, `vector_bytes` each, for `rows` steps of a walk.
  RowsAhead(int64_t rows, int64_t vectors, int64_t vector_bytes)
      : left_(rows * vectors), vectors_(vectors), vector_bytes_(vector_bytes) {}

  // The first row of a tensor, and the bytes from one step's row to the next one's.
  void add(const void* first, int64_t row_bytes) {
    for (int i = count_++; i < kTensors; ++i) {  // what is not used repeats the last tensor: cheaper than a branch
      next_[i] = uintptr_t(first);
      skip_[i] = uintptr_t(row_bytes - vectors_ * vector_bytes_);
    }
  }

  void fetch() {
    if (left_ == 0) return;
    --left_;
    const bool row_ends = ++vector_ == vectors_;
    vector_ = row_ends ? 0 : vector_;
    for (int i = 0; i < kTensors; ++i) {
      __builtin_prefetch(reinterpret_cast<const void*>(next_[i]));
      next_[i] += uintptr_t(vector_bytes_) + (row_ends ? skip_[i] : 0);
    }
  }

 private:
  uintptr_t next_[kTensors] = {}, skip_[kTensors] = {};
  int count_ = 0;
  int64_t left_, vectors_, vector_ = 0, vector_bytes_;
};

}  // namespace
}  // namespace ssamba
