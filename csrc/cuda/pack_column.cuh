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

// One pack in every row of a tensor: row t begins at `first + t * stride`.
template <typename T, int kCount>
struct PackColumn {
  using value_t = std::remove_const_t<T>;
  T* first;
  int64_t stride;

  __device__ __forceinline__ bool aligned() const {
    return (reinterpret_cast<uintptr_t>(first) | uintptr_t(stride) * sizeof(T)) % alignof(Pack<value_t, kCount>) == 0;
  }

  // Zeros for elements that do not exist, and for a whole row that does not.
  __device__ __forceinline__ Pack<value_t, kCount> load(int row, PackAccess access, bool exists = true) const {
    const T* from = first + unsigned(row) * stride;
    if (exists && access.whole) return load_pack<value_t, kCount>(from);
    Pack<value_t, kCount> pack;
#pragma unroll
    for (int i = 0; i < kCount; ++i) pack.at[i] = exists && i < access.count ? from[i] : narrow<value_t>(0);
    return pack;
  }

  __device__ __forceinline__ void store(int row, PackAccess access, const Acc<T> (&values)[kCount]) const {
    T* to = first + unsigned(row) * stride;
    Pack<T, kCount> pack;
#pragma unroll
    for (int i = 0; i < kCount; ++i) pack.at[i] = narrow<T>(values[i]);
    if (access.whole) return store_pack<T, kCount>(to, pack);
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if (i < access.count) to[i] = pack.at[i];
  }
};

// For columns of which `count` elements from `first` on exist.
template <int kCount, typename... Columns>
__device__ __forceinline__ PackAccess pack_access(int64_t count, const Columns&... columns) {
  return {count < 0 ? 0 : count < kCount ? int(count) : kCount, count >= kCount && (columns.aligned() && ...)};
}

}  // namespace ssamba
