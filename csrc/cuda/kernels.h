// The launchers of the kernels that have files of their own.
#pragma once

#include "../causal_conv1d.h"
#include "../selective_scan.h"
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

// Scans need scratch: so many accumulators.
int64_t selective_scan_scratch(const ScanForwardArgs& args);
void launch_selective_scan(const ScanForwardArgs& args, void* scratch, Stream stream);

// Channels of one group that a block of the backward scan takes: args.split_channels below.
int64_t scan_backward_channels(const ScanArgs& args);
int64_t selective_scan_backward_scratch(const ScanBackwardArgs& args);
void launch_selective_scan_backward(const ScanBackwardArgs& args, void* scratch, Stream stream);

}  // namespace ssamba
