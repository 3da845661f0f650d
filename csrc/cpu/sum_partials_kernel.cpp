// Adds partial sums in order, so that a gradient has the same bits whatever the number of threads.
//
// partials (count, size) -> out (size,). One work item is a block of neighbouring columns.

#include "isa.h"
#include "kernels.h"
#include "simd.h"

namespace ssamba {
namespace {

template <typename acc_t>
void sum_columns(const acc_t* partials, int64_t count, int64_t size, acc_t* out, int64_t begin, int64_t end) {
  for (int64_t column = begin; column < end; column += kLanes<acc_t>) {
    const int lanes = int(end - column < kLanes<acc_t> ? end - column : kLanes<acc_t>);
    Vec<acc_t> sum{};
    for (int64_t i = 0; i < count; ++i) sum += load_widened(partials + i * size + column, lanes);
    store_narrowed(out + column, sum, lanes);
  }
}

}  // namespace

template <>
void launch_sum_partials<kIsa>(Dtype acc, const void* partials, int64_t count, int64_t size, void* out, int64_t begin,
                               int64_t end) {
  if (acc == Dtype::float64)
    sum_columns(static_cast<const double*>(partials), count, size, static_cast<double*>(out), begin, end);
  else
    sum_columns(static_cast<const float*>(partials), count, size, static_cast<float*>(out), begin, end);
}

}  // namespace ssamba
