// What the CPU's and the GPU's softplus and powers of two share.
#pragma once

#include "host_device.h"

namespace ssamba {
namespace {

template <typename T>
constexpr T kLog2E = T(1.44269504088896340736);
template <typename T>
constexpr T kLn2 = T(0.69314718055994530942);

// log(1 + e) for e in [0, 1], a float or a vector of them: a minimax polynomial (3e-8), as 1 + e would lose what a
// small e says.
template <typename V>
SSAMBA_HOST_DEVICE inline V log1p_unit(V e) {
  V p = 0.00523266577f * e - 0.0295051319f;
  p = p * e + 0.0782257917f;
  p = p * e - 0.136632337f;
  p = p * e + 0.191060020f;
  p = p * e - 0.248429813f;
  p = p * e + 0.333190968f;
  p = p * e - 0.499994931f;
  p = p * e + 0.99999997f;
  return p * e;
}

}  // namespace
}  // namespace ssamba
