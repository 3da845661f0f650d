// How the scans divide their work over blocks.
#pragma once

#include "../selective_scan.h"
#include "dispatch.h"
#include "multiprocessors.h"

namespace ssamba {

// A block of a scan, and what a tile of 16 tokens takes with it on an H100, in clocks, measured with one to a full card
// of blocks: a warp alone needs `latency + issue`, and every further one on its scheduler adds `issue`, up to
// `resident` warps; those beyond wait their turn.
struct ScanBlock {
  int lanes;    // that share a channel's states
  int threads;  // of one direction
  int latency, issue;
  int resident;  // warps that share a scheduler at once

  constexpr int channels() const { return threads / lanes; }
};

// Wide ones first.
constexpr ScanBlock kForwardBlocks[] = {{2, 64, 2350, 1345, 4}, {4, 64, 1500, 680, 4}, {8, 64, 1290, 390, 4}};
constexpr ScanBlock kBackwardBlocks[] = {{4, 64, 5300, 2400, 3}, {8, 64, 3100, 1650, 3}};

inline int64_t scan_blocks(const ScanArgs& args, int64_t channels) {
  return args.batch * args.groups * ceil_divide(args.channels / args.groups, channels);
}

// Clocks for a tile of every block. A warp stays with one of a multiprocessor's four schedulers, so warps are what a
// card is filled with, whatever the blocks they come in.
inline int64_t clocks(const ScanArgs& args, const ScanBlock& block, int64_t multiprocessors) {
  constexpr int64_t kSchedulers = 4, kWarpThreads = 32;
  const int64_t blocks = ceil_divide(scan_blocks(args, block.channels()), multiprocessors);
  const int64_t warps = ceil_divide(blocks * args.directions * block.threads, kWarpThreads * kSchedulers);
  if (warps <= block.resident) return block.latency + warps * block.issue;
  return warps * (block.latency + block.resident * block.issue) / block.resident;
}

// The number of the best candidate. A narrower block must save a tenth: it reads B and C again, and backward leaves
// partial sums of its own for them.
template <int kCount>
int choose_block(const ScanArgs& args, const ScanBlock (&candidates)[kCount], int64_t multiprocessors) {
  int best = 0;
  int64_t least = clocks(args, candidates[0], multiprocessors);
  for (int i = 1; i < kCount; ++i) {
    const int64_t needed = clocks(args, candidates[i], multiprocessors);
    if (10 * needed < 9 * least) best = i, least = needed;
  }
  return best;
}

}  // namespace ssamba
