// A worker's scratch memory: one aligned block, handed out piece by piece, each aligned for the widest vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "../out_of_memory.h"

namespace ssamba {
namespace {

// A thread's block stays with it from call to call, as fresh pages cost a fault each: for a few megabytes that is a
// tenth of a scan. Larger blocks are given back at once.
class ScratchBlock {
 public:
  bool lent = false;

  ~ScratchBlock() { resize(0); }

  void* grow(std::size_t bytes) {
    if (bytes > bytes_) resize(bytes);
    return data_;
  }
  void shrink() {
    if (bytes_ > kKeptBytes) resize(0);
  }

 private:
  static constexpr std::size_t kAlign = 64, kKeptBytes = 8 << 20;

  void resize(std::size_t bytes) {
    if (data_) operator delete(data_, std::align_val_t(kAlign));
    data_ = nullptr, bytes_ = 0;
    if (bytes) data_ = operator new(bytes, std::align_val_t(kAlign), std::nothrow);
    if (bytes && !data_) throw_out_of_memory(true, int64_t(bytes));
    bytes_ = bytes;
  }

  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t elements) : block_(kept_.lent ? own_ : kept_) {
    data_ = static_cast<T*>(block_.grow(std::size_t(elements + kSlack) * sizeof(T)));
    block_.lent = true;
  }
  ~Scratch() {
    block_.lent = false;
    block_.shrink();
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* take(int64_t elements) {
    constexpr int64_t step = 64 / int64_t(sizeof(T));
    T* piece = data_ + used_;
    used_ += (elements + step - 1) / step * step;
    return piece;
  }

 private:
  static constexpr int64_t kSlack = 512;  // what rounding up two dozen pieces can add
  static thread_local ScratchBlock kept_;
  ScratchBlock own_;  // if the thread's block is lent to another scratch of this call
  ScratchBlock& block_;
  T* data_;
  int64_t used_ = 0;
};

template <typename T>
thread_local ScratchBlock Scratch<T>::kept_;

}  // namespace
}  // namespace ssamba
