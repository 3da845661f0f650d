// Neighbouring elements that one thread loads and stores at once, and the types they are computed in.
#pragma once

#include "device.cuh"

namespace ssamba {

template <typename in_t>
struct AccumulationType {
  using type = float;
};
template <>
struct AccumulationType<double> {
  using type = double;
};
template <typename in_t>
using Acc = typename AccumulationType<in_t>::type;

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(__half x) { return __half2float(x); }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename in_t>
__device__ __forceinline__ in_t narrow(Acc<in_t> x) {
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

template <int kBytes>
struct WordOf;
template <>
struct WordOf<2> {
  using type = unsigned short;
};
template <>
struct WordOf<4> {
  using type = unsigned;
};
template <>
struct WordOf<8> {
  using type = uint2;
};
template <>
struct WordOf<16> {
  using type = uint4;
};

template <typename T, int kCount>
union Pack {
  static constexpr int kBytes = kCount * int(sizeof(T));
  static constexpr int kWordBytes = kBytes < 16 ? kBytes : 16;
  using Word = typename WordOf<kWordBytes>::type;
  Word words[kBytes / kWordBytes];
  T values[kCount];
};

// From an address that is a multiple of the pack's word.
template <int kCount, typename T>
__device__ __forceinline__ Pack<T, kCount> load_words(const T* from) {
  using P = Pack<T, kCount>;
  P pack;
#pragma unroll
  for (int i = 0; i < P::kBytes / P::kWordBytes; ++i)
    pack.words[i] = reinterpret_cast<const typename P::Word*>(from)[i];
  return pack;
}

template <typename P>
__device__ __forceinline__ bool is_aligned(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % P::kWordBytes == 0;
}

// The first `count` of kCount elements, zeros behind them. Whole packs at a multiple of their word go in one access,
// all others element by element.
template <int kCount, typename T>
__device__ __forceinline__ Pack<T, kCount> load_pack(const T* from, int64_t count) {
  using P = Pack<T, kCount>;
  if (count >= kCount && is_aligned<P>(from)) return load_words<kCount>(from);
  P pack;
#pragma unroll
  for (int i = 0; i < kCount; ++i) pack.values[i] = i < count ? from[i] : narrow<T>(0);
  return pack;
}

template <typename T, int kCount>
__device__ __forceinline__ void store_pack(T* to, const Acc<T> (&values)[kCount], int64_t count) {
  using P = Pack<T, kCount>;
  P pack;
#pragma unroll
  for (int i = 0; i < kCount; ++i) pack.values[i] = narrow<T>(values[i]);
  if (count >= kCount && is_aligned<P>(to)) {
#pragma unroll
    for (int i = 0; i < P::kBytes / P::kWordBytes; ++i) reinterpret_cast<typename P::Word*>(to)[i] = pack.words[i];
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if (i < count) to[i] = pack.values[i];
  }
}

}  // namespace ssamba
