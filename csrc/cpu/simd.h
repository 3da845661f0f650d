// One vector type for every instruction set. A kernel file is compiled once per level with that level's flags; the
// vector extension of GCC and Clang turns the same body into SSE2, AVX2, AVX-512 or NEON code.
//
// Everything here lives in a namespace of its level and nothing uses inline functions of the standard library: a
// function compiled for AVX-512 must never be the copy that the linker keeps for every level.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../dtype.h"
#include "../logarithms.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define SSAMBA_LANES _Pragma("GCC unroll 16")

namespace ssamba {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kVectorRegisters = 32;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
constexpr int kVectorRegisters = 16;
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16;
constexpr int kVectorRegisters = 32;
#else
constexpr int kVectorBytes = 16;
constexpr int kVectorRegisters = 16;
#endif

template <typename T>
struct VecOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
};
template <typename T>
using Vec = typename VecOf<T>::type;
template <typename T>
constexpr int kLanes = kVectorBytes / int(sizeof(T));

// The same number of lanes in another element type.
template <typename T, typename Like>
struct VecLikeOf {
  typedef T type __attribute__((vector_size(kLanes<Like> * int(sizeof(T)))));
};
template <typename T, typename Like>
using VecLike = typename VecLikeOf<T, Like>::type;

#if defined(__aarch64__)
using Half = __fp16;  // GCC knows _Float16 on ARM only from version 13
#else
using Half = _Float16;
#endif
struct Bfloat16 {
  uint16_t bits;
};

template <typename in_t>
struct Type {
  using type = in_t;
};

// Calls `body` with the C++ type of `dtype`.
template <typename Body>
inline void dispatch_dtype(Dtype dtype, Body body) {
  switch (dtype) {
    case Dtype::float32: return body(Type<float>{});
    case Dtype::float64: return body(Type<double>{});
    case Dtype::float16: return body(Type<Half>{});
    case Dtype::bfloat16: return body(Type<Bfloat16>{});
  }
}

template <typename T>
inline Vec<T> broadcast(T x) {
  return x - Vec<T>{};
}

template <typename T>
inline Vec<T> load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <typename T>
inline void store(T* p, Vec<T> v) {
  __builtin_memcpy(p, &v, sizeof v);
}

inline float widen(float x) { return x; }
inline double widen(double x) { return x; }
inline float widen(Half x) { return float(x); }
inline float widen(Bfloat16 x) {
  const uint32_t bits = uint32_t(x.bits) << 16;
  float f;
  __builtin_memcpy(&f, &bits, sizeof f);
  return f;
}

// The first `count` elements of a vector, which may be all of them; the lanes behind them are zero.
template <typename V, typename T>
inline V load_first(const T* p, int count) {
  constexpr int lanes = int(sizeof(V) / sizeof(T));
  V v{};
  if (count >= lanes) {
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const uint32_t mask = (1u << count) - 1;
  if constexpr (sizeof(V) == 64 && sizeof(T) == 4) return V(_mm512_maskz_loadu_epi32(__mmask16(mask), p));
  if constexpr (sizeof(V) == 64 && sizeof(T) == 8) return V(_mm512_maskz_loadu_epi64(__mmask8(mask), p));
  if constexpr (sizeof(V) == 32 && sizeof(T) == 2) return V(_mm256_maskz_loadu_epi16(__mmask16(mask), p));
#endif
  for (int i = 0; i < count; ++i) v[i] = p[i];
  return v;
}

template <typename V, typename T>
inline void store_first(T* p, V v, int count) {
  constexpr int lanes = int(sizeof(V) / sizeof(T));
  if (count >= lanes) {
    __builtin_memcpy(p, &v, sizeof v);
    return;
  }
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const uint32_t mask = (1u << count) - 1;
  if constexpr (sizeof(V) == 64 && sizeof(T) == 4) return _mm512_mask_storeu_epi32(p, __mmask16(mask), __m512i(v));
  if constexpr (sizeof(V) == 64 && sizeof(T) == 8) return _mm512_mask_storeu_epi64(p, __mmask8(mask), __m512i(v));
  if constexpr (sizeof(V) == 32 && sizeof(T) == 2) return _mm256_mask_storeu_epi16(p, __mmask16(mask), __m256i(v));
#endif
  for (int i = 0; i < count; ++i) p[i] = v[i];
}

// `count` values, at most one vector of them, widened; the lanes behind them are zero.
template <typename in_t>
inline Vec<Acc<in_t>> load_widened(const in_t* p, int count) {
  using acc_t = Acc<in_t>;
  if constexpr (sizeof(in_t) == sizeof(acc_t)) {
    return load_first<Vec<acc_t>>(p, count);
  } else if constexpr (__is_same(in_t, Bfloat16)) {
    const auto bits = load_first<VecLike<uint16_t, float>>(&p->bits, count);
#if defined(__AVX512F__)  // the conversion below takes GCC four steps
    return Vec<acc_t>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(__m256i(bits)), 16));
#else
    return Vec<acc_t>(__builtin_convertvector(bits, VecLike<uint32_t, float>) << 16);
#endif
  } else {
    return __builtin_convertvector(load_first<VecLike<Half, float>>(p, count), Vec<acc_t>);
  }
}

// Rounds to nearest even; a NaN stays a NaN.
template <typename in_t>
inline void store_narrowed(in_t* p, Vec<Acc<in_t>> v, int count) {
  using acc_t = Acc<in_t>;
  if constexpr (sizeof(in_t) == sizeof(acc_t)) {
    store_first(p, v, count);
  } else if constexpr (__is_same(in_t, Bfloat16)) {
    using Bits = VecLike<uint32_t, float>;
    const Bits bits = Bits(v);
    const Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const Bits quiet = Bits{} + 0x7fc0;
    store_first(&p->bits, __builtin_convertvector(v == v ? rounded : quiet, VecLike<uint16_t, float>), count);
  } else {
    store_first(p, __builtin_convertvector(v, VecLike<Half, float>), count);
  }
}

template <typename T>
inline T horizontal_sum(Vec<T> v) {
  T sum = 0;
  for (int i = 0; i < kLanes<T>; ++i) sum += v[i];
  return sum;
}

// 2^x for float: 2^floor(x) times a degree-5 minimax polynomial (relative error 9e-8, exact at both ends).
inline Vec<float> exp2(Vec<float> x) {
#if defined(__AVX512F__)
  const Vec<float> f = Vec<float>(_mm512_reduce_ps(__m512(x), 0x09));  // x - floor(x)
#else
  // Beyond these bounds 2^x is no normal float. Written so that a NaN passes through.
  x = x < -126.0f ? broadcast(-126.0f) : x;
  x = x > 128.0f ? broadcast(128.0f) : x;  // 2^128 comes out as infinity
  using Int = VecLike<int32_t, float>;
  Int whole = __builtin_convertvector(x, Int);
  whole += x < __builtin_convertvector(whole, Vec<float>);  // truncation to floor: a true lane is -1
  const Vec<float> f = x - __builtin_convertvector(whole, Vec<float>);
#endif
  Vec<float> p = broadcast(1.879318801e-3f);
  p = p * f + 8.990994705e-3f;
  p = p * f + 5.581867630e-2f;
  p = p * f + 2.401592713e-1f;
  p = p * f + 6.931517388e-1f;
  p = p * f + 1.0f;
#if defined(__AVX512F__)
  return Vec<float>(_mm512_scalef_ps(__m512(p), __m512(x)));
#else
  return x == x ? Vec<float>(Int(p) + (whole << 23)) : x;
#endif
}

// 2^x for double, to rounding: Taylor series of 2^f on [-1/2, 1/2].
inline Vec<double> exp2(Vec<double> x) {
  using Int = VecLike<int64_t, double>;
  Vec<double> bounded = x < -1022.0 ? broadcast(-1022.0) : x;
  bounded = bounded > 1024.0 ? broadcast(1024.0) : bounded;  // 2^1024 comes out as infinity
  const double round_magic = 6755399441055744.0;  // 1.5 * 2^52: adding it leaves the rounded integer in the low bits
  const Vec<double> rounded = bounded + round_magic;
  const Int whole = Int(rounded) << 52;
  const Vec<double> f = (bounded - (rounded - round_magic)) * kLn2<double>;
  Vec<double> p = broadcast(1.0);
  for (int k = 14; k >= 1; --k) p = p * f * (1.0 / k) + 1.0;
  return x == x ? Vec<double>(Int(p) + whole) : x;
}

template <typename T>
inline Vec<T> exp(Vec<T> x) {
  return exp2(x * kLog2E<T>);
}

template <typename T>
inline Vec<T> sigmoid(Vec<T> x) {
  return T(1) / (T(1) + exp<T>(-x));
}

inline Vec<double> log1p_unit(Vec<double> e) {
  for (int i = 0; i < kLanes<double>; ++i) e[i] = __builtin_log1p(e[i]);
  return e;
}

// log(1 + exp(x)), the identity above 20 as in torch: in float32 that is what the sum rounds to. Its slope, if asked
// for, is the sigmoid.
template <typename T>
inline Vec<T> softplus(Vec<T> x, Vec<T>* slope = nullptr) {
  const Vec<T> positive = x < T(0) ? Vec<T>{} : x;  // a NaN stays
  const Vec<T> e = exp<T>(x - positive - positive);
  const Vec<T> y = positive + log1p_unit(e);
  if (slope) *slope = (x < T(0) ? e : broadcast(T(1))) / (T(1) + e);
  if constexpr (sizeof(T) == sizeof(float)) return y;
  if (slope) *slope = x > T(20) ? broadcast(T(1)) : *slope;
  return x > T(20) ? x : y;
}

}  // namespace
}  // namespace ssamba
