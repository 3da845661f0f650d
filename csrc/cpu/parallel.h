// Work on torch's own thread pool, so that torch.set_num_threads rules.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cstdint>

namespace ssamba {

// Calls body(begin, end) on disjoint ranges that cover [0, items).
template <typename Body>
void parallel_items(int64_t items, const Body& body) {
  if (items > 0) torch::stable::parallel_for(0, items, 1, body);
}

inline int64_t thread_count() { return int64_t(torch::stable::get_num_threads()); }

}  // namespace ssamba
