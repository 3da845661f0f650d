// The order in which threads take turns: the same for the same seed.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace simt {

// An even seed takes any thread that is ready, so that all advance together; an odd seed takes the one that became
// ready last, so that a warp runs ahead of the others as far as it can.
class Order {
 public:
  explicit Order(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1), ahead_(seed % 2 == 1) {}

  template <typename T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  int take(std::vector<int>& ready) {
    if (!ahead_) std::swap(ready.back(), ready[below(ready.size())]);
    const int taken = ready.back();
    ready.pop_back();
    return taken;
  }

 private:
  std::size_t below(std::size_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return std::size_t((state_ >> 32) * n >> 32);
  }

  std::uint64_t state_;
  bool ahead_;
};

}  // namespace simt
