// Packs of neighbouring elements at the edges of tensors.
#pragma once

#include <type_traits>

#include "numbers.cuh"

namespace ssamba {

// How a thread's packs are read and written: `count` elements of them exist, and they go in one access if they are
// whole, that is, full and at multiples of a pack's size; otherwise element by element.
struct PackAccess {
  int count;
  bool whole;
};

// One pack in every row of a tensor: row t begins t strides of bytes behind `first`.
template <typename T, int kCount>
struct PackColumn {
  using value_t = std::remove_const_t<T>;
  T* first;
  unsigned stride;

  __device__ __forceinline__ PackColumn(T* first, int64_t elements) : first(first), stride(elements * sizeof(T)) {}

  __device__ __forceinline__ T* row(int t) const {
    using byte_t = std::conditional_t<std::is_const_v<T>, const char, char>;
    return reinterpret_cast<T*>(reinterpret_cast<byte_t*>(first) + uint64_t(unsigned(t)) * stride);
  }

  __device__ __forceinline__ bool aligned() const {
    return (reinterpret_cast<uintptr_t>(first) | stride) % alignof(Pack<value_t, kCount>) == 0;
  }

  // Where all of the row's packs exist and are whole.
  __device__ __forceinline__ Pack<value_t, kCount> load_whole(int t) const {
    return load_pack<value_t, kCount>(row(t));
  }

  // Zeros for elements that do not exist, and for a whole row that does not.
  __device__ __forceinline__ Pack<value_t, kCount> load(int t, PackAccess access, bool exists = true) const {
    if (!exists) return {};
    if (access.whole) return load_whole(t);
    const T* from = row(t);
    return make_pack<value_t, kCount>([&](int i) { return i < access.count ? from[i] : narrow<value_t>(0); });
  }

  __device__ __forceinline__ void store(int t, PackAccess access, const Acc<T> (&values)[kCount]) const {
    T* to = row(t);
    if (access.whole) return store_pack<T, kCount>(to, narrow_pack<T, kCount>(values));
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if (i < access.count) to[i] = narrow<T>(values[i]);
  }
};

// For columns of which `count` elements from `first` on exist.
template <int kCount, typename... Columns>
__device__ __forceinline__ PackAccess pack_access(int64_t count, const Columns&... columns) {
  return {count < 0 ? 0 : count < kCount ? int(count) : kCount, count >= kCount && (columns.aligned() && ...)};
}

}  // namespace ssamba
