// How a scan is shared among threads.
#pragma once

#include <algorithm>

#include "../selective_scan.h"
#include "isa.h"
#include "kernels.h"
#include "parallel.h"

namespace ssamba {

// Wide splits share B and C and read long stretches of memory, narrow ones keep more threads busy: as many work items
// as wanted, if splits between one vector and `most` vectors give them.
inline void split_channels(ScanArgs& args, int64_t wanted_items, int64_t most_vectors) {
  const int64_t vector = SSAMBA_LAUNCH(scan_channel_vector, args.dtype);
  const int64_t vectors = (args.channels / args.groups + vector - 1) / vector;
  const int64_t shared = args.batch * args.groups * vectors / wanted_items;
  args.split_channels = vector * std::clamp<int64_t>(shared, 1, most_vectors);
}

inline int64_t work_items(const ScanArgs& args) { return args.batch * args.groups * splits(args); }

// Forward, a split changes no bit of the result, so the number of threads may decide.
inline void scan_in_parallel(ScanForwardArgs& args) {
  split_channels(args, thread_count(), 12);
  parallel_items(work_items(args), [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_scan, args, begin, end); });
}

// Backward, the order in which dB and dC are summed follows from the split: the shape alone decides.
inline void split_backward(ScanBackwardArgs& args) { split_channels(args, 4, 6); }

inline void scan_backward_in_parallel(const ScanBackwardArgs& args) {
  parallel_items(work_items(args),
                 [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_scan_backward, args, begin, end); });
}

}  // namespace ssamba
