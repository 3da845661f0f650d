// A product with a packed matrix, as plain sizes, strides and pointers.
#pragma once

#include <cstdint>

namespace ssamba {

// Outputs that lie side by side in a packed matrix (panels, K, kPanel): two of the widest vectors, and whole vectors of
// any level.
constexpr int64_t kPanel = 32;

inline constexpr int64_t panels_of(int64_t outputs) { return (outputs + kPanel - 1) / kPanel; }

// out = x W^T + bias, or out = keep out + scale (x W^T + bias). All float32; the last axes are dense.
struct ProductArgs {
  int64_t inner, outputs;  // K, N
  const float* x;          // (rows, K)
  int64_t x_stride;
  const float* weight;  // (panels, K, kPanel)
  const float* bias;    // (N,), or null
  float* out;           // (rows, N)
  int64_t out_stride;
  bool add = false;
  float keep = 0, scale = 1;
};

}  // namespace ssamba
