// Sums over the lanes of many vectors at once.
#pragma once

#include <utility>

#include "simd.h"

namespace ssamba {
namespace {

// One level of a butterfly: lane i of the result adds lanes i and i ^ kHalf of `a`, or of `b` where bit kHalf of i is
// set.
template <typename T, int kHalf, int... kLane>
inline Vec<T> fold(Vec<T> a, Vec<T> b, std::integer_sequence<int, kLane...>) {
  constexpr int lanes = kLanes<T>;
  return __builtin_shufflevector(a, b, ((kLane & kHalf) ? lanes + kLane : kLane)...) +
         __builtin_shufflevector(a, b, ((kLane & kHalf) ? lanes + (kLane ^ kHalf) : (kLane ^ kHalf))...);
}

// Folds 2 * kHalf vectors into one; in the end lane i holds the sum over vector i. Every level halves the vectors, so
// kLanes sums cost kLanes - 1 folds.
template <typename T, int kHalf>
inline Vec<T> fold_all(Vec<T>* v) {
  SSAMBA_LANES
  for (int i = 0; i < kHalf; ++i)
    v[i] = fold<T, kHalf>(v[i], v[i + kHalf], std::make_integer_sequence<int, kLanes<T>>{});
  if constexpr (kHalf > 1)
    return fold_all<T, kHalf / 2>(v);
  else
    return v[0];
}

// Adds the sums over the lanes of kCount vectors to `out` (kCount), and spoils the vectors.
template <typename T, int kCount>
inline void add_lane_sums(Vec<T>* v, T* out) {
  constexpr int lanes = kLanes<T>;
  if constexpr (kCount >= lanes) {
    store(out, load(out) + fold_all<T, lanes / 2>(v));
    if constexpr (kCount > lanes) add_lane_sums<T, kCount - lanes>(v + lanes, out + lanes);
  } else {
    for (int i = 0; i < kCount; ++i) out[i] += horizontal_sum<T>(v[i]);
  }
}

}  // namespace
}  // namespace ssamba
