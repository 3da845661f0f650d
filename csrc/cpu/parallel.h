// Work on torch's own thread pool, so that torch.set_num_threads rules.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>

#include "../torch_calls.h"

namespace ssamba {

// Calls body(begin, end) on disjoint ranges that cover [0, items). The first exception of a body comes out as it is,
// which torch would not let through.
template <typename Body>
void parallel_items(int64_t items, const Body& body) {
  std::atomic_flag failed;
  std::exception_ptr failure;
  const auto range = [&](int64_t begin, int64_t end) {
    try {
      body(begin, end);
    } catch (...) {
      if (!failed.test_and_set()) failure = std::current_exception();
    }
  };
  if (items > 0) torch::stable::parallel_for(0, items, 1, range);
  if (failure) std::rethrow_exception(failure);
}

inline int64_t thread_count() { return int64_t(torch::stable::get_num_threads()); }

}  // namespace ssamba
