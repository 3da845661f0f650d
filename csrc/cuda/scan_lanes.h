// How the scans divide their work over blocks, and how many lanes share a channel's states.
#pragma once

#include "../selective_scan.h"
#include "dispatch.h"
#include "multiprocessors.h"

namespace ssamba {

inline int64_t scan_blocks(const ScanArgs& args, int64_t channels) {
  return args.batch * args.groups * ceil_divide(args.channels / args.groups, channels);
}

// Instructions that all lanes of a channel together spend on one token, counted in the compiled code (csrc/README.md).
struct LaneCost {
  int lanes;
  int64_t instructions;
};

// Few lanes spend less on sums and loads, many make more and smaller blocks. Takes the number with which the busiest
// multiprocessor has least to do.
template <int kCount>
int choose_lanes(const ScanArgs& args, int threads, const LaneCost (&costs)[kCount]) {
  const int64_t multiprocessors = multiprocessor_count();
  int best = 0;
  int64_t least = INT64_MAX;
  for (const LaneCost& cost : costs) {
    const int64_t channels = threads / cost.lanes;
    const int64_t busiest = ceil_divide(scan_blocks(args, channels), multiprocessors) * channels * cost.instructions;
    if (busiest < least) best = cost.lanes, least = busiest;
  }
  return best;
}

}  // namespace ssamba
