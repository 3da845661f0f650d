// What the selective scan needs to know, as plain sizes, strides and pointers: shared by the ops selective_scan (one
// direction) and bi_scan (two), by their gradients, and by every device.
#pragma once

#include <cstdint>

#include "dtype.h"

namespace ssamba {

// An activation of shape (R, B, L, D), or (R, B, L, G, N) with a stride for G. Strides count elements; the last axis is
// dense. A stride of 0 repeats.
template <typename Pointer>
struct Strided {
  Pointer data = nullptr;
  int64_t direction = 0, batch = 0, time = 0, group = 0;
};
using Input = Strided<const void*>;
using Output = Strided<void*>;

// R directions, B clips, L tokens, D channels in G groups, N states. Accumulators ("acc") are float32, or float64 for
// float64 inputs, and dense. Optional tensors are null.
struct ScanArgs {
  Dtype dtype;
  int64_t directions, batch, length, channels, groups, state;
  int64_t split_channels;  // of one group, that one work item takes
  bool reverse[2];         // direction r walks from the clip's last token to its first
  bool delta_softplus;
  const int64_t* lengths;     // (B,)
  Input u, delta, B, C, z;    // z has no direction
  const void* A;              // acc (R, D, N)
  const void* D;              // acc (R, D)
  const void* delta_bias;     // acc (R, D)
  const void* initial_state;  // acc (R, B, D, N)
  const void* delta_weight;   // acc (R, D, r): delta is (R, B, L, r), its product with these the step sizes
  int64_t rank;               // r, or 0 where delta is (R, B, L, D)
};

namespace {  // compiled anew for every instruction set

inline int64_t splits(const ScanArgs& args) {
  return (args.channels / args.groups + args.split_channels - 1) / args.split_channels;
}

}  // namespace

// Checkpoints are the states from which the backward pass replays: one entry for every tile of so many tokens, counted
// from the clip's first token in both directions, with the states just before the walk enters that tile.
constexpr int kCpuCheckpointTokens = 32, kCudaCheckpointTokens = 16;

struct ScanForwardArgs : ScanArgs {
  Output out;         // (B, L, D)
  bool add;           // to what out holds, before the gate
  void* last_state;   // acc (R, B, D, N)
  void* checkpoints;  // acc (R, B, K, N, D), K tiles
};

// Gradients of B and C are sums over channels: each split of the channels writes its partial sums, and a second pass
// adds the splits in order. Likewise dA, dD and ddelta_bias are written per clip and added over clips.
struct ScanBackwardArgs : ScanArgs {
  Input dout;               // (B, L, D)
  const void* checkpoints;  // what the forward pass left
  bool shared_u;            // one u for both directions: du is the sum of theirs
  Output du, ddelta;        // (R, B, L, D)
  Output dz;                // (B, L, D)
  Output out;               // (B, L, D), what the forward pass made, once more; on the CPU, and only with a gate
  void* dA;                 // acc (B, R, D, N)
  void* dB;                 // acc (S, R, B, L, G, N)
  void* dC;                 // acc (S, R, B, L, G, N)
  void* dD;                 // acc (B, R, D)
  void* ddelta_bias;        // acc (B, R, D)
  const void* dlast_state;  // acc (R, B, D, N)
  void* dinitial_state;     // acc (R, B, D, N)
};

}  // namespace ssamba
