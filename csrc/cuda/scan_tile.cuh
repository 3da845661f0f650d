// What the forward and the backward scan share: how a block's threads divide the work, and a tile of its inputs.
//
// A block owns one clip, some neighbouring channels of one group, and all directions, each with threads of its own. Time
// is cut into tiles of 16 tokens. A tile is handled twice over: as loaders, threads take a pack of channels of one token
// from memory to shared memory and back; as walkers, kLanes threads share a channel's states and go through the tile.
// In shared memory a tile lies in the order of the walk, so that a walk knows no direction, and tokens behind the clip's
// end have steps of zero, which leave a state as it is.
#pragma once

#include "../selective_scan.h"
#include "pack.cuh"
#include "scan_math.cuh"

namespace ssamba {
namespace {

constexpr int kTileTokens = 16;
constexpr int kBlockStates = 16;  // walked at once; more are taken block by block
constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ int state_blocks(const ScanArgs& args) {
  return int((args.state + kBlockStates - 1) / kBlockStates);
}

// kLanes lanes share a channel's states, kThreads threads belong to one direction. All other sizes follow.
template <int lanes, int threads>
struct ScanLayout {
  static constexpr int kLanes = lanes;
  static constexpr int kThreads = threads;
  static constexpr int kStates = kBlockStates / kLanes;                // of one lane
  static constexpr int kChannels = kThreads / kLanes;                  // of one block
  static constexpr int kWarpChannels = kWarp / kLanes;                 // of one warp
  static constexpr int kPack = kTileTokens * kChannels / kThreads;     // channels of one token that a loader takes
  static constexpr int kProjection = kTileTokens * kBlockStates / kThreads;  // states of B, and of C, that it takes
  static_assert(kWarpChannels >= 1 && kPack >= 1 && kProjection >= 1 && kThreads % kWarp == 0);
};

// A thread's share of the block's work.
template <class Layout>
struct Share {
  int64_t batch, group, split, length;
  int64_t channel;  // the block's first
  int channels;     // of the block's that exist
  int direction, thread;
  bool reverse;
  int token, pack;               // as a loader: token of the tile, first channel of its pack
  int state_token, first_state;  // likewise for B and C
  int walk_channel, lane;        // as a walker: channel, and which of its states

  __device__ explicit Share(const ScanArgs& args) {
    const int64_t in_group = args.channels / args.groups;
    const int64_t splits = (in_group + Layout::kChannels - 1) / Layout::kChannels;
    split = blockIdx.x % splits;
    group = blockIdx.x / splits % args.groups;
    batch = blockIdx.x / splits / args.groups;
    channel = group * in_group + split * Layout::kChannels;
    const int64_t left = in_group - split * Layout::kChannels;
    channels = left < Layout::kChannels ? int(left) : Layout::kChannels;
    const int64_t given = args.lengths ? args.lengths[batch] : args.length;
    length = given < 0 ? 0 : given > args.length ? args.length : given;

    direction = threadIdx.x / Layout::kThreads;
    thread = threadIdx.x % Layout::kThreads;
    reverse = args.reverse[direction];
    constexpr int kTokenPacks = Layout::kChannels / Layout::kPack, kRowPacks = kBlockStates / Layout::kProjection;
    token = thread / kTokenPacks;
    pack = thread % kTokenPacks * Layout::kPack;
    state_token = thread / kRowPacks;
    first_state = thread % kRowPacks * Layout::kProjection;
    const int warp_lane = thread % kWarp;
    walk_channel = thread / kWarp * Layout::kWarpChannels + warp_lane % Layout::kWarpChannels;
    lane = warp_lane / Layout::kWarpChannels;
  }

  // A clip without tokens is walked as one tile without tokens, which hands its state on.
  __device__ int64_t tiles() const { return length > 0 ? (length + kTileTokens - 1) / kTileTokens : 1; }

  // Where the walk's i-th tile begins in the clip.
  __device__ int64_t start(int64_t i) const { return (reverse ? tiles() - 1 - i : i) * kTileTokens; }

  // Where a token of a tile lies in shared memory: its turn in the walk.
  __device__ int turn(int token_of_tile) const { return reverse ? kTileTokens - 1 - token_of_tile : token_of_tile; }

  // How many channels the loader's pack has at time t, at most.
  __device__ int pack_count(int64_t t) const { return t < length ? channels - pack : 0; }
};

template <typename in_t, class Layout>
__device__ __forceinline__ const in_t* row(const Input& x, const Share<Layout>& me, int64_t t) {
  return static_cast<const in_t*>(x.data) + me.direction * x.direction + me.batch * x.batch + t * x.time;
}
template <typename in_t, class Layout>
__device__ __forceinline__ in_t* row(const Output& x, const Share<Layout>& me, int64_t t) {
  return static_cast<in_t*>(x.data) + me.direction * x.direction + me.batch * x.batch + t * x.time;
}

// The loader's pack of a (B, L, D) tensor, or (R, B, L, D), at time t.
template <typename in_t, class Layout>
__device__ __forceinline__ Pack<in_t, Layout::kPack> load_channels(const Input& x, const Share<Layout>& me, int64_t t) {
  return load_pack<Layout::kPack>(row<in_t>(x, me, t) + me.channel + me.pack, me.pack_count(t));
}
template <typename in_t, class Layout>
__device__ __forceinline__ void store_channels(const Output& x, const Share<Layout>& me, int64_t t,
                                               const Acc<in_t> (&values)[Layout::kPack]) {
  store_pack(row<in_t>(x, me, t) + me.channel + me.pack, values, me.channels - me.pack);
}

// Tokens behind the clip's end are zero.
template <typename in_t, class Layout>
__device__ __forceinline__ void clear_channels(const Output& x, const ScanArgs& args, const Share<Layout>& me) {
  const Acc<in_t> zeros[Layout::kPack] = {};
  for (int64_t t = me.length + me.token; t < args.length; t += kTileTokens) store_channels<in_t>(x, me, t, zeros);
}

// The loader's pack of an (R, D) parameter, zeros if there is none.
template <typename acc_t, class Layout>
__device__ __forceinline__ Pack<acc_t, Layout::kPack> load_parameter(const void* x, const ScanArgs& args,
                                                                     const Share<Layout>& me) {
  const auto* values = static_cast<const acc_t*>(x) + me.direction * args.channels + me.channel + me.pack;
  return load_pack<Layout::kPack>(values, x ? me.channels - me.pack : 0);
}

template <typename in_t, class Layout>
struct Projections {
  Pack<in_t, Layout::kProjection> B, C;
};

template <typename in_t, class Layout>
__device__ __forceinline__ Projections<in_t, Layout> fetch_projections(const ScanArgs& args, const Share<Layout>& me,
                                                                       int64_t start, int block) {
  const int64_t t = start + me.state_token, n = block * kBlockStates + me.first_state;
  const int64_t count = t < me.length ? args.state - n : 0;
  return {load_pack<Layout::kProjection>(row<in_t>(args.B, me, t) + me.group * args.B.group + n, count),
          load_pack<Layout::kProjection>(row<in_t>(args.C, me, t) + me.group * args.C.group + n, count)};
}

// What a loader has under way for the next tile while the current one is walked.
template <typename in_t, class Layout>
struct Fetched {
  Pack<in_t, Layout::kPack> u, delta;
  Projections<in_t, Layout> projections;
};

template <typename in_t, class Layout>
__device__ __forceinline__ Fetched<in_t, Layout> fetch(const ScanArgs& args, const Share<Layout>& me, int64_t start) {
  return {load_channels<in_t>(args.u, me, start + me.token), load_channels<in_t>(args.delta, me, start + me.token),
          fetch_projections<in_t>(args, me, start, 0)};
}

template <typename acc_t>
struct alignas(2 * sizeof(acc_t)) Step {
  acc_t delta, delta_u;
};

// B and C of a tile, for one block of states.
template <typename acc_t>
struct StagedProjections {
  alignas(16) acc_t B[kTileTokens][kBlockStates];
  alignas(16) acc_t C[kTileTokens][kBlockStates];
};

template <typename in_t, typename acc_t, class Layout>
__device__ __forceinline__ void stage(StagedProjections<acc_t>& to, const Share<Layout>& me,
                                      const Projections<in_t, Layout>& from) {
  const int turn = me.turn(me.state_token);
#pragma unroll
  for (int i = 0; i < Layout::kProjection; ++i) {
    to.B[turn][me.first_state + i] = widen(from.B.values[i]);
    to.C[turn][me.first_state + i] = widen(from.C.values[i]);
  }
}

// A walker's states in a dense (..., D, N) array of `rows` times D channels; states that do not exist are zero.
template <class Layout>
struct WalkerStates {
  int64_t first;
  int count;

  __device__ WalkerStates(const ScanArgs& args, const Share<Layout>& me, int64_t row, int block) {
    const int64_t n = block * kBlockStates + me.lane * Layout::kStates;
    first = (row * args.channels + me.channel + me.walk_channel) * args.state + n;
    count = me.walk_channel < me.channels && n < args.state ? int(args.state - n) : 0;
  }
};

template <typename acc_t, class Layout>
__device__ __forceinline__ void load_states(acc_t (&values)[Layout::kStates], const void* from,
                                            const WalkerStates<Layout>& at) {
#pragma unroll
  for (int i = 0; i < Layout::kStates; ++i)
    values[i] = from && i < at.count ? static_cast<const acc_t*>(from)[at.first + i] : acc_t(0);
}
template <typename acc_t, class Layout>
__device__ __forceinline__ void store_states(void* to, const acc_t (&values)[Layout::kStates],
                                             const WalkerStates<Layout>& at) {
#pragma unroll
  for (int i = 0; i < Layout::kStates; ++i)
    if (to && i < at.count) static_cast<acc_t*>(to)[at.first + i] = values[i];
}

template <typename acc_t, class Layout>
__device__ __forceinline__ void load_decay(acc_t (&decay)[Layout::kStates], const ScanArgs& args,
                                           const Share<Layout>& me, int block) {
  load_states(decay, args.A, WalkerStates<Layout>(args, me, me.direction, block));
#pragma unroll
  for (int n = 0; n < Layout::kStates; ++n) decay[n] *= kLog2E<acc_t>;  // so that exp(delta A) is one power of two
}

// Where a walker's value number i of a block of states waits while other blocks of states are walked.
__device__ __forceinline__ int64_t waiting_place(int blocks, int block, int values, int i) {
  return ((int64_t(blockIdx.x) * blocks + block) * values + i) * blockDim.x + threadIdx.x;
}

// Of `values`, each to be summed over kCount lanes that lie kStride apart, lane number `index` of these gets sum number
// `index`: half of the values change lanes at each step, so that kCount sums take kCount - 1 exchanges.
template <int kCount, int kStride, typename acc_t>
__device__ __forceinline__ acc_t spread_sums(acc_t* values, int index) {
  if constexpr (kCount == 1) {
    return values[0];
  } else {
    constexpr int kHalf = kCount / 2;
    const bool upper = index & kHalf;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const acc_t keep = upper ? values[i + kHalf] : values[i], give = upper ? values[i] : values[i + kHalf];
      values[i] = keep + __shfl_xor_sync(kAllLanes, give, kHalf * kStride);
    }
    return spread_sums<kHalf, kStride>(values, index);
  }
}

// Where the loader's pack at time t lies in what one direction leaves for the other: (B, L, D).
template <class Layout>
__device__ __forceinline__ int64_t partial_place(const ScanArgs& args, const Share<Layout>& me, int64_t t) {
  return (me.batch * args.length + t) * args.channels + me.channel + me.pack;
}

// Where the walker's state n before the tile that begins at `start` is kept: (R, B, K, N, D).
template <class Layout>
__device__ __forceinline__ int64_t checkpoint_place(const ScanArgs& args, const Share<Layout>& me, int64_t start,
                                                    int64_t n) {
  const int64_t checkpoints = (args.length + kTileTokens - 1) / kTileTokens;
  const int64_t row = (me.direction * args.batch + me.batch) * checkpoints + start / kTileTokens;
  return (row * args.state + n) * args.channels + me.channel + me.walk_channel;
}

// Two directions take a clip from both ends. Until they meet, each leaves what it has for the other; then each finds
// what the other has left. In the middle tile of an odd number both are there at once, and the first leaves it to the
// second.
struct Meeting {
  bool second;  // the other direction has been here, or there is none
  bool middle;  // both are here now

  __device__ Meeting(int64_t i, int64_t tiles, int direction, int64_t directions)
      : second(directions == 1 || 2 * i + direction >= tiles), middle(directions == 2 && 2 * i + 1 == tiles) {}
};

}  // namespace
}  // namespace ssamba
