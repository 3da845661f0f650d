// Selective scan, backward, for one or two directions of time.
//
// With g_t the gradient of h_t, walking against the direction of the scan:
//   g_t = dy_t C_t + exp(delta_{t+1} A) g_{t+1}
//   dC_t = sum_d dy_t h_t          dB_t = sum_d g_t delta_t u_t        w_t = g_t exp(delta_t A) h_{t-1}
//   dA = sum_t w_t delta_t         ddelta_t = w_t . A + (g_t . B_t) u_t    du_t = (g_t . B_t) delta_t + D dy_t
//
// Shapes and work items as in the forward kernel. States are not saved by the forward pass: a first walk leaves a
// checkpoint at every tile (and y, if there is a gate), then tiles are taken in the opposite order, their states
// replayed from the checkpoint into a trace and the gradients walked back through it. dB and dC are summed
// over the lanes of a vector by a butterfly, then over the split's vectors. All sums are float32 (float64 for float64),
// in an order that only the shape decides.

#include "isa.h"
#include "kernels.h"
#include "scan_tile.h"
#include "scratch.h"
#include "transpose_sum.h"

namespace ssamba {
namespace {

// States that the adjoint walk keeps in registers: each needs two.
constexpr int kAdjointBlock = kStateBlock / 2;

// Rows between the one that the gate's gradient works on and the one that it fetches.
constexpr int64_t kGateAhead = 8;

template <typename acc_t>
struct Workspace {
  Tile<acc_t> tile;
  alignas(64) acc_t dy[kTileTokens * kLanes<acc_t>], du[kTileTokens * kLanes<acc_t>];
  alignas(64) acc_t ddelta[kTileTokens * kLanes<acc_t>];
  acc_t *decay, *h, *g, *dA;  // (blocks, N, lanes)
  acc_t *dD, *dbias;          // (blocks, lanes)
  acc_t *B, *C;               // (tokens, N)
  acc_t* dBC;                 // (tokens, 2 N): for each block of states its dB, then its dC, summed over vectors so far
  acc_t *decays, *states;     // (tokens, adjoint block, lanes): the trace; states begin with the one before the tile
  acc_t* checkpoints;         // (R, tiles, blocks, N, lanes)
  acc_t* dy_clip;             // (blocks, L, lanes): y, then dout * silu(z); only with a gate
  acc_t* du_clip;             // (blocks, L, lanes): the first direction's du; only with a shared u

  Workspace(const ScanBackwardArgs& args, int64_t blocks, Scratch<acc_t>& scratch) {
    constexpr int64_t row = kLanes<acc_t>;
    const int64_t states_row = args.state * row;
    for (acc_t** p : {&decay, &h, &g, &dA}) *p = scratch.take(blocks * states_row);
    for (acc_t** p : {&dD, &dbias}) *p = scratch.take(blocks * row);
    for (acc_t** p : {&B, &C}) *p = scratch.take(kTileTokens * args.state);
    dBC = scratch.take(kTileTokens * 2 * args.state);
    decays = scratch.take(kTileTokens * kAdjointBlock * row);
    states = scratch.take((kTileTokens + 1) * kAdjointBlock * row);
    checkpoints = scratch.take(args.directions * tile_count(args.length) * blocks * states_row);
    dy_clip = scratch.take(args.z.data ? blocks * args.length * row : 0);
    du_clip = scratch.take(args.shared_u ? blocks * args.length * row : 0);
  }

  static int64_t elements(const ScanBackwardArgs& args, int64_t blocks) {
    constexpr int64_t row = kLanes<acc_t>;
    const int64_t states_row = args.state * row;
    return blocks * (4 * states_row + 2 * row) + 4 * kTileTokens * args.state +
           (2 * kTileTokens + 1) * kAdjointBlock * row +
           args.directions * tile_count(args.length) * blocks * states_row +
           ((args.z.data ? 1 : 0) + (args.shared_u ? 1 : 0)) * blocks * args.length * row;
  }
};

// Replays a tile's states into the trace. Row i of `decays` and row i + 1 of `states` belong to step i of the walk.
template <typename acc_t, int kStates>
void replay_tile(const Tile<acc_t>& tile, const acc_t* decay, const acc_t* B, int64_t state, const acc_t* checkpoint,
                 acc_t* decays, acc_t* states) {
  constexpr int64_t row = kLanes<acc_t>;
  Vec<acc_t> h[kStates];
  SSAMBA_LANES
  for (int n = 0; n < kStates; ++n) {
    h[n] = load(checkpoint + n * row);
    store(states + n * row, h[n]);
  }
  int t = tile.first;
  for (int i = 0; i < tile.tokens; ++i, t += tile.step) {
    const Vec<acc_t> delta = load(tile.delta + t * row);
    const Vec<acc_t> delta_u = load(tile.delta_u + t * row);
    const acc_t* b = B + t * state;
    decays += kStates * row * (i > 0);
    states += kStates * row;
    SSAMBA_LANES
    for (int n = 0; n < kStates; ++n) {
      const Vec<acc_t> a = exp2(delta * load(decay + n * row));
      h[n] = a * h[n] + delta_u * b[n];
      store(decays + n * row, a);
      store(states + n * row, h[n]);
    }
  }
}

// Walks the gradients of one tile back through the trace. `ddelta_A` gathers w . A log2(e), `ddelta_u` g . B.
template <typename acc_t, int kStates>
void adjoint_tile(const Tile<acc_t>& tile, const acc_t* dy, const acc_t* decay, const acc_t* B, const acc_t* C,
                  int64_t state, const acc_t* decays, const acc_t* states, acc_t* g_memory, acc_t* dA_memory,
                  acc_t* dBC, acc_t* ddelta_A, acc_t* ddelta_u, RowsAhead& rows_ahead) {
  constexpr int64_t row = kLanes<acc_t>;
  RowsAhead rows = rows_ahead;
  Vec<acc_t> g[kStates], dA[kStates];
  SSAMBA_LANES
  for (int n = 0; n < kStates; ++n) {
    g[n] = load(g_memory + n * row);
    dA[n] = load(dA_memory + n * row);
  }
  for (int i = tile.tokens - 1; i >= 0; --i) {
    const int t = tile.first + i * tile.step;
    const Vec<acc_t> dy_t = load(dy + t * row), delta = load(tile.delta + t * row);
    const Vec<acc_t> delta_u = load(tile.delta_u + t * row);
    const acc_t *b = B + t * state, *c = C + t * state;
    const acc_t *before = states + i * kStates * row, *after = before + kStates * row, *a = decays + i * kStates * row;
    Vec<acc_t> through_A = load(ddelta_A + t * row), through_B = load(ddelta_u + t * row);
    Vec<acc_t> dBC_t[2 * kStates];
    rows.fetch();
    SSAMBA_LANES
    for (int n = 0; n < kStates; ++n) {
      const Vec<acc_t> g_t = dy_t * c[n] + g[n];
      dBC_t[n] = g_t * delta_u;
      dBC_t[kStates + n] = dy_t * load(after + n * row);
      through_B += g_t * b[n];
      g[n] = g_t * load(a + n * row);
      const Vec<acc_t> w = g[n] * load(before + n * row);
      dA[n] += w * delta;
      through_A += w * load(decay + n * row);
    }
    add_lane_sums<acc_t, 2 * kStates>(dBC_t, dBC + t * 2 * state);
    store(ddelta_A + t * row, through_A);
    store(ddelta_u + t * row, through_B);
  }
  SSAMBA_LANES
  for (int n = 0; n < kStates; ++n) {
    store(g_memory + n * row, g[n]);
    store(dA_memory + n * row, dA[n]);
  }
  rows_ahead = rows;
}

// First walk of one direction: a checkpoint at every tile, and y if there is a gate.
template <typename in_t>
void checkpoint_direction(const ScanBackwardArgs& args, const Split& split, int64_t direction, int64_t length,
                          Workspace<Acc<in_t>>& work) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  const int64_t states = args.state * row;
  acc_t* checkpoint = work.checkpoints + direction * tile_count(args.length) * split.blocks * states;
  for (int64_t i = 0; i < split.blocks; ++i) {
    const Lane lane = block_lane<acc_t>(args, split, direction, i);
    load_decay(work.decay + i * states, args, lane);
    load_initial_state(work.h + i * states, args.initial_state, args, lane);
  }
  const bool reverse = args.reverse[direction];
  for (int64_t index = 0; index < tile_count(length); ++index) {
    const int64_t start = tile_start(index, length, reverse);
    load_projections<in_t>(work.B, work.C, args, split, direction, start, length);
    RowsAhead rows = next_rows<acc_t, in_t>(split, index + 1, length);
    const Lane first = block_lane<acc_t>(args, split, direction, 0);
    add_rows<in_t>(rows, args.u, first, index + 1, length, reverse);
    add_rows<in_t>(rows, args.delta, first, index + 1, length, reverse);
    for (int64_t i = 0; i < split.blocks; ++i, checkpoint += states) {
      const Lane lane = block_lane<acc_t>(args, split, direction, i);
      __builtin_memcpy(checkpoint, work.h + i * states, std::size_t(states) * sizeof(acc_t));
      load_tile<in_t, false>(work.tile, args, lane, start, length);
      acc_t* y = args.z.data ? work.dy_clip + (i * args.length + start) * row : nullptr;
      walk_states(work.tile, work.decay + i * states, work.B, work.C, args.state,
                  channel_values<acc_t>(args.D, args, lane), work.h + i * states, y, direction > 0, rows);
    }
  }
}

// Turns y into dy = dout silu(z), and stores dz = dout y silu'(z).
template <typename in_t>
void differentiate_gate(const ScanBackwardArgs& args, const Split& split, int64_t length, Workspace<Acc<in_t>>& work) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  const Lane first = block_lane<acc_t>(args, split, 0, 0);
  RowsAhead rows(length, split.blocks, row * int64_t(sizeof(in_t)));
  rows.add(at<in_t>(args.z, first, kGateAhead) + first.channel, args.z.time * int64_t(sizeof(in_t)));
  rows.add(at<in_t>(args.dout, first, kGateAhead) + first.channel, args.dout.time * int64_t(sizeof(in_t)));
  rows.add(at<in_t>(args.dz, first, kGateAhead) + first.channel, args.dz.time * int64_t(sizeof(in_t)));
  for (int64_t t = 0; t < length; ++t) {
    for (int64_t i = 0; i < split.blocks; ++i) {
      const Lane lane = block_lane<acc_t>(args, split, 0, i);
      acc_t* y = work.dy_clip + (i * args.length + t) * row;
      const Vec<acc_t> z = load_widened(at<in_t>(args.z, lane, t) + lane.channel, lane.count);
      const Vec<acc_t> dout = load_widened(at<in_t>(args.dout, lane, t) + lane.channel, lane.count);
      const Vec<acc_t> gate = sigmoid<acc_t>(z);
      const Vec<acc_t> dz = dout * load(y) * (gate * (acc_t(1) + z * (acc_t(1) - gate)));
      store_narrowed(at<in_t>(args.dz, lane, t) + lane.channel, dz, lane.count);
      store(y, dout * z * gate);
      rows.fetch();
    }
  }
}

// The gradients of one tile and vector of channels, once dB and dC of the tile hold what earlier vectors added.
template <typename in_t>
void differentiate_tile(const ScanBackwardArgs& args, const Lane& lane, int64_t start, int64_t length, int64_t i,
                        const Acc<in_t>* checkpoint, Workspace<Acc<in_t>>& work, RowsAhead& rows) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  const int64_t states = args.state * row;
  Tile<acc_t>& tile = work.tile;
  load_tile<in_t, true>(tile, args, lane, start, length);
  const acc_t* dy = work.dy;
  if (args.z.data) {
    dy = work.dy_clip + (i * args.length + start) * row;
  } else {
    for (int t = 0; t < tile.tokens; ++t)
      store(work.dy + t * row, load_widened(at<in_t>(args.dout, lane, start + t) + lane.channel, lane.count));
  }
  __builtin_memset(work.ddelta, 0, sizeof work.ddelta);
  __builtin_memset(work.du, 0, sizeof work.du);
  const acc_t* decay = work.decay + i * states;
  for_state_blocks<kAdjointBlock>(args.state, [&]<int kStates>(StateBlock<kStates>, int64_t n) {
    replay_tile<acc_t, kStates>(tile, decay + n * row, work.B + n, args.state, checkpoint + n * row, work.decays,
                                work.states);
    adjoint_tile<acc_t, kStates>(tile, dy, decay + n * row, work.B + n, work.C + n, args.state, work.decays,
                                 work.states, work.g + i * states + n * row, work.dA + i * states + n * row,
                                 work.dBC + 2 * n, work.ddelta, work.du, rows);
  });

  const Vec<acc_t> skip = channel_values<acc_t>(args.D, args, lane);
  Vec<acc_t> dD = load(work.dD + i * row), dbias = load(work.dbias + i * row);
  for (int t = 0; t < tile.tokens; ++t) {
    const Vec<acc_t> dy_t = load(dy + t * row), u = load(tile.u + t * row), through_B = load(work.du + t * row);
    const Vec<acc_t> ddelta = (load(work.ddelta + t * row) * kLn2<acc_t> + through_B * u) * load(tile.slope + t * row);
    Vec<acc_t> du = through_B * load(tile.delta + t * row) + skip * dy_t;
    dD += dy_t * u;
    dbias += ddelta;
    store_narrowed(at<in_t>(args.ddelta, lane, start + t) + lane.channel, ddelta, lane.count);
    if (args.shared_u) {
      acc_t* first = work.du_clip + (i * args.length + start + t) * row;
      if (lane.direction == 0) {
        store(first, du);
        continue;
      }
      du += load(first);
    }
    store_narrowed(at<in_t>(args.du, lane, start + t) + lane.channel, du, lane.count);
  }
  store(work.dD + i * row, dD);
  store(work.dbias + i * row, dbias);
}

// Where the split's sums for B or C at time t go: (S, R, B, L, G, N).
template <typename acc_t>
acc_t* projection_gradient(void* gradient, const ScanBackwardArgs& args, const Split& split, int64_t direction,
                           int64_t time) {
  const int64_t clip = (split.index * args.directions + direction) * args.batch + split.batch;
  return static_cast<acc_t*>(gradient) + ((clip * args.length + time) * args.groups + split.group) * args.state;
}

// Second walk of one direction, against its order.
template <typename in_t>
void differentiate_direction(const ScanBackwardArgs& args, const Split& split, int64_t direction, int64_t length,
                             Workspace<Acc<in_t>>& work) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  const int64_t states = args.state * row;
  const acc_t* checkpoints = work.checkpoints + direction * tile_count(args.length) * split.blocks * states;
  __builtin_memset(work.dA, 0, std::size_t(split.blocks * states) * sizeof(acc_t));
  __builtin_memset(work.dD, 0, std::size_t(split.blocks * row) * sizeof(acc_t));
  __builtin_memset(work.dbias, 0, std::size_t(split.blocks * row) * sizeof(acc_t));
  for (int64_t i = 0; i < split.blocks; ++i) {
    const Lane lane = block_lane<acc_t>(args, split, direction, i);
    load_decay(work.decay + i * states, args, lane);
    load_initial_state(work.g + i * states, args.dlast_state, args, lane);
  }
  const bool reverse = args.reverse[direction];
  for (int64_t index = tile_count(length) - 1; index >= 0; --index) {
    const int64_t start = tile_start(index, length, reverse);
    RowsAhead rows = next_rows<acc_t, in_t>(split, index - 1, length);
    if (index > 0) {
      const Lane first = block_lane<acc_t>(args, split, direction, 0);
      add_rows<in_t>(rows, args.u, first, index - 1, length, reverse);
      add_rows<in_t>(rows, args.delta, first, index - 1, length, reverse);
      add_rows<in_t>(rows, args.du, first, index - 1, length, reverse);
      add_rows<in_t>(rows, args.ddelta, first, index - 1, length, reverse);
    }
    const int tokens = load_projections<in_t>(work.B, work.C, args, split, direction, start, length);
    __builtin_memset(work.dBC, 0, std::size_t(tokens * 2 * args.state) * sizeof(acc_t));
    for (int64_t i = 0; i < split.blocks; ++i)
      differentiate_tile<in_t>(args, block_lane<acc_t>(args, split, direction, i), start, length, i,
                               checkpoints + (index * split.blocks + i) * states, work, rows);
    for (int t = 0; t < tokens; ++t) {
      acc_t* dB = projection_gradient<acc_t>(args.dB, args, split, direction, start + t);
      acc_t* dC = projection_gradient<acc_t>(args.dC, args, split, direction, start + t);
      for_state_blocks<kAdjointBlock>(args.state, [&]<int kStates>(StateBlock<kStates>, int64_t n) {
        const acc_t* sums = work.dBC + t * 2 * args.state + 2 * n;
        __builtin_memcpy(dB + n, sums, kStates * sizeof(acc_t));
        __builtin_memcpy(dC + n, sums + kStates, kStates * sizeof(acc_t));
      });
    }
  }
  for (int64_t i = 0; i < split.blocks; ++i) {
    const Lane lane = block_lane<acc_t>(args, split, direction, i);
    const int64_t channel = (split.batch * args.directions + direction) * args.channels + lane.channel;
    store_states(static_cast<acc_t*>(args.dA) + channel * args.state, work.dA + i * states, args.state, lane.count);
    store_final_state(args.dinitial_state, work.g + i * states, args, lane);
    if (args.dD) store_narrowed(static_cast<acc_t*>(args.dD) + channel, load(work.dD + i * row), lane.count);
    if (args.ddelta_bias)
      store_narrowed(static_cast<acc_t*>(args.ddelta_bias) + channel, load(work.dbias + i * row), lane.count);
  }
}

// Tokens past the clip's end have no influence: their gradients are zero.
template <typename in_t>
void clear_padding(const ScanBackwardArgs& args, const Split& split, int64_t length) {
  using acc_t = Acc<in_t>;
  for (int64_t direction = 0; direction < args.directions; ++direction) {
    for (int64_t t = length; t < args.length; ++t) {
      for (int64_t n = 0; n < args.state; ++n) {
        projection_gradient<acc_t>(args.dB, args, split, direction, t)[n] = 0;
        projection_gradient<acc_t>(args.dC, args, split, direction, t)[n] = 0;
      }
      for (int64_t i = 0; i < split.blocks; ++i) {
        const Lane lane = block_lane<acc_t>(args, split, direction, i);
        store_narrowed(at<in_t>(args.du, lane, t) + lane.channel, Vec<acc_t>{}, lane.count);
        store_narrowed(at<in_t>(args.ddelta, lane, t) + lane.channel, Vec<acc_t>{}, lane.count);
        if (args.z.data) store_narrowed(at<in_t>(args.dz, lane, t) + lane.channel, Vec<acc_t>{}, lane.count);
      }
    }
  }
}

template <typename in_t>
void differentiate_items(const ScanBackwardArgs& args, int64_t begin, int64_t end) {
  using acc_t = Acc<in_t>;
  const int64_t blocks = split_blocks<acc_t>(args);
  Scratch<acc_t> scratch(Workspace<acc_t>::elements(args, blocks));
  Workspace<acc_t> work(args, blocks, scratch);
  for (int64_t item = begin; item < end; ++item) {
    const Split split = item_split<acc_t>(args, item);
    const int64_t length = clip_length(args, split.batch);
    for (int64_t direction = 0; direction < args.directions; ++direction)
      checkpoint_direction<in_t>(args, split, direction, length, work);
    if (args.z.data) differentiate_gate<in_t>(args, split, length, work);
    for (int64_t direction = 0; direction < args.directions; ++direction)
      differentiate_direction<in_t>(args, split, direction, length, work);
    clear_padding<in_t>(args, split, length);
  }
}

}  // namespace

template <>
void launch_scan_backward<kIsa>(const ScanBackwardArgs& args, int64_t begin, int64_t end) {
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) { differentiate_items<in_t>(args, begin, end); });
}

}  // namespace ssamba
