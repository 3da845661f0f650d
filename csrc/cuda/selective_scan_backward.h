// The backward scan's launch, which is compiled apart from the forward scan's.
#pragma once

#include "../scan_tensors.h"
#include "launch.cuh"

namespace ssamba {

// Channels of one group that a block takes.
int64_t scan_backward_channels(const ScanArgs& args);

// With args.split_channels as above.
void selective_scan_backward_cuda(const ScanBackwardArgs& args, const ScanTensors& s, Stream stream);

}  // namespace ssamba
