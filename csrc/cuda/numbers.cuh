// Element types on a GPU: widening, narrowing, and packs of neighbouring channels that are read and written at once.
#pragma once

#include "../dtype.h"
#include "device.cuh"

namespace ssamba {

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(__half x) { return __half2float(x); }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T>
__device__ __forceinline__ T narrow(Acc<T> x) {
  return x;
}
template <>
__device__ __forceinline__ __half narrow<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

// 1 / (1 + e^-x).
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + fast_exp2(x * -1.44269504f)); }
__device__ __forceinline__ double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

// kCount neighbouring elements, aligned to their size, 16 bytes at most: longer packs are read in pieces of 16.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Pack {
  static constexpr int kBytes = int(sizeof(T)) * kCount;
  T at[kCount];
};

template <typename T, int kCount>
__device__ __forceinline__ Pack<T, kCount> load_pack(const T* from) {
  using P = Pack<T, kCount>;
  P pack;
  if constexpr (P::kBytes % 16 == 0) {
#pragma unroll
    for (int i = 0; i < P::kBytes / 16; ++i)
      reinterpret_cast<uint4*>(&pack)[i] = reinterpret_cast<const uint4*>(from)[i];
  } else if constexpr (P::kBytes == 8) {
    reinterpret_cast<uint2&>(pack) = *reinterpret_cast<const uint2*>(from);
  } else if constexpr (P::kBytes == 4) {
    reinterpret_cast<unsigned&>(pack) = *reinterpret_cast<const unsigned*>(from);
  } else {
    static_assert(kCount == 1);
    pack.at[0] = *from;
  }
  return pack;
}

template <typename T, int kCount>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, kCount>& pack) {
  using P = Pack<T, kCount>;
  if constexpr (P::kBytes % 16 == 0) {
#pragma unroll
    for (int i = 0; i < P::kBytes / 16; ++i) reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(&pack)[i];
  } else if constexpr (P::kBytes == 8) {
    *reinterpret_cast<uint2*>(to) = reinterpret_cast<const uint2&>(pack);
  } else if constexpr (P::kBytes == 4) {
    *reinterpret_cast<unsigned*>(to) = reinterpret_cast<const unsigned&>(pack);
  } else {
    static_assert(kCount == 1);
    *to = pack.at[0];
  }
}

}  // namespace ssamba
