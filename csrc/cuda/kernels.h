// The launchers of the kernels that have files of their own.
#pragma once

#include "../causal_conv1d.h"
#include "launch.cuh"

namespace ssamba {

// Tokens that a block of the convolution takes.
constexpr int64_t kConvChunk = 128;
// The widest filter whose gradient is one kernel, with the window in registers.
constexpr int64_t kMostRegisterTaps = 4;

void launch_causal_conv1d(const ConvForwardArgs& args, Stream stream);

// Filters of at most kMostRegisterTaps, without an initial state.
void launch_causal_conv1d_backward(const ConvBackwardArgs& args, Stream stream);

// Any width, with or without an initial state. `gradient` is scratch for the gradient before SiLU: acc (R, B, L, D).
void launch_causal_conv1d_any_backward(const ConvBackwardArgs& args, void* gradient, Stream stream);

}  // namespace ssamba
