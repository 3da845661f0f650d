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

#if defined(__x86_64__)
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

// The elements of one vector: all of its lanes, known when compiling, or the few that are left at the end of a row.
template <typename acc_t>
struct AllLanes {
  constexpr operator int() const { return kLanes<acc_t>; }
};
template <typename acc_t, typename Body>
inline void dispatch_count(int count, Body body) {
  if (count == kLanes<acc_t>) return body(AllLanes<acc_t>{});
  body(count);
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

// What the vector extension has no operator for, by the level's own instruction for floats where there is one.
#if defined(__AVX512F__)
#define SSAMBA_PS(name, ...) Vec<float>(_mm512_##name##_ps(__VA_ARGS__))
#elif defined(__AVX2__)
#define SSAMBA_PS(name, ...) Vec<float>(_mm256_##name##_ps(__VA_ARGS__))
#elif defined(__x86_64__)
#define SSAMBA_PS(name, ...) Vec<float>(_mm_##name##_ps(__VA_ARGS__))
#endif

// a b + c, rounded once where the level can.
inline Vec<float> fused(Vec<float> a, Vec<float> b, Vec<float> c) {
#if defined(__FMA__)
  return SSAMBA_PS(fmadd, a, b, c);
#else
  return a * b + c;
#endif
}

// The larger of x and `bound`, or the smaller; a NaN stays.
template <typename T>
inline Vec<T> at_least(Vec<T> x, T bound) {
#if defined(SSAMBA_PS)
  if constexpr (sizeof(T) == sizeof(float)) return SSAMBA_PS(max, broadcast(bound), x);
#endif
  return x < bound ? broadcast(bound) : x;
}
template <typename T>
inline Vec<T> at_most(Vec<T> x, T bound) {
#if defined(SSAMBA_PS)
  if constexpr (sizeof(T) == sizeof(float)) return SSAMBA_PS(min, broadcast(bound), x);
#endif
  return x > bound ? broadcast(bound) : x;
}

template <typename T>
inline Vec<T> magnitude(Vec<T> x) {
  if constexpr (sizeof(T) == sizeof(float)) return Vec<T>(VecLike<uint32_t, T>(x) & 0x7fffffffu);
  return x < T(0) ? -x : x;
}

// Whether all lanes of what a comparison of vectors of T gives are true.
template <typename T, typename Mask>
inline bool all_lanes(Mask mask) {
  bool all = true;
  for (int i = 0; i < kLanes<T>; ++i) all &= mask[i] != 0;
  return all;
}

// Some vectors that go through the same steps together: a function of one is a chain in which each step waits for the
// one before, and a processor looks ahead over a few such chains only.
template <typename T, int kCount>
struct Vecs {
  Vec<T> at[kCount];

  // Step by step: `step` is one operation.
  template <typename Step>
  Vecs each(Step step) const {
    Vecs y;
    SSAMBA_LANES
    for (int i = 0; i < kCount; ++i) y.at[i] = step(at[i]);
    return y;
  }
  template <typename Step>
  Vecs each(const Vecs& other, Step step) const {
    Vecs y;
    SSAMBA_LANES
    for (int i = 0; i < kCount; ++i) y.at[i] = step(at[i], other.at[i]);
    return y;
  }

  friend Vecs operator+(const Vecs& a, const Vecs& b) {
    return a.each(b, [](Vec<T> x, Vec<T> y) { return x + y; });
  }
  friend Vecs operator-(const Vecs& a, const Vecs& b) {
    return a.each(b, [](Vec<T> x, Vec<T> y) { return x - y; });
  }
  friend Vecs operator*(const Vecs& a, const Vecs& b) {
    return a.each(b, [](Vec<T> x, Vec<T> y) { return x * y; });
  }
  friend Vecs operator/(const Vecs& a, const Vecs& b) {
    return a.each(b, [](Vec<T> x, Vec<T> y) { return x / y; });
  }
  friend Vecs operator+(const Vecs& a, T b) {
    return a.each([b](Vec<T> x) { return x + b; });
  }
  friend Vecs operator-(const Vecs& a, T b) {
    return a.each([b](Vec<T> x) { return x - b; });
  }
  friend Vecs operator*(const Vecs& a, T b) {
    return a.each([b](Vec<T> x) { return x * b; });
  }
  friend Vecs operator*(T a, const Vecs& b) { return b * a; }
  friend Vecs operator*(Vec<T> a, const Vecs& b) {
    return b.each([a](Vec<T> x) { return a * x; });
  }
  friend Vecs operator-(T a, const Vecs& b) {
    return b.each([a](Vec<T> x) { return a - x; });
  }
  friend Vecs operator/(T a, const Vecs& b) {
    return b.each([a](Vec<T> x) { return a / x; });
  }
};

// Calls body(i, Together<n>{}) for i up to `count`, several at once as long as several are left: see Vecs.
template <int>
struct Together {};
template <typename Body>
inline void for_together(int64_t count, Body body) {
  constexpr int kTogether = 4;
  int64_t i = 0;
  for (; i + kTogether <= count; i += kTogether) body(i, Together<kTogether>{});
  for (; i < count; ++i) body(i, Together<1>{});
}

// 2^f for |f| <= 1/2: a degree-5 minimax polynomial (relative error 9e-8, exact at 0).
template <int kCount>
inline Vecs<float, kCount> exp2_of_fraction(const Vecs<float, kCount>& f) {
  auto p = 1.326465281e-3f * f + 9.671511129e-3f;
  p = p * f + 5.550733954e-2f;
  p = p * f + 2.402224243e-1f;
  p = p * f + 6.931470037e-1f;
  return p * f + 1.0f;
}

#if defined(__AVX512F__)

template <int kCount>
inline Vecs<float, kCount> exp2(const Vecs<float, kCount>& x) {
  const auto f = x.each([](Vec<float> v) { return SSAMBA_PS(reduce, v, 0x08); });  // x - round(x)
  return exp2_of_fraction(f).each(x - f, [](Vec<float> p, Vec<float> k) { return SSAMBA_PS(scalef, p, k); });
}

#else

// Adding it leaves the nearest integer in the low bits.
constexpr float kRoundMagic = 12582912.0f;  // 1.5 * 2^23

// 2^(f + k), k as the low bits of `rounded`, for a result that is a normal float.
template <int kCount>
inline Vecs<float, kCount> exp2_of_parts(const Vecs<float, kCount>& f, const Vecs<float, kCount>& rounded) {
  using Int = VecLike<int32_t, float>;
  return exp2_of_fraction(f).each(rounded,
                                  [](Vec<float> p, Vec<float> k) { return Vec<float>(Int(p) + (Int(k) << 23)); });
}

// 2^x. Beyond the bounds it is no normal float: 2^-126 stands for what is smaller, and 2^128 comes out as infinity.
template <int kCount>
inline Vecs<float, kCount> exp2(const Vecs<float, kCount>& x) {
  const auto bounded = x.each([](Vec<float> v) { return at_most(at_least(v, -126.0f), 128.0f); });
  const auto rounded = bounded + kRoundMagic;
  const auto y = exp2_of_parts(bounded - (rounded - kRoundMagic), rounded);
  return x.each(y, [](Vec<float> v, Vec<float> w) { return v == v ? w : v; });  // a NaN passes
}

#endif

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

template <int kCount>
inline Vecs<double, kCount> exp2(const Vecs<double, kCount>& x) {
  return x.each([](Vec<double> v) { return exp2(v); });
}

// Whether 2^(a b) is cheaper where |a b| is known to stay below kExp2Bound.
template <typename T>
constexpr bool kBoundsCost = false;
constexpr float kExp2Bound = 126;

// 2^(a b), of vectors b; the same bits whether bounded or not.
template <bool kBounded, typename T, int kCount>
inline Vecs<T, kCount> exp2_product(Vec<T> a, const Vecs<T, kCount>& b) {
  return exp2(a * b);
}

#if !defined(__AVX512F__)
template <>
constexpr bool kBoundsCost<float> = true;

template <bool kBounded, int kCount>
inline Vecs<float, kCount> exp2_product(Vec<float> a, const Vecs<float, kCount>& b) {
  const auto rounded = b.each([a](Vec<float> v) { return fused(a, v, broadcast(kRoundMagic)); });
  const auto k = rounded - kRoundMagic;
  const auto y = exp2_of_parts(b.each(k, [a](Vec<float> v, Vec<float> w) { return fused(a, v, -w); }), rounded);
  if constexpr (kBounded) return y;
  return y.each(a * b, [](Vec<float> w, Vec<float> x) {
    w = x < -126.0f ? Vec<float>{} : w;
    w = x >= 128.0f ? broadcast(__builtin_inff()) : w;
    return x == x ? w : x;
  });
}
#endif

template <typename T, int kCount>
inline Vecs<T, kCount> sigmoid(const Vecs<T, kCount>& x) {
  return T(1) / (exp2(x * -kLog2E<T>) + T(1));
}

template <int kCount>
inline Vecs<double, kCount> log1p_unit(const Vecs<double, kCount>& e) {
  return e.each([](Vec<double> v) {
    for (int i = 0; i < kLanes<double>; ++i) v[i] = __builtin_log1p(v[i]);
    return v;
  });
}

// exp(x) for x <= 0; of a NaN whatever comes.
template <typename T, int kCount>
inline Vecs<T, kCount> exp_of_negative(const Vecs<T, kCount>& x) {
  return exp2(x * kLog2E<T>);
}
#if !defined(__AVX512F__)
template <int kCount>
inline Vecs<float, kCount> exp_of_negative(const Vecs<float, kCount>& x) {
  const auto product = x.each([](Vec<float> v) { return at_least(v * kLog2E<float>, -126.0f); });
  const auto rounded = product + kRoundMagic;
  return exp2_of_parts(product - (rounded - kRoundMagic), rounded);
}
#endif

// log(1 + exp(x)), the identity above 20 as in torch: in float32 that is what the sum rounds to. Its slope, if asked
// for, is the sigmoid.
template <typename T, int kCount>
inline Vecs<T, kCount> softplus(const Vecs<T, kCount>& x, Vecs<T, kCount>* slope = nullptr) {
  const auto e = exp_of_negative(x.each([](Vec<T> v) { return -magnitude<T>(v); }));
  if (slope) {
    const auto rising = x.each(e, [](Vec<T> v, Vec<T> w) { return v < T(0) ? w : broadcast(T(1)); }) / (e + T(1));
    *slope = x.each(rising, [](Vec<T> v, Vec<T> w) { return v == v ? w : v; });
    if constexpr (sizeof(T) == sizeof(double))
      *slope = x.each(*slope, [](Vec<T> v, Vec<T> w) { return v > T(20) ? broadcast(T(1)) : w; });
  }
  const auto y = x.each([](Vec<T> v) { return at_least(v, T(0)); }) + log1p_unit(e);  // a NaN stays
  if constexpr (sizeof(T) == sizeof(float)) return y;
  return x.each(y, [](Vec<T> v, Vec<T> w) { return v > T(20) ? v : w; });
}

}  // namespace
}  // namespace ssamba
