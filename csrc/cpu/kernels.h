// The launchers of all CPU kernels. Each is defined once per instruction set by its kernel file, and works through the
// items [begin, end) of its op.
#pragma once

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

}  // namespace ssamba
