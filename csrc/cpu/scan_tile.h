// The pieces that the forward and the backward scan share: what one worker owns, and a tile of its inputs, widened.
//
// A worker owns one clip and a split of one group's channels, one channel to a vector lane. Time is cut into tiles; a
// tile is loaded once, with softplus applied, and then walked in order with the states in registers.
#pragma once

#include "../selective_scan.h"
#include "rows_ahead.h"
#include "simd.h"

namespace ssamba {
namespace {

constexpr int kTileTokens = kCpuCheckpointTokens;

// States that one walk keeps in registers. What is left of N is walked in blocks of 4, then one by one.
constexpr int kStateBlock = kVectorRegisters == 32 ? 16 : 8;

template <int kStates>
struct StateBlock {};

template <int kLargest, typename Body>
inline void for_state_blocks(int64_t state, Body body) {
  int64_t n = 0;
  for (; state - n >= kLargest; n += kLargest) body(StateBlock<kLargest>{}, n);
  for (; state - n >= 4; n += 4) body(StateBlock<4>{}, n);
  for (; n < state; ++n) body(StateBlock<1>{}, n);
}

// One direction of one clip, and up to kLanes channels inside one group.
struct Lane {
  int64_t direction, batch, group, channel;
  int count;
};

// A work item: one clip and some neighbouring vectors of channels ("blocks") of one group. Blocks of a split share B
// and C, and rows of several cache lines keep the walk from missing the TLB at every row.
struct Split {
  int64_t batch, group, index;  // index: which split of the group
  int64_t first_block, blocks;
};

template <typename acc_t>
inline int64_t split_blocks(const ScanArgs& args) {
  return (args.split_channels + kLanes<acc_t> - 1) / kLanes<acc_t>;
}

template <typename acc_t>
inline Split item_split(const ScanArgs& args, int64_t item) {
  const int64_t in_group = args.channels / args.groups;
  const int64_t all_blocks = (in_group + kLanes<acc_t> - 1) / kLanes<acc_t>;
  const int64_t blocks = split_blocks<acc_t>(args), splits = (all_blocks + blocks - 1) / blocks;
  const int64_t index = item % splits, first = index * blocks;
  return {item / splits / args.groups, item / splits % args.groups, index, first,
          all_blocks - first < blocks ? all_blocks - first : blocks};
}

template <typename acc_t>
inline Lane block_lane(const ScanArgs& args, const Split& split, int64_t direction, int64_t i) {
  const int64_t in_group = args.channels / args.groups, channel = (split.first_block + i) * kLanes<acc_t>;
  const int64_t left = in_group - channel;
  const int count = int(left < kLanes<acc_t> ? left : kLanes<acc_t>);
  return {direction, split.batch, split.group, split.group * in_group + channel, count};
}

template <typename in_t>
inline const in_t* at(const Input& x, const Lane& lane, int64_t time) {
  return static_cast<const in_t*>(x.data) + lane.direction * x.direction + lane.batch * x.batch + time * x.time;
}
template <typename in_t>
inline in_t* at(const Output& x, const Lane& lane, int64_t time) {
  return static_cast<in_t*>(x.data) + lane.direction * x.direction + lane.batch * x.batch + time * x.time;
}

inline int64_t clip_length(const ScanArgs& args, int64_t batch) {
  return args.lengths ? args.lengths[batch] : args.length;
}

template <typename acc_t>
inline Vec<acc_t> channel_values(const void* per_channel, const ScanArgs& args, const Lane& lane) {
  if (!per_channel) return Vec<acc_t>{};
  return load_widened(static_cast<const acc_t*>(per_channel) + lane.direction * args.channels + lane.channel,
                      lane.count);
}

// Gathers (lanes, N) values of a dense (..., D, N) array into (N, lanes); lanes behind `count` get zeros.
template <typename acc_t>
inline void load_states(acc_t* out, const acc_t* in, int64_t state, int count) {
  for (int64_t n = 0; n < state; ++n)
    for (int i = 0; i < kLanes<acc_t>; ++i) out[n * kLanes<acc_t> + i] = i < count ? in[i * state + n] : acc_t(0);
}
template <typename acc_t>
inline void store_states(acc_t* out, const acc_t* in, int64_t state, int count) {
  for (int64_t n = 0; n < state; ++n)
    for (int i = 0; i < count; ++i) out[i * state + n] = in[n * kLanes<acc_t> + i];
}

template <typename acc_t>
struct Tile {
  static constexpr int64_t kRow = kLanes<acc_t>;
  alignas(64) acc_t delta[kTileTokens * kRow];
  alignas(64) acc_t u[kTileTokens * kRow];
  alignas(64) acc_t delta_u[kTileTokens * kRow];
  alignas(64) acc_t slope[kTileTokens * kRow];  // of softplus, if asked for
  int tokens;
  int first, step;  // the order of the walk
};

inline int64_t tile_count(int64_t length) { return (length + kTileTokens - 1) / kTileTokens; }

// Where tile number `index` in the order of the walk begins in the clip.
inline int64_t tile_start(int64_t index, int64_t length, bool reverse) {
  return (reverse ? tile_count(length) - 1 - index : index) * kTileTokens;
}

// Step sizes of a tile, before bias and softplus, as products of r numbers a token with `weight` (r, lanes).
template <typename in_t>
inline void project_delta(Tile<Acc<in_t>>& tile, const ScanArgs& args, const Lane& lane, int64_t start,
                          const Acc<in_t>* weight) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  constexpr int kTogether = 4;  // sums that do not wait for each other
  for (int first = 0; first < tile.tokens; first += kTogether) {
    const in_t* numbers[kTogether];
    Vec<acc_t> sum[kTogether] = {};
    for (int i = 0; i < kTogether; ++i) {
      const int t = first + i < tile.tokens ? first + i : tile.tokens - 1;
      numbers[i] = at<in_t>(args.delta, lane, start + t);
    }
    for (int64_t k = 0; k < args.rank; ++k) {
      const Vec<acc_t> channels = load(weight + k * row);
      for (int i = 0; i < kTogether; ++i) sum[i] += channels * widen(numbers[i][k]);
    }
    for (int i = 0; i < kTogether && first + i < tile.tokens; ++i) store(tile.delta + (first + i) * row, sum[i]);
  }
}

// `weight` as in project_delta, or null where delta is given for every channel.
template <typename in_t, bool kWithSlope>
inline void load_tile(Tile<Acc<in_t>>& tile, const ScanArgs& args, const Lane& lane, int64_t start, int64_t length,
                      const Acc<in_t>* weight = nullptr) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  const bool reverse = args.reverse[lane.direction];
  tile.tokens = int(length - start < kTileTokens ? length - start : kTileTokens);
  tile.first = reverse ? tile.tokens - 1 : 0;
  tile.step = reverse ? -1 : 1;
  if (weight) project_delta<in_t>(tile, args, lane, start, weight);
  const Vec<acc_t> bias = channel_values<acc_t>(args.delta_bias, args, lane);
  const in_t* u = at<in_t>(args.u, lane, start) + lane.channel;
  const in_t* delta = at<in_t>(args.delta, lane, start) + lane.channel;
  int t = tile.first;  // in the order in which the rows were fetched
  for (int i = 0; i < tile.tokens; ++i, t += tile.step) {
    const Vec<acc_t> value = load_widened(u + t * args.u.time, lane.count);
    Vec<acc_t> step = weight ? load(tile.delta + t * row) : load_widened(delta + t * args.delta.time, lane.count);
    step += bias;
    Vec<acc_t> slope = broadcast(acc_t(1));
    if (args.delta_softplus) step = softplus<acc_t>(step, kWithSlope ? &slope : nullptr);
    if constexpr (kWithSlope) store(tile.slope + t * row, slope);
    store(tile.u + t * row, value);
    store(tile.delta + t * row, step);
    store(tile.delta_u + t * row, step * value);
  }
}

// (tokens, N) values of B or C, widened and dense.
template <typename in_t>
inline void load_projection(Acc<in_t>* out, const Input& x, const Lane& lane, int64_t start, int tokens,
                            int64_t state) {
  using acc_t = Acc<in_t>;
  constexpr int lanes = kLanes<acc_t>;
  for (int t = 0; t < tokens; ++t, out += state) {
    const in_t* row = at<in_t>(x, lane, start + t) + lane.group * x.group;
    int64_t n = 0;
    for (; state - n >= lanes; n += lanes) store(out + n, load_widened(row + n, lanes));
    for (; n < state; ++n) out[n] = widen(row[n]);
  }
}

// B and C of a split's tile, each (tokens, N). Returns the tokens of the tile.
template <typename in_t>
inline int load_projections(Acc<in_t>* B, Acc<in_t>* C, const ScanArgs& args, const Split& split, int64_t direction,
                            int64_t start, int64_t length) {
  const int tokens = int(length - start < kTileTokens ? length - start : kTileTokens);
  const Lane lane = block_lane<Acc<in_t>>(args, split, direction, 0);
  load_projection<in_t>(B, args.B, lane, start, tokens, args.state);
  load_projection<in_t>(C, args.C, lane, start, tokens, args.state);
  return tokens;
}

// The first row of tile number `index` in the order of the walk, and the way to its next row.
template <typename in_t, int kTensors, typename Tensor>
inline void add_rows(RowsAhead<kTensors>& rows, const Tensor& x, const Lane& first, int64_t index, int64_t length,
                     bool reverse) {
  if (!x.data) return;
  const int64_t start = tile_start(index, length, reverse);
  const int64_t last = (length - start < kTileTokens ? length - start : kTileTokens) - 1;
  rows.add(at<in_t>(x, first, reverse ? start + last : start) + first.channel,
           (reverse ? -x.time : x.time) * int64_t(sizeof(in_t)));
}

// For the rows of tile number `index`, if there is such a tile.
template <typename in_t, int kTensors>
inline RowsAhead<kTensors> next_rows(const Split& split, int64_t index, int64_t length) {
  using acc_t = Acc<in_t>;
  const bool exists = index >= 0 && index < tile_count(length);
  return RowsAhead<kTensors>(exists ? kTileTokens : 0, split.blocks, kLanes<acc_t> * int64_t(sizeof(in_t)));
}

// A * log2(e), so that exp(delta * A) is one exp2, as (N, lanes).
template <typename acc_t>
inline void load_decay(acc_t* out, const ScanArgs& args, const Lane& lane) {
  const acc_t* A = static_cast<const acc_t*>(args.A) + (lane.direction * args.channels + lane.channel) * args.state;
  load_states(out, A, args.state, lane.count);
  for (int64_t i = 0; i < args.state * kLanes<acc_t>; ++i) out[i] *= kLog2E<acc_t>;
}

// Weights of the time step's projection, as (r, lanes).
template <typename acc_t>
inline void load_delta_weight(acc_t* out, const ScanArgs& args, const Lane& lane) {
  const int64_t row = lane.direction * args.channels + lane.channel;
  load_states(out, static_cast<const acc_t*>(args.delta_weight) + row * args.rank, args.rank, lane.count);
}

template <typename acc_t>
inline void load_initial_state(acc_t* out, const void* states, const ScanArgs& args, const Lane& lane) {
  const int64_t row = (lane.direction * args.batch + lane.batch) * args.channels + lane.channel;
  if (states)
    load_states(out, static_cast<const acc_t*>(states) + row * args.state, args.state, lane.count);
  else
    for (int64_t i = 0; i < args.state * kLanes<acc_t>; ++i) out[i] = 0;
}

template <typename acc_t>
inline void store_final_state(void* states, const acc_t* in, const ScanArgs& args, const Lane& lane) {
  if (!states) return;
  const int64_t row = (lane.direction * args.batch + lane.batch) * args.channels + lane.channel;
  store_states(static_cast<acc_t*>(states) + row * args.state, in, args.state, lane.count);
}

// Where the states (N, D) of a tile's checkpoint begin for a lane.
template <typename acc_t, typename Pointer>
inline acc_t* checkpoint_states(Pointer* checkpoints, const ScanArgs& args, const Lane& lane, int64_t start) {
  const int64_t clip = lane.direction * args.batch + lane.batch;
  const int64_t tile = clip * tile_count(args.length) + start / kTileTokens;
  return static_cast<acc_t*>(checkpoints) + tile * args.state * args.channels + lane.channel;
}

}  // namespace
}  // namespace ssamba
