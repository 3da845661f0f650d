// The functions of the selective scan: powers of two and softplus. Float versions are within a few units in the last
// place, double versions exact to rounding.
#pragma once

#include "device.cuh"

namespace ssamba {

template <typename acc_t>
constexpr acc_t kLog2E = acc_t(1.44269504088896340736);
template <typename acc_t>
constexpr acc_t kLn2 = acc_t(0.69314718055994530942);

__device__ __forceinline__ double fast_exp2(double x) { return exp2(x); }

// log(1 + e) for e in [0, 1]: a minimax polynomial (3e-8), as 1 + e would lose what a small e says.
__device__ __forceinline__ float log1p_unit(float e) {
  float p = 0.00523266577f;
  p = fmaf(p, e, -0.0295051319f);
  p = fmaf(p, e, 0.0782257917f);
  p = fmaf(p, e, -0.136632337f);
  p = fmaf(p, e, 0.191060020f);
  p = fmaf(p, e, -0.248429813f);
  p = fmaf(p, e, 0.333190968f);
  p = fmaf(p, e, -0.499994931f);
  p = fmaf(p, e, 0.99999997f);
  return p * e;
}

__device__ __forceinline__ float softplus(float x) {
  const float positive = x < 0.0f ? 0.0f : x;  // a NaN stays
  return positive + log1p_unit(fast_exp2((x - positive - positive) * kLog2E<float>));
}
__device__ __forceinline__ double softplus(double x) { return x > 20.0 ? x : log1p(exp(x)); }

}  // namespace ssamba
