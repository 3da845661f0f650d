// A worker's scratch memory: one aligned block, handed out piece by piece, each aligned for the widest vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace ssamba {
namespace {

template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t elements)
      : data_(static_cast<T*>(operator new(std::size_t(elements + kSlack) * sizeof(T), std::align_val_t(kAlign)))) {}
  ~Scratch() { operator delete(data_, std::align_val_t(kAlign)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* take(int64_t elements) {
    constexpr int64_t step = kAlign / int64_t(sizeof(T));
    T* piece = data_ + used_;
    used_ += (elements + step - 1) / step * step;
    return piece;
  }

 private:
  static constexpr int64_t kAlign = 64;
  static constexpr int64_t kSlack = 512;  // what rounding up two dozen pieces can add
  T* data_;
  int64_t used_ = 0;
};

}  // namespace
}  // namespace ssamba
