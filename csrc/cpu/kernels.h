// The launchers of all CPU kernels. Each is defined once per instruction set by its kernel file, and works through the
// items [begin, end) of its op.
#pragma once

#include "../causal_conv1d.h"
#include "../patch_mask.h"
#include "../product.h"
#include "../selective_scan.h"
#include "isa.h"

namespace ssamba {

// Channels that one vector holds.
template <Isa>
int64_t scan_channel_vector(Dtype dtype);
template <Isa>
void launch_scan(const ScanForwardArgs& args, int64_t begin, int64_t end);
template <Isa>
void launch_scan_backward(const ScanBackwardArgs& args, int64_t begin, int64_t end);

template <Isa>
void launch_causal_conv1d(const ConvForwardArgs& args, int64_t begin, int64_t end);
template <Isa>
void launch_causal_conv1d_backward(const ConvBackwardArgs& args, int64_t begin, int64_t end);

template <Isa>
void launch_patch_mask(const PatchMaskForwardArgs& args, int64_t begin, int64_t end);
template <Isa>
void launch_patch_mask_backward(const PatchMaskBackwardArgs& args, int64_t begin, int64_t end);

// The rows [begin, end).
template <Isa>
void launch_product(const ProductArgs& args, int64_t begin, int64_t end);

// Adds `count` rows of `size` accumulators, in order.
template <Isa>
void launch_sum_partials(Dtype acc, const void* partials, int64_t count, int64_t size, void* out, int64_t begin,
                         int64_t end);

}  // namespace ssamba
