// How the scans divide their work over blocks.
#pragma once

#include "../selective_scan.h"
#include "dispatch.h"
#include "multiprocessors.h"

namespace ssamba {

struct ScanBlock {
  int lanes;             // that share a channel's states
  int threads;           // of one direction
  int64_t instructions;  // that all lanes of a channel together spend on one token, counted in the compiled code

  constexpr int channels() const { return threads / lanes; }
};

// Wide ones first. The last one backward is for one direction, whose 64 threads leave two schedulers without a warp.
constexpr ScanBlock kForwardBlocks[] = {{2, 64, 175}, {4, 64, 200}, {8, 64, 310}};
constexpr ScanBlock kBackwardBlocks[] = {{4, 128, 600}, {4, 64, 600}, {8, 64, 820}, {16, 128, 1300}};

inline int64_t scan_blocks(const ScanArgs& args, int64_t channels) {
  return args.batch * args.groups * ceil_divide(args.channels / args.groups, channels);
}

// What the busiest scheduler has to issue for one token, in sixteenths of an instruction. A warp stays with one of a
// multiprocessor's four schedulers, so warps are what a card is filled with, whatever the blocks they come in.
inline int64_t busiest_scheduler(const ScanArgs& args, const ScanBlock& block, int64_t multiprocessors) {
  constexpr int64_t kSchedulers = 4, kWarpThreads = 32, kMostLanes = 16;
  const int64_t blocks = ceil_divide(scan_blocks(args, block.channels()), multiprocessors);
  const int64_t warps = ceil_divide(blocks * args.directions * block.threads, kWarpThreads * kSchedulers);
  return warps * block.instructions * (kMostLanes / block.lanes);
}

// The number of the best candidate. A narrower block must save a tenth: it reads B and C again, and backward leaves
// partial sums of its own for them.
template <int kCount>
int choose_block(const ScanArgs& args, const ScanBlock (&candidates)[kCount], int64_t multiprocessors) {
  int best = 0;
  int64_t least = busiest_scheduler(args, candidates[0], multiprocessors);
  for (int i = 1; i < kCount; ++i) {
    const int64_t busiest = busiest_scheduler(args, candidates[i], multiprocessors);
    if (10 * busiest < 9 * least) best = i, least = busiest;
  }
  return best;
}

}  // namespace ssamba
