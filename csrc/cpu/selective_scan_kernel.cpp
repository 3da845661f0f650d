// Selective scan, forward, for one or two directions of time.
//
//   delta = softplus(delta + delta_bias)          h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t
//
//   y_t = C_t . h_t + D u_t                       out = sum over directions of y, times silu(z)
//
// u, delta (R, B, L, D); B, C (R, B, L, G, N); A (R, D, N). One work item is one clip and a split of one group's
// channels, a few vectors wide. It goes through time tile by tile, and in a tile vector by vector with the states in
// registers. Directions follow each other: the first leaves its y in scratch, the last adds, gates and stores. States
// and sums are float32 (float64 for float64).

#include "isa.h"
#include "kernels.h"
#include "scan_tile.h"
#include "scratch.h"

namespace ssamba {
namespace {

constexpr int kTensorsAhead = 4;  // u, delta; in the last direction z and out
using Rows = RowsAhead<kTensorsAhead>;

// Walks one tile, updating the states (N, lanes), and leaves C_t . h_t + D u_t in y (tokens, lanes), or adds it to what
// is there.
template <typename acc_t, int kStates, bool kAdd>
inline void walk_tile(const Tile<TileRow<acc_t>>& tile, const DecayRow<acc_t, kStateBlock>* decays, const acc_t* decay,
                      const acc_t* B, const acc_t* C, int64_t state, Vec<acc_t> skip, acc_t* h_memory, acc_t* y,
                      Rows& rows_ahead) {
  constexpr int64_t row = kLanes<acc_t>;
  Rows rows = rows_ahead;
  Vec<acc_t> h[kStates];
  SSAMBA_LANES
  for (int n = 0; n < kStates; ++n) h[n] = load(h_memory + n * row);
  int t = tile.first;
  for (int i = 0; i < tile.tokens; ++i, t += tile.step) {
    const TileRow<acc_t>& token = tile.rows[t];
    const Vec<acc_t> delta = load(token.delta), delta_u = load(token.delta_u);
    const acc_t* b = B + t * state;
    const acc_t* c = C + t * state;
    Vec<acc_t> sum[2] = {skip * load(token.u), {}};
    if constexpr (kAdd) sum[1] = load(y + t * row);
    rows.fetch();
    SSAMBA_LANES
    for (int n = 0; n < kStates; ++n) {
      h[n] = delta_u * b[n] + decay_of(decays, t, n, delta, decay) * h[n];
      sum[n & 1] += h[n] * c[n];
    }
    store(y + t * row, sum[0] + sum[1]);
  }
  SSAMBA_LANES
  for (int n = 0; n < kStates; ++n) store(h_memory + n * row, h[n]);
  rows_ahead = rows;
}

// Walks all states of a tile; `add` as in walk_tile.
template <typename acc_t>
inline void walk_states(const Tile<TileRow<acc_t>>& tile, DecayRow<acc_t, kStateBlock>* decays, const acc_t* decay,
                        const acc_t* B, const acc_t* C, int64_t state, Vec<acc_t> skip, acc_t* h, acc_t* y, bool add,
                        Rows& rows) {
  for_state_blocks<kStateBlock>(state, [&]<int kStates>(StateBlock<kStates>, int64_t n) {
    const int64_t first = n * kLanes<acc_t>;
    prepare_decays<kStates>(tile, decay + first, decays);
    const auto walk = add || n > 0 ? walk_tile<acc_t, kStates, true> : walk_tile<acc_t, kStates, false>;
    walk(tile, decays, decay + first, B + n, C + n, state, n == 0 ? skip : Vec<acc_t>{}, h + first, y, rows);
  });
}

// Leaves the states (N, lanes) before a tile for the backward pass.
template <typename acc_t>
void store_checkpoint(const ScanForwardArgs& args, const Lane& lane, int64_t start, const acc_t* h) {
  if (!args.checkpoints) return;
  acc_t* states = checkpoint_states<acc_t>(args.checkpoints, args, lane, start);
  for (int64_t n = 0; n < args.state; ++n)
    store_narrowed(states + n * args.channels, load(h + n * kLanes<acc_t>), lane.count);
}

// Adds what out holds, if asked to, gates y and stores it. Loads and stores in loops of their own, as a load that
// follows a store with the same address bits within a page waits for it, and tensors tend to begin at the same place in
// a page.
template <typename in_t>
void finish_tile(const ScanForwardArgs& args, const Lane& lane, int64_t start, const Tile<TileRow<Acc<in_t>>>& tile,
                 Acc<in_t>* y) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  in_t* out = at<in_t>(args.out, lane, start) + lane.channel;
  const in_t* z = args.z.data ? at<in_t>(args.z, lane, start) + lane.channel : nullptr;
  const int64_t out_stride = args.out.time, z_stride = args.z.time;
  dispatch_count<acc_t>(lane.count, [&](auto count) {
    if (args.add)
      for (int t = 0; t < tile.tokens; ++t)
        store(y + t * row, load(y + t * row) + load_widened(out + t * out_stride, count));
    if (z)
      for_together(tile.tokens, [&]<int kCount>(int64_t t, Together<kCount>) {
        const auto z_t = load_tokens<kCount>(z + t * z_stride, z_stride, count);
        store_vectors<kCount>(y + t * row, load_vectors<kCount>(y + t * row) * z_t * sigmoid(z_t));
      });
    for (int t = 0; t < tile.tokens; ++t) store_narrowed(out + t * out_stride, load(y + t * row), count);
  });
}

template <typename acc_t>
struct Workspace {
  Tile<TileRow<acc_t>> tile;
  alignas(64) DecayRow<acc_t, kStateBlock> decays[kDecaysFirst ? kTileTokens : 1];
  acc_t *decay, *h;     // (blocks, N, lanes)
  acc_t* steepest;      // (blocks, lanes)
  acc_t* delta_weight;  // (blocks, r, lanes), or null
  acc_t *B, *C;         // (tokens, N)
  acc_t* y;             // (blocks, L, lanes) between two directions, or one tile
};

// One tile of the vector of channels `block` of a split.
template <typename in_t>
void scan_tile(const ScanForwardArgs& args, const Lane& lane, int64_t block, int64_t start, int64_t length,
               Workspace<Acc<in_t>>& work, Acc<in_t>* y, Rows& rows) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  Tile<TileRow<acc_t>>& tile = work.tile;
  acc_t* h = work.h + block * args.state * row;
  store_checkpoint(args, lane, start, h);
  load_tile<in_t>(tile, args, lane, start, length, work.steepest + block * row,
                  work.delta_weight ? work.delta_weight + block * args.rank * row : nullptr);
  const Vec<acc_t> skip = channel_values<acc_t>(args.D, args, lane);
  const acc_t* decay = work.decay + block * args.state * row;
  walk_states(tile, work.decays, decay, work.B, work.C, args.state, skip, h, y, lane.direction > 0, rows);
  if (lane.direction == args.directions - 1) finish_tile<in_t>(args, lane, start, tile, y);
}

template <typename in_t>
void scan_direction(const ScanForwardArgs& args, const Split& split, int64_t direction, int64_t length,
                    Workspace<Acc<in_t>>& work) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  const int64_t states = args.state * row;
  for (int64_t i = 0; i < split.blocks; ++i) {
    const Lane lane = block_lane<acc_t>(args, split, direction, i);
    load_decay(work.decay + i * states, work.steepest + i * row, args, lane);
    load_initial_state(work.h + i * states, args.initial_state, args, lane);
    if (work.delta_weight) load_delta_weight(work.delta_weight + i * args.rank * row, args, lane);
  }
  const bool reverse = args.reverse[direction];
  for (int64_t index = 0; index < tile_count(length); ++index) {
    const int64_t start = tile_start(index, length, reverse);
    load_projections<in_t>(work.B, work.C, args, split, direction, start, length);
    Rows rows = next_rows<in_t, kTensorsAhead>(split, index + 1, length);
    const Lane first = block_lane<acc_t>(args, split, direction, 0);
    add_rows<in_t>(rows, args.u, first, index + 1, length, reverse);
    if (!work.delta_weight) add_rows<in_t>(rows, args.delta, first, index + 1, length, reverse);
    if (direction == args.directions - 1) {
      add_rows<in_t>(rows, args.z, first, index + 1, length, reverse);
      add_rows<in_t>(rows, args.out, first, index + 1, length, reverse);
    }
    for (int64_t i = 0; i < split.blocks; ++i) {
      const Lane lane = block_lane<acc_t>(args, split, direction, i);
      acc_t* y = args.directions > 1 ? work.y + (i * args.length + start) * row : work.y;
      scan_tile<in_t>(args, lane, i, start, length, work, y, rows);
    }
  }
  for (int64_t i = 0; i < split.blocks; ++i)
    store_final_state(args.last_state, work.h + i * states, args, block_lane<acc_t>(args, split, direction, i));
}

template <typename in_t>
void scan_items(const ScanForwardArgs& args, int64_t begin, int64_t end) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  const int64_t blocks = split_blocks<acc_t>(args), y_tokens = args.directions > 1 ? blocks * args.length : kTileTokens;
  Scratch<acc_t> scratch(y_tokens * row + 2 * (blocks * row + kTileTokens) * args.state +
                         blocks * row * (args.rank + 1));
  Workspace<acc_t> work;
  work.decay = scratch.take(blocks * args.state * row);
  work.h = scratch.take(blocks * args.state * row);
  work.steepest = scratch.take(blocks * row);
  work.delta_weight = args.rank > 0 ? scratch.take(blocks * args.rank * row) : nullptr;
  work.B = scratch.take(kTileTokens * args.state);
  work.C = scratch.take(kTileTokens * args.state);
  work.y = scratch.take(y_tokens * row);
  for (int64_t item = begin; item < end; ++item) {
    const Split split = item_split<acc_t>(args, item);
    const int64_t length = clip_length(args, split.batch);
    for (int64_t direction = 0; direction < args.directions; ++direction)
      scan_direction<in_t>(args, split, direction, length, work);
    for (int64_t i = 0; i < split.blocks; ++i) {
      const Lane lane = block_lane<acc_t>(args, split, 0, i);
      for (int64_t t = length; t < args.length; ++t)
        store_narrowed(at<in_t>(args.out, lane, t) + lane.channel, Vec<acc_t>{}, lane.count);
    }
  }
}

}  // namespace

template <>
int64_t scan_channel_vector<kIsa>(Dtype dtype) {
  return dtype == Dtype::float64 ? kLanes<double> : kLanes<float>;
}

template <>
void launch_scan<kIsa>(const ScanForwardArgs& args, int64_t begin, int64_t end) {
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) { scan_items<in_t>(args, begin, end); });
}

}  // namespace ssamba
