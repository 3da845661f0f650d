// The arguments of sample_patch_mask, checked for every device.
#pragma once

#include "sample_patch_mask.h"
#include "tensor.h"

namespace ssamba {

inline void check_range(const char* name, int64_t value, int64_t least, int64_t most, const char* most_name) {
  check(value >= least && value <= most, "sample_patch_mask: ", name, " is ", value, "; expected ", least, " to ",
        most_name, most);
}

inline PatchGrid check_patch_grid(int64_t batch, int64_t rows, int64_t cols, int64_t masked, int64_t min_cluster,
                                  int64_t max_cluster) {
  constexpr int64_t kMost = INT32_MAX;
  check_range("batch", batch, 0, kMost, "");
  check_range("rows", rows, 1, kMost, "");
  check_range("cols", cols, 1, kMost, "");
  check_range("masked", masked, 0, rows * cols, "rows * cols = ");
  check_range("max_cluster", max_cluster, 1, kMost, "");
  check_range("min_cluster", min_cluster, 1, max_cluster, "max_cluster = ");
  return {rows, cols, masked, min_cluster, max_cluster};
}

}  // namespace ssamba
