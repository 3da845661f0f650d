// Work on torch's own thread pool, so that torch.set_num_threads rules.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include "../torch_calls.h"

namespace ssamba {

inline int64_t thread_count() { return int64_t(torch::stable::get_num_threads()); }

// Calls body(begin, end) on disjoint ranges that cover [0, items). Threads take a few items at a time, as they come to
// it: one that has to share its processor with another program does less. The first exception of a body comes out as it
// is, which torch would not let through.
template <typename Body>
void parallel_items(int64_t items, const Body& body) {
  constexpr int64_t kTurns = 8;  // of a thread, where there are items enough
  const int64_t threads = std::min(thread_count(), items);
  if (threads <= 1) {
    if (items > 0) body(int64_t(0), items);
    return;
  }
  const int64_t turn = std::max<int64_t>(1, items / (threads * kTurns));
  std::atomic<int64_t> next{0};
  std::atomic_flag failed;
  std::exception_ptr failure;
  torch::stable::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    try {
      for (int64_t begin; (begin = next.fetch_add(turn)) < items;) body(begin, std::min(begin + turn, items));
    } catch (...) {
      next = items;
      if (!failed.test_and_set()) failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

}  // namespace ssamba
