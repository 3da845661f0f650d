// What is promised of each function (csrc/README.md, Numerics): its value in double, and how far from it a level may
// be.
#pragma once

#include <cfloat>
#include <cmath>
#include <limits>

#include "functions.h"

namespace ssamba {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Decays of a state that forgets slowly.
inline bool is_close_to_one(float x) { return x >= -0x1p-10f && x < 0; }

// As accurate as its float, or what is forgotten in a thousand tokens would be noise.
inline const char* decay(float x, float y, double exact) {
  if (!is_close_to_one(x)) return nullptr;
  if (y == 1 && exact < 1 - 0.51 * 0x1p-24) return "1 only where that is 0.51 units off at most";
  return std::fabs(y - exact) < 0x1p-24 ? nullptr : "less than a unit in the last place off";
}

inline const char* identity_above_20(float x, float y, double) {
  return x > 20 && y != x ? "the argument itself above 20" : nullptr;
}

inline const char* nothing_else(float, float, double) { return nullptr; }

inline double exact_exp2(double x) { return std::exp2(x); }
inline double exact_softplus(double x) { return (x < 0 ? 0 : x) + std::log1p(std::exp(-std::fabs(x))); }
inline double exact_slope(double x) {
  const double e = std::exp(-std::fabs(x));
  return (x < 0 ? e : 1) / (1 + e);
}

struct Contract {
  const char* name;
  Function Functions::* function;
  double (*exact)(double x);
  double bound;                                         // of the relative error of a normal result
  double bound_below_zero;                              // and what is added to it for each unit of x below zero
  const char* (*also)(float x, float y, double exact);  // what else was expected of y = f(x), or null
  bool bounded = false;                                 // for |x| < kBounded
};

// Below zero softplus and its slope are about 2^(x log2 e), with a product that is rounded and the more wrong the
// larger.
constexpr Contract kContracts[] = {
    {"exp2", &Functions::exp2, exact_exp2, 2e-7, 0, decay},
    {"exp2_product", &Functions::exp2_product, exact_exp2, 2e-7, 0, decay},
    {"exp2_bounded", &Functions::exp2_bounded, exact_exp2, 2e-7, 0, decay, true},
    {"softplus", &Functions::softplus, exact_softplus, 3e-7, 7.5e-8, identity_above_20},
    {"slope", &Functions::slope, exact_slope, 2.5e-7, 7.5e-8, nothing_else},
};

// What was expected of y = f(x), or null where it is so.
inline const char* broken(const Contract& contract, float x, float y, double exact) {
  if (exact != exact) return y != y ? nullptr : "a NaN";
  if (exact > FLT_MAX) return y == kInfinity ? nullptr : "infinity";
  if (exact < FLT_MIN) return y >= 0 && y <= FLT_MIN ? nullptr : "0 to the smallest normal float";
  const double bound = contract.bound + (x < 0 ? -x * contract.bound_below_zero : 0);
  if (!(std::fabs(y - exact) <= bound * exact)) return "a relative error within the bound of contracts.h";
  return contract.also(x, y, exact);
}

}  // namespace ssamba
