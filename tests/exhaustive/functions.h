// The functions of one float in csrc/cpu/simd.h, as an instruction set computes them.
#pragma once

#include "../../csrc/cpu/isa.h"

namespace ssamba {

constexpr int kBlock = 4096;  // floats, whole vectors of every level

using Function = void (*)(const float* x, float* y);  // of a block

// Of products, those with 1; exp2_bounded for arguments within ±kBounded.
struct Functions {
  Function exp2, exp2_product, exp2_bounded, softplus, slope;
};

constexpr float kBounded = 126;

template <Isa>
Functions functions();

}  // namespace ssamba
