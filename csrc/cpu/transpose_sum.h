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

// Folds kCount vectors into one, at distances kHalf, kHalf / 2, ...: every level halves the vectors, so kCount sums
// cost kCount - 1 folds.
template <typename T, int kCount, int kHalf>
inline Vec<T> fold_all(Vec<T>* v) {
  if constexpr (kCount == 1) {
    return v[0];
  } else {
    SSAMBA_LANES
    for (int i = 0; i < kCount / 2; ++i)
      v[i] = fold<T, kHalf>(v[i], v[i + kCount / 2], std::make_integer_sequence<int, kLanes<T>>{});
    return fold_all<T, kCount / 2, kHalf / 2>(v);
  }
}

// Running sums over the lanes of kCount vectors, kCount a power of two, in kSize elements: where a vector has more
// lanes than there are sums, each sum lies in kParts neighbours that are added in the end.
template <typename T, int kCount>
struct LaneSums {
  static constexpr int kParts = kLanes<T> > kCount ? kLanes<T> / kCount : 1;
  static constexpr int kSize = kCount * kParts;

  // Adds the vectors, and spoils them.
  static void add(Vec<T>* v, T* sums) {
    constexpr int together = kCount / (kSize / kLanes<T>);
    SSAMBA_LANES
    for (int i = 0; i < kCount; i += together, sums += kLanes<T>)
      store(sums, load(sums) + fold_all<T, together, kLanes<T> / 2>(v + i));
  }

  static T sum(const T* sums, int k) {
    T total = sums[k * kParts];
    for (int part = 1; part < kParts; ++part) total += sums[k * kParts + part];
    return total;
  }
};

}  // namespace
}  // namespace ssamba
