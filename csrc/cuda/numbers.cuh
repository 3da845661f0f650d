// Element types on a GPU: widening, narrowing, and packs of neighbouring channels that are read and written at once.
#pragma once

#include <cstring>

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

// The bits of a number of half precision in the lower half of a word.
template <typename T>
__device__ __forceinline__ T from_bits(unsigned bits) {
  const unsigned short half = static_cast<unsigned short>(bits);
  T x;
  memcpy(&x, &half, sizeof(x));
  return x;
}
template <typename T>
__device__ __forceinline__ unsigned to_bits(T x) {
  unsigned short half;
  memcpy(&half, &x, sizeof(x));
  return half;
}

template <typename Pair>
__device__ __forceinline__ unsigned word_of(Pair pair) {
  unsigned word;
  memcpy(&word, &pair, sizeof(word));
  return word;
}

// Two values narrowed into a word, the first in its lower half.
template <typename T>
__device__ __forceinline__ unsigned narrow_pair(float low, float high);
template <>
__device__ __forceinline__ unsigned narrow_pair<__half>(float low, float high) {
  return word_of(__floats2half2_rn(low, high));
}
template <>
__device__ __forceinline__ unsigned narrow_pair<__nv_bfloat16>(float low, float high) {
  return word_of(__floats2bfloat162_rn(low, high));
}

// 1 / (1 + e^-x).
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + fast_exp2(x * -1.44269504f)); }
__device__ __forceinline__ double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

// kCount neighbouring elements, aligned to their size, 16 bytes at most: longer packs are read in pieces of 16.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Pack {
  static constexpr int kBytes = int(sizeof(T)) * kCount;
  T elements[kCount];

  __device__ __forceinline__ T& at(int i) { return elements[i]; }
  __device__ __forceinline__ const T& at(int i) const { return elements[i]; }
};

// Two of half precision to a word, taken out where they are used. If each had a register of its own, a branch around a
// load would have to wait for what it loads, to take it apart.
template <typename T, int kCount>
  requires(sizeof(T) == 2 && kCount % 2 == 0)
struct alignas(2 * kCount < 16 ? 2 * kCount : 16) Pack<T, kCount> {
  static constexpr int kBytes = 2 * kCount;
  unsigned words[kCount / 2];

  __device__ __forceinline__ T at(int i) const { return from_bits<T>(words[i / 2] >> 16 * (i % 2)); }
};

// The pack of elements that come one by one; element(i) gives the i-th.
template <typename T, int kCount, typename Element>
__device__ __forceinline__ Pack<T, kCount> make_pack(const Element& element) {
  Pack<T, kCount> pack;
  if constexpr (sizeof(T) == 2 && kCount % 2 == 0) {
#pragma unroll
    for (int i = 0; i < kCount; i += 2) pack.words[i / 2] = to_bits(element(i)) | to_bits(element(i + 1)) << 16;
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) pack.elements[i] = element(i);
  }
  return pack;
}

template <typename T, int kCount>
__device__ __forceinline__ Pack<Acc<T>, kCount> widen_pack(const Pack<T, kCount>& pack) {
  return make_pack<Acc<T>, kCount>([&](int i) { return widen(pack.at(i)); });
}

// The pack of values, narrowed; two of half precision at once.
template <typename T, int kCount>
__device__ __forceinline__ Pack<T, kCount> narrow_pack(const Acc<T> (&values)[kCount]) {
  if constexpr (sizeof(T) == 2 && kCount % 2 == 0) {
    Pack<T, kCount> pack;
#pragma unroll
    for (int i = 0; i < kCount; i += 2) pack.words[i / 2] = narrow_pair<T>(values[i], values[i + 1]);
    return pack;
  } else {
    return make_pack<T, kCount>([&](int i) { return narrow<T>(values[i]); });
  }
}

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
    pack.elements[0] = *from;
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
    *to = pack.elements[0];
  }
}

}  // namespace ssamba
