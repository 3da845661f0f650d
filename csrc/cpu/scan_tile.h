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

// What a walk reads of one token, a vector each. One place in memory, so that one address reaches all of it.
template <typename T>
struct TileRow {
  using acc_t = T;
  T delta[kLanes<T>], u[kLanes<T>], delta_u[kLanes<T>];
};

template <typename Row>
struct Tile {
  alignas(64) Row rows[kTileTokens];
  bool bounded;  // all delta A log2(e) stay below kExp2Bound
  int tokens;
  int first, step;  // the order of the walk
};

inline int64_t tile_count(int64_t length) { return (length + kTileTokens - 1) / kTileTokens; }

// Where tile number `index` in the order of the walk begins in the clip.
inline int64_t tile_start(int64_t index, int64_t length, bool reverse) {
  return (reverse ? tile_count(length) - 1 - index : index) * kTileTokens;
}

// Step sizes of a tile, before bias and softplus, as products of r numbers a token with `weight` (r, lanes).
template <typename in_t, typename Row>
inline void project_delta(Tile<Row>& tile, const ScanArgs& args, const Lane& lane, int64_t start,
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
    for (int i = 0; i < kTogether && first + i < tile.tokens; ++i) store(tile.rows[first + i].delta, sum[i]);
  }
}

// kCount vectors one after the other, or a field of as many rows.
template <int kCount, typename T>
inline Vecs<T, kCount> load_vectors(const T* p) {
  Vecs<T, kCount> v;
  SSAMBA_LANES
  for (int i = 0; i < kCount; ++i) v.at[i] = load(p + i * kLanes<T>);
  return v;
}
template <int kCount, typename T>
inline void store_vectors(T* p, const Vecs<T, kCount>& v) {
  SSAMBA_LANES
  for (int i = 0; i < kCount; ++i) store(p + i * kLanes<T>, v.at[i]);
}
template <int kCount, typename Row, typename Field>
inline auto load_field(const Row* rows, Field field) {
  Vecs<typename Row::acc_t, kCount> v;
  SSAMBA_LANES
  for (int i = 0; i < kCount; ++i) v.at[i] = load(rows[i].*field);
  return v;
}
template <int kCount, typename Row, typename Field>
inline void store_field(Row* rows, Field field, const Vecs<typename Row::acc_t, kCount>& v) {
  SSAMBA_LANES
  for (int i = 0; i < kCount; ++i) store(rows[i].*field, v.at[i]);
}

// `count` values of kCount tokens, `stride` apart.
template <int kCount, typename in_t, typename Count>
inline Vecs<Acc<in_t>, kCount> load_tokens(const in_t* p, int64_t stride, Count count) {
  Vecs<Acc<in_t>, kCount> v;
  SSAMBA_LANES
  for (int i = 0; i < kCount; ++i) v.at[i] = load_widened(p + i * stride, count);
  return v;
}

// Bias and softplus of the step sizes in a tile, and what follows from them.
template <typename Row>
inline void make_steps(Tile<Row>& tile, bool with_softplus, Vec<typename Row::acc_t> bias,
                       Vec<typename Row::acc_t> steepest) {
  using acc_t = typename Row::acc_t;
  constexpr bool kWithSlope = requires { &Row::slope; };
  auto bounded = steepest == steepest;
  for_together(tile.tokens, [&]<int kCount>(int64_t t, Together<kCount>) {
    Row* rows = tile.rows + t;
    Vecs<acc_t, kCount> slope,
        step = load_field<kCount>(rows, &Row::delta).each([&](Vec<acc_t> v) { return v + bias; });
    if constexpr (kWithSlope) slope = step.each([](Vec<acc_t>) { return broadcast(acc_t(1)); });
    if (with_softplus) step = softplus(step, kWithSlope ? &slope : nullptr);
    if constexpr (kWithSlope) store_field<kCount>(rows, &Row::slope, slope);
    store_field<kCount>(rows, &Row::delta, step);
    store_field<kCount>(rows, &Row::delta_u, step * load_field<kCount>(rows, &Row::u));
    if constexpr (kBoundsCost<acc_t>)
      for (int i = 0; i < kCount; ++i) bounded &= magnitude<acc_t>(step.at[i] * steepest) < acc_t(kExp2Bound);
  });
  tile.bounded = kBoundsCost<acc_t> && all_lanes<acc_t>(bounded);
}

// `steepest` (lanes) as load_decay leaves it; `weight` as in project_delta, or null where delta is given for every
// channel.
template <typename in_t, typename Row>
inline void load_tile(Tile<Row>& tile, const ScanArgs& args, const Lane& lane, int64_t start, int64_t length,
                      const Acc<in_t>* steepest, const Acc<in_t>* weight = nullptr) {
  using acc_t = Acc<in_t>;
  const bool reverse = args.reverse[lane.direction];
  tile.tokens = int(length - start < kTileTokens ? length - start : kTileTokens);
  tile.first = reverse ? tile.tokens - 1 : 0;
  tile.step = reverse ? -1 : 1;
  if (weight) project_delta<in_t>(tile, args, lane, start, weight);
  const in_t* u = at<in_t>(args.u, lane, start) + lane.channel;
  const in_t* delta = at<in_t>(args.delta, lane, start) + lane.channel;
  const int64_t u_stride = args.u.time, delta_stride = args.delta.time;
  dispatch_count<acc_t>(lane.count, [&](auto count) {
    int t = tile.first;  // in the order in which the rows were fetched
    for (int i = 0; i < tile.tokens; ++i, t += tile.step) {
      store(tile.rows[t].u, load_widened(u + t * u_stride, count));
      if (!weight) store(tile.rows[t].delta, load_widened(delta + t * delta_stride, count));
    }
  });
  make_steps(tile, args.delta_softplus, channel_values<acc_t>(args.delta_bias, args, lane), load(steepest));
}

// Few registers: exp(delta A) of a whole tile is computed before the walk, which then has the registers for its states.
// What they wait for is short, so that a processor that looks less far ahead, as one that serves two threads does,
// still finds enough to do. With many registers both fit, and stores and loads are saved.
constexpr bool kDecaysFirst = kVectorRegisters < 32;

// exp(delta A) of some states of every token, where they are computed first.
template <typename T, int kBlock>
struct DecayRow {
  T of[kBlock][kLanes<T>];
};

template <int kStates, bool kBounded, typename Row, typename Decays>
inline void make_decays(const Tile<Row>& tile, const typename Row::acc_t* decay, Decays* out) {
  constexpr int kTogether = kStates % 4 == 0 ? 4 : 1;
  for (int t = 0; t < tile.tokens; ++t) {
    const auto delta = load(tile.rows[t].delta);
    SSAMBA_LANES
    for (int n = 0; n < kStates; n += kTogether)
      store_vectors<kTogether>(
          out[t].of[n],
          exp2_product<kBounded>(delta, load_vectors<kTogether>(decay + n * kLanes<typename Row::acc_t>)));
  }
}

// `decay` (kStates, lanes) from load_decay. Does nothing where decays are computed during the walk.
template <int kStates, typename Row, typename Decays>
inline void prepare_decays(const Tile<Row>& tile, const typename Row::acc_t* decay, Decays* out) {
  if constexpr (!kDecaysFirst) return;
  if (kBoundsCost<typename Row::acc_t> && tile.bounded) return make_decays<kStates, true>(tile, decay, out);
  make_decays<kStates, false>(tile, decay, out);
}

// exp(delta A) of state n of token t, prepared or not.
template <typename acc_t, int kBlock>
inline Vec<acc_t> decay_of(const DecayRow<acc_t, kBlock>* prepared, int t, int n, Vec<acc_t> delta,
                           const acc_t* decay) {
  if constexpr (kDecaysFirst) return load(prepared[t].of[n]);
  return exp2_product<false>(delta, load_vectors<1>(decay + n * kLanes<acc_t>)).at[0];
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
  if (!x.data || index < 0 || index >= tile_count(length)) return;
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

// A * log2(e), so that exp(delta * A) is one exp2, as (N, lanes), and the largest magnitude of them, (lanes).
template <typename acc_t>
inline void load_decay(acc_t* out, acc_t* steepest, const ScanArgs& args, const Lane& lane) {
  const acc_t* A = static_cast<const acc_t*>(args.A) + (lane.direction * args.channels + lane.channel) * args.state;
  load_states(out, A, args.state, lane.count);
  Vec<acc_t> most{};
  for (int64_t n = 0; n < args.state; ++n, out += kLanes<acc_t>) {
    const Vec<acc_t> value = load(out) * kLog2E<acc_t>, size = magnitude<acc_t>(value);
    store(out, value);
    most = (size > most ? size : most) + size * acc_t(0);  // a NaN or an infinity stays, as a NaN
  }
  store(steepest, most);
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
