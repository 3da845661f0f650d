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

// rows (count, lanes) -> out (count): the sum of each row.
template <typename T>
inline void sum_lanes(const T* rows, int64_t count, T* out) {
  constexpr int64_t lanes = kLanes<T>;
  for (; count >= lanes; count -= lanes, rows += lanes * lanes, out += lanes) {
    Vec<T> v[lanes];
    SSAMBA_LANES
    for (int i = 0; i < lanes; ++i) v[i] = load(rows + i * lanes);
    store(out, fold_all<T, lanes / 2>(v));
  }
  for (; count > 0; --count, rows += lanes) *out++ = horizontal_sum<T>(load(rows));
}

}  // namespace
}  // namespace ssamba
