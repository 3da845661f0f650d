// Which block a scan chooses, for test_scan_blocks.py.

#include "../../csrc/cuda/scan_blocks.h"

using namespace ssamba;

// The number of the candidate.
extern "C" __attribute__((visibility("default"))) int ssamba_simt_scan_block(bool backward, int64_t batch,
                                                                             int64_t channels, int64_t directions,
                                                                             int64_t multiprocessors) {
  ScanArgs args{};
  args.batch = batch, args.channels = channels, args.directions = directions, args.groups = 1;
  return backward ? choose_block(args, kBackwardBlocks, multiprocessors)
                  : choose_block(args, kForwardBlocks, multiprocessors);
}
