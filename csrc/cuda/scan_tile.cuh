// What the forward and the backward scan share: how a block's threads divide the work, and a tile of its inputs.
//
// A block owns one clip, some neighbouring channels of one group, and all directions, each with threads of its own.
// Time is cut into tiles of 16 tokens. A tile is handled twice over: as loaders, threads take a pack of channels of one
// token from memory to shared memory and back; as walkers, kLanes threads share a channel's states and go through the
// tile. In shared memory a tile lies in the order of the walk, so that a walk knows no direction, and tokens behind the
// clip's end have steps of zero, which leave a state as it is.
#pragma once

#include "../selective_scan.h"
#include "dispatch.h"
#include "pack_column.cuh"
#include "scan_blocks.h"
#include "scan_math.cuh"

namespace ssamba {
namespace {

constexpr int kTileTokens = kCudaCheckpointTokens;
constexpr int kBlockStates = 16;  // walked at once; more are taken block by block
constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

SSAMBA_HOST_DEVICE inline int state_blocks(const ScanArgs& args) { return int(ceil_divide(args.state, kBlockStates)); }

// kLanes lanes share a channel's states, kThreads threads belong to one direction. All other sizes follow.
template <int lanes, int threads>
struct ScanLayout {
  static constexpr int kLanes = lanes;
  static constexpr int kThreads = threads;
  static constexpr int kStates = kBlockStates / kLanes;             // of one lane
  static constexpr int kChannels = kThreads / kLanes;               // of one block
  static constexpr int kWarpChannels = kWarp / kLanes;              // of one warp
  static constexpr int kPack = kTileTokens * kChannels / kThreads;  // channels of one token that a loader takes
  static constexpr int kProjection = kTileTokens * kBlockStates / kThreads;  // states of B, and of C, that it takes
  // Rows of shared memory are longer than a tile has channels, so that packs of neighbouring tokens, or the rows of a
  // channel's lanes, lie in different banks.
  static constexpr int kRow = kChannels + kWarpChannels;
  static constexpr int kStepRow = kChannels + (kPack >= 4 ? 2 : 0);
  static_assert(kWarpChannels >= 1 && kPack >= 1 && kProjection >= 1 && kThreads % kWarp == 0);
};

// A thread's share of the block's work.
template <class Layout>
struct Share {
  int batch, group, split;
  int channel;   // the block's first
  int channels;  // of the block's that exist
  int length;    // of the clip
  bool reverse;

  __device__ explicit Share(const ScanArgs& args) {
    const int groups = int(args.groups), in_group = int(args.channels) / groups;
    const int splits = (in_group + Layout::kChannels - 1) / Layout::kChannels;
    split = int(blockIdx.x) % splits;
    group = int(blockIdx.x) / splits % groups;
    batch = int(blockIdx.x) / splits / groups;
    channel = group * in_group + split * Layout::kChannels;
    channels = min(in_group - split * Layout::kChannels, Layout::kChannels);
    const int64_t given = args.lengths ? args.lengths[batch] : args.length;
    length = int(given < 0 ? 0 : given > args.length ? args.length : given);

    reverse = args.reverse[direction()];
  }

  __device__ static int direction() { return threadIdx.x / Layout::kThreads; }
  __device__ static int thread() { return threadIdx.x % Layout::kThreads; }  // of the direction

  // As a loader: the token of the tile and the first channel of its pack; likewise for its pack of B and C.
  static constexpr int kTokenPacks = Layout::kChannels / Layout::kPack;
  static constexpr int kStatePacks = kBlockStates / Layout::kProjection;
  __device__ static int token() { return thread() / kTokenPacks; }
  __device__ static int pack() { return thread() % kTokenPacks * Layout::kPack; }
  __device__ static int state_token() { return thread() / kStatePacks; }
  __device__ static int first_state() { return thread() % kStatePacks * Layout::kProjection; }

  // As a walker: its channel, and which of the channel's lanes it is.
  __device__ static int walk_channel() {
    return thread() / kWarp * Layout::kWarpChannels + thread() % Layout::kWarpChannels;
  }
  __device__ static int lane() { return thread() % kWarp / Layout::kWarpChannels; }

  // The same, but places that follow from it are computed where they are used: registers are wanted more.
  __device__ Share forgotten() const {
    Share same = *this;
    same.batch = ssamba::forgotten(batch);
    return same;
  }

  // A clip without tokens is walked as one tile without tokens, which hands its state on.
  __device__ int tiles() const { return length > 0 ? (length + kTileTokens - 1) / kTileTokens : 1; }

  // Where the walk's i-th tile begins in the clip.
  __device__ int start(int i) const { return (reverse ? tiles() - 1 - i : i) * kTileTokens; }

  // The walker's first state of a block, and how many exist from there on.
  __device__ int walk_state(int block) const { return block * kBlockStates + lane() * Layout::kStates; }
  __device__ int state_count(const ScanArgs& args, int block) const {
    return walk_channel() < channels ? int(args.state) - walk_state(block) : 0;
  }

  // Where the block's clip begins. Unsigned numbers spare the multiplication of 64 bits a sign.
  template <typename Pointer>
  __device__ int64_t clip(const Strided<Pointer>& x) const {
    return (direction() ? x.direction : 0) + unsigned(batch) * x.batch;
  }

  // Where a token of a tile lies in shared memory: its turn in the walk.
  __device__ int turn(int token_of_tile) const { return reverse ? kTileTokens - 1 - token_of_tile : token_of_tile; }
};

// The loader's pack in a (B, L, D) tensor, or (R, B, L, D).
template <typename T, class Layout, typename Pointer>
__device__ __forceinline__ PackColumn<T, Layout::kPack> channel_column(const Strided<Pointer>& x,
                                                                       const Share<Layout>& me) {
  const int64_t clip = me.clip(x);
  return {static_cast<T*>(x.data) + clip + me.channel + me.pack(), x.time};
}

// Where the loader's pack of the clip's first token lies in a dense (B, L, D) tensor, or (R, B, L, D) for the given
// direction.
template <class Layout>
__device__ __forceinline__ int64_t dense_place(const ScanArgs& args, const Share<Layout>& me, int direction = 0) {
  return (direction * args.batch + me.batch) * args.length * args.channels + me.channel + me.pack();
}

template <typename T, class Layout>
__device__ __forceinline__ PackColumn<T, Layout::kPack> dense_pack(void* x, int64_t place) {
  return {static_cast<T*>(x) + place, 0};
}

// Tokens behind the clip's end are zero.
template <typename in_t, class Layout>
__device__ __forceinline__ void clear_channels(const Output& x, const ScanArgs& args, const Share<Layout>& me) {
  const Acc<in_t> zeros[Layout::kPack] = {};
  const auto column = channel_column<in_t>(x, me);
  const auto access = pack_access<Layout::kPack>(me.channels - me.pack(), column);
  for (int t = me.length + me.token(); t < args.length; t += kTileTokens) column.store(t, access, zeros);
}

// The loader's pack of an (R, D) parameter, zeros if there is none.
template <typename acc_t, class Layout>
__device__ __forceinline__ Pack<acc_t, Layout::kPack> load_parameter(const void* x, const ScanArgs& args,
                                                                     const Share<Layout>& me) {
  const auto column = channel_column<const acc_t>(Input{x, args.channels}, me);
  return column.load(0, pack_access<Layout::kPack>(me.channels - me.pack(), column), x);
}

// Bias and skip of a tile's channels, to be seen after a barrier.
template <class Tile, class Layout>
__device__ __forceinline__ void load_channel_parameters(Tile& tile, const ScanArgs& args, const Share<Layout>& me) {
  using acc_t = std::remove_reference_t<decltype(tile.bias[0])>;
  if (me.token() > 0) return;
  store_pack(&tile.bias[me.pack()], load_parameter<acc_t>(args.delta_bias, args, me));
  store_pack(&tile.skip[me.pack()], load_parameter<acc_t>(args.D, args, me));
}

template <typename in_t, class Layout>
struct Projections {
  Pack<in_t, Layout::kProjection> B, C;
};

// The loader's packs of B and C, for one block of states.
template <typename in_t, class Layout>
struct ProjectionColumns {
  PackColumn<const in_t, Layout::kProjection> B, C;
  PackAccess access;

  __device__ static PackColumn<const in_t, Layout::kProjection> column(const Input& x, const Share<Layout>& me,
                                                                       int64_t n) {
    const int64_t clip = me.clip(x) + unsigned(me.group) * x.group;
    return {static_cast<const in_t*>(x.data) + clip + n, x.time};
  }

  __device__ ProjectionColumns(const ScanArgs& args, const Share<Layout>& me, int block)
      : B(column(args.B, me, first_state(me, block))), C(column(args.C, me, first_state(me, block))) {
    access = pack_access<Layout::kProjection>(args.state - first_state(me, block), B, C);
  }

  __device__ static int64_t first_state(const Share<Layout>& me, int block) {
    return block * kBlockStates + me.first_state();
  }

  __device__ __forceinline__ Projections<in_t, Layout> fetch(const Share<Layout>& me, int start) const {
    const int t = start + me.state_token();
    return {B.load(t, access, t < me.length), C.load(t, access, t < me.length)};
  }
  __device__ __forceinline__ Projections<in_t, Layout> fetch_whole(const Share<Layout>& me, int start) const {
    const int t = start + me.state_token();
    return {B.load_whole(t), C.load_whole(t)};
  }
};

template <typename acc_t>
struct alignas(2 * sizeof(acc_t)) Step {
  acc_t delta, delta_u;
};

// The loader's pack of steps.
template <typename acc_t, int kPack>
__device__ __forceinline__ void store_steps(Step<acc_t>* to, const acc_t (&delta)[kPack], const acc_t (&u)[kPack]) {
  store_pack(reinterpret_cast<acc_t*>(to),
             make_pack<acc_t, 2 * kPack>([&](int i) { return i % 2 ? delta[i / 2] * u[i / 2] : delta[i / 2]; }));
}

// B and C of a tile, for one block of states. Copy number q has state s in place s ^ q, so that walkers who keep their
// states in such an order of their own read them as packs. Copies are a little apart, in different banks.
template <typename acc_t, int kCopies = 1>
struct StagedProjections {
  static constexpr int kRow = kBlockStates + (kCopies > 1 ? 4 : 0);
  alignas(16) acc_t B[kTileTokens][kCopies][kRow];
  alignas(16) acc_t C[kTileTokens][kCopies][kRow];
};

template <int kCopies, typename in_t, int kCount, typename acc_t, int kRow>
__device__ __forceinline__ void stage_copies(acc_t (&to)[kCopies][kRow], int first, const Pack<in_t, kCount>& from) {
#pragma unroll
  for (int q = 0; q < kCopies; ++q)
    store_pack(&to[q][first ^ (q & ~(kCount - 1))],
               make_pack<acc_t, kCount>([&](int i) { return widen(from.at(i ^ (q & (kCount - 1)))); }));
}

template <typename in_t, typename acc_t, class Layout, int kCopies>
__device__ __forceinline__ void stage(StagedProjections<acc_t, kCopies>& to, const Share<Layout>& me,
                                      const Projections<in_t, Layout>& from) {
  const int turn = me.turn(me.state_token());
  stage_copies(to.B[turn], me.first_state(), from.B);
  stage_copies(to.C[turn], me.first_state(), from.C);
}

// Where a walker's states of one block begin in a dense (..., D, N) array of `rows` times D channels.
template <class Layout>
__device__ __forceinline__ int64_t states_place(const ScanArgs& args, const Share<Layout>& me, int64_t row, int block) {
  return (row * args.channels + me.channel + me.walk_channel()) * args.state + me.walk_state(block);
}

// States that do not exist are zero, and all are where there is no array. Value number i is that of state i ^ order.
template <typename acc_t, class Layout>
__device__ __forceinline__ void load_states(acc_t (&values)[Layout::kStates], const void* array, const ScanArgs& args,
                                            const Share<Layout>& me, int64_t row, int block, int order = 0) {
  const auto* from = static_cast<const acc_t*>(array) + states_place(args, me, row, block);
  const int count = array ? me.state_count(args, block) : 0;
#pragma unroll
  for (int i = 0; i < Layout::kStates; ++i) values[i] = (i ^ order) < count ? from[i ^ order] : acc_t(0);
}
template <typename acc_t, class Layout>
__device__ __forceinline__ void store_states(const acc_t (&values)[Layout::kStates], void* array, const ScanArgs& args,
                                             const Share<Layout>& me, int64_t row, int block, int order = 0) {
  auto* to = static_cast<acc_t*>(array) + states_place(args, me, row, block);
  const int count = array ? me.state_count(args, block) : 0;
#pragma unroll
  for (int i = 0; i < Layout::kStates; ++i)
    if ((i ^ order) < count) to[i ^ order] = values[i];
}

template <typename acc_t, class Layout>
__device__ __forceinline__ void load_decay(acc_t (&decay)[Layout::kStates], const ScanArgs& args,
                                           const Share<Layout>& me, int block, int order = 0) {
  load_states(decay, args.A, args, me, me.direction(), block, order);
#pragma unroll
  for (int n = 0; n < Layout::kStates; ++n) decay[n] *= kLog2E<acc_t>;  // so that exp(delta A) is one power of two
}

// Where a walker's value number i of a block of states waits while other blocks of states are walked.
__device__ __forceinline__ int64_t waiting_place(int blocks, int block, int values, int i) {
  return ((int64_t(blockIdx.x) * blocks + block) * values + i) * blockDim.x + threadIdx.x;
}

// How many such values there are in all, `values` for each state.
inline int64_t waiting_elements(const ScanArgs& args, int64_t block_channels, int64_t values) {
  if (args.state <= kBlockStates) return 0;
  return scan_blocks(args, block_channels) * block_channels * args.directions * state_blocks(args) * kBlockStates *
         values;
}

// Of `values`, each to be summed over kCount lanes that lie kStride apart, lane number `index` of these gets sum number
// `index`. Half of the values change lanes at each step, so that kCount sums take kCount - 1 exchanges. Neighbours go
// first: of values computed one after another, few need registers at a time.
template <int kCount, int kStride, typename acc_t>
__device__ __forceinline__ acc_t spread_sums(acc_t* values, int index) {
  if constexpr (kCount == 1) {
    return values[0];
  } else {
    const bool odd = index & 1;
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) {
      const acc_t even_value = values[2 * i], odd_value = values[2 * i + 1];
      values[i] = (odd ? odd_value : even_value) + __shfl_xor_sync(kAllLanes, odd ? even_value : odd_value, kStride);
    }
    return spread_sums<kCount / 2, 2 * kStride>(values, index / 2);
  }
}

// Of `values`, each to be summed over kCount lanes that lie kStride apart, where lane number `index` has value number
// i ^ index in place i: every lane gets the sum of the value that it has in place 0. As all lanes keep the same places
// and send the same places, there is nothing to select. Places are `kStep` apart.
template <int kCount, int kStride, int kStep, typename acc_t>
__device__ __forceinline__ void spread_ordered_sums(acc_t* values) {
  if constexpr (kCount > 1) {
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i)
      values[2 * i * kStep] += __shfl_xor_sync(kAllLanes, values[(2 * i + 1) * kStep], kStride);
    spread_ordered_sums<kCount / 2, 2 * kStride, 2 * kStep>(values);
  }
}

// Where the walker's states before the tile that begins at `start` are kept: (R, B, K, N, D).
template <class Layout>
__device__ __forceinline__ int64_t checkpoint_place(const ScanArgs& args, const Share<Layout>& me, int start,
                                                    int block) {
  const int64_t checkpoints = (args.length + kTileTokens - 1) / kTileTokens;
  const int64_t row = (me.direction() * args.batch + me.batch) * checkpoints + start / kTileTokens;
  return (row * args.state + me.walk_state(block)) * args.channels + me.channel + me.walk_channel();
}

// Two directions take a clip from both ends. Until they meet, each leaves what it has for the other; then each finds
// what the other has left. In the middle tile of an odd number both are there at once, and the first leaves it to the
// second.
struct Meeting {
  bool second;  // the other direction has been here, or there is none
  bool middle;  // both are here now

  __device__ Meeting(int i, int tiles, int direction, int64_t directions)
      : second(directions == 1 || 2 * i + direction >= tiles), middle(directions == 2 && 2 * i + 1 == tiles) {}
};

}  // namespace
}  // namespace ssamba
