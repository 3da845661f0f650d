// Selective scan, backward, for one or two directions of time.
//
// With g_t the gradient of h_t, walking against the direction of the scan:
//   g_t = dy_t C_t + exp(delta_{t+1} A) g_{t+1}
//   dC_t = sum_d dy_t h_t          dB_t = sum_d g_t delta_t u_t        w_t = g_t exp(delta_t A) h_{t-1}
//   dA = sum_t w_t delta_t         ddelta_t = w_t . A + (g_t . B_t) u_t    du_t = (g_t . B_t) delta_t + D dy_t
//
// Shapes and work items as in the forward kernel. Tiles are taken against the order of the scan: some states of a tile
// are replayed from its checkpoint, and the gradients walked back through them, one vector of channels after the other.
// dB and dC of two vectors are added lane by lane, then summed over lanes by a butterfly, then over the split's pairs.
// All sums are float32 (float64 for float64), in an order that only the shape decides.

#include "isa.h"
#include "kernels.h"
#include "scan_tile.h"
#include "scratch.h"
#include "transpose_sum.h"

namespace ssamba {
namespace {

// States that a walk back keeps in registers, with the sums of their gradients.
constexpr int kAdjointBlock = 4;
// Vectors of channels whose dB and dC are added before they are summed over lanes.
constexpr int kPair = 2;

constexpr int kTensorsAhead = 6;  // u, delta, dout, z, du, ddelta
using Rows = RowsAhead<kTensorsAhead>;

// What one token of a vector of channels brings, and what is gathered for it on the way. What the walks need comes
// first, and is three whole lines of a cache where vectors are half a line.
template <typename T>
struct alignas(64) GradientRow {
  using acc_t = T;
  T delta[kLanes<T>], delta_u[kLanes<T>];
  T dy[kLanes<T>];         // dout silu(z), or dout
  T through_A[kLanes<T>];  // w . A log2(e)
  T through_B[kLanes<T>];  // g . B
  T y[kLanes<T>];          // C . h + D u; only with a gate
  T u[kLanes<T>];
  T slope[kLanes<T>];                        // of softplus
  T gate[kLanes<T>], gate_slope[kLanes<T>];  // silu(z) and dout silu'(z); only with a gate
};

// The states before a step of the walk.
template <typename T>
struct StateRow {
  T of[kAdjointBlock][kLanes<T>];
};

// dB and dC of a token and a block of states, not yet summed over lanes.
template <typename T>
struct LaneRow {
  T dB[kAdjointBlock][kLanes<T>], dC[kAdjointBlock][kLanes<T>];
};

// What a split keeps from tile to tile, and what its directions leave each other.
template <typename acc_t>
struct Workspace {
  Tile<GradientRow<acc_t>> tiles[kPair];
  alignas(64) DecayRow<acc_t, kAdjointBlock> decays[kTileTokens];  // of one vector and block of states, by token
  alignas(64) StateRow<acc_t> states[kTileTokens + 1];  // the same before every step of the walk, and after the last
  alignas(64) LaneRow<acc_t> first_dBC[kTileTokens];    // of the first vector of a pair
  acc_t *decay, *g, *dA;                                // (blocks, N, lanes)
  acc_t* steepest;                                      // (blocks, lanes)
  acc_t* delta_weight;                                  // (blocks, r, lanes)
  acc_t *dD, *dbias;                                    // (blocks, lanes)
  acc_t *B, *C;                                         // (tokens, N)
  acc_t* dBC;                                           // (tokens, sums): see LaneSums
  acc_t *y_clip, *du_clip;  // (blocks, L, lanes): the first direction's y, with a gate, and du, with a shared u

  Workspace(const ScanBackwardArgs& args, int64_t blocks, Scratch<acc_t>& scratch) {
    constexpr int64_t row = kLanes<acc_t>;
    for (acc_t** p : {&decay, &g, &dA}) *p = scratch.take(blocks * args.state * row);
    for (acc_t** p : {&steepest, &dD, &dbias}) *p = scratch.take(blocks * row);
    delta_weight = scratch.take(blocks * args.rank * row);
    for (acc_t** p : {&B, &C}) *p = scratch.take(kTileTokens * args.state);
    dBC = scratch.take(kTileTokens * sums_row(args.state));
    y_clip = scratch.take(y_elements(args, blocks));
    du_clip = scratch.take(du_elements(args, blocks));
  }

  static int64_t elements(const ScanBackwardArgs& args, int64_t blocks) {
    constexpr int64_t row = kLanes<acc_t>;
    return blocks * row * (3 * args.state + 3 + args.rank) + kTileTokens * (2 * args.state + sums_row(args.state)) +
           y_elements(args, blocks) + du_elements(args, blocks);
  }

  // The sums of all blocks of states of one token.
  static int64_t sums_row(int64_t state) {
    int64_t size = 0;
    for_state_blocks<kAdjointBlock>(
        state, [&]<int kStates>(StateBlock<kStates>, int64_t) { size += LaneSums<acc_t, 2 * kStates>::kSize; });
    return size;
  }

 private:
  static int64_t y_elements(const ScanBackwardArgs& args, int64_t blocks) {
    return args.z.data && args.directions > 1 ? blocks * args.length * kLanes<acc_t> : 0;
  }
  static int64_t du_elements(const ScanBackwardArgs& args, int64_t blocks) {
    return args.shared_u ? blocks * args.length * kLanes<acc_t> : 0;
  }
};

// Replays the states of a tile.
template <typename acc_t, int kStates, bool kWithY>
void replay_tile(Tile<GradientRow<acc_t>>& tile, DecayRow<acc_t, kAdjointBlock>* decays, StateRow<acc_t>* states,
                 const acc_t* decay, const acc_t* B, const acc_t* C, int64_t state, const acc_t* checkpoint,
                 int64_t checkpoint_row, int count) {
  Vec<acc_t> h[kStates];
  SSAMBA_LANES
  for (int n = 0; n < kStates; ++n) {
    h[n] = load_widened(checkpoint + n * checkpoint_row, count);
    store(states->of[n], h[n]);
  }
  int t = tile.first;
  for (int i = 0; i < tile.tokens; ++i, t += tile.step) {
    ++states;
    GradientRow<acc_t>& token = tile.rows[t];
    const Vec<acc_t> delta = load(token.delta), delta_u = load(token.delta_u);
    const acc_t *b = B + t * state, *c = C + t * state;
    Vec<acc_t> y{};
    if constexpr (kWithY) y = load(token.y);
    SSAMBA_LANES
    for (int n = 0; n < kStates; ++n) {
      const Vec<acc_t> a = decay_of(decays, t, n, delta, decay);
      if constexpr (!kDecaysFirst) store(decays[t].of[n], a);
      h[n] = a * h[n] + delta_u * b[n];
      if constexpr (kWithY) y += h[n] * c[n];
      store(states->of[n], h[n]);
    }
    if constexpr (kWithY) store(token.y, y);
  }
}

// Walks the gradients of one tile back through its states. dB and dC go to `lanes`, or, once another vector's lie
// there, are added to those and over lanes to `dBC`.
template <typename acc_t, int kStates, bool kAdd, bool kSum>
void adjoint_tile(Tile<GradientRow<acc_t>>& tile, const DecayRow<acc_t, kAdjointBlock>* decays,
                  const StateRow<acc_t>* states, const acc_t* decay, const acc_t* B, const acc_t* C, int64_t state,
                  acc_t* g_memory, acc_t* dA_memory, LaneRow<acc_t>* lanes, acc_t* dBC, int64_t sums_row,
                  Rows& rows_ahead) {
  constexpr int64_t row = kLanes<acc_t>;
  Rows rows = rows_ahead;
  Vec<acc_t> g[kStates], dA[kStates];
  SSAMBA_LANES
  for (int n = 0; n < kStates; ++n) {
    g[n] = load(g_memory + n * row);
    dA[n] = load(dA_memory + n * row);
  }
  states += tile.tokens;
  int t = tile.first + (tile.tokens - 1) * tile.step;
  for (int i = tile.tokens; i > 0; --i, t -= tile.step) {
    --states;
    GradientRow<acc_t>& token = tile.rows[t];
    const acc_t *b = B + t * state, *c = C + t * state;
    rows.fetch();
    const Vec<acc_t> dy = load(token.dy), delta = load(token.delta), delta_u = load(token.delta_u);
    Vec<acc_t> through_A = load(token.through_A), through_B = load(token.through_B), dBC_t[2 * kStates] = {};
    SSAMBA_LANES
    for (int n = 0; n < kStates; ++n) {
      if constexpr (kAdd) {
        dBC_t[n] = load(lanes[t].dB[n]);
        dBC_t[kStates + n] = load(lanes[t].dC[n]);
      }
      const Vec<acc_t> g_t = dy * c[n] + g[n];
      dBC_t[n] += g_t * delta_u;
      dBC_t[kStates + n] += dy * load(states[1].of[n]);
      if constexpr (!kSum) {
        store(lanes[t].dB[n], dBC_t[n]);
        store(lanes[t].dC[n], dBC_t[kStates + n]);
      }
      through_B += g_t * b[n];
      g[n] = g_t * load(decays[t].of[n]);
      const Vec<acc_t> w = g[n] * load(states->of[n]);
      dA[n] += w * delta;
      through_A += w * load(decay + n * row);
    }
    store(token.through_A, through_A);
    store(token.through_B, through_B);
    if constexpr (kSum) LaneSums<acc_t, 2 * kStates>::add(dBC_t, dBC + t * sums_row);
  }
  SSAMBA_LANES
  for (int n = 0; n < kStates; ++n) {
    store(g_memory + n * row, g[n]);
    store(dA_memory + n * row, dA[n]);
  }
  rows_ahead = rows;
}

// A tile's inputs, dout and the gate's part of it.
template <typename in_t>
void load_gradient_tile(Tile<GradientRow<Acc<in_t>>>& tile, const ScanBackwardArgs& args, const Lane& lane,
                        int64_t start, int64_t length, const Acc<in_t>* steepest, const Acc<in_t>* delta_weight) {
  using acc_t = Acc<in_t>;
  load_tile<in_t>(tile, args, lane, start, length, steepest, args.rank > 0 ? delta_weight : nullptr);
  using Row = GradientRow<acc_t>;
  const in_t* dout = at<in_t>(args.dout, lane, start) + lane.channel;
  const in_t* z = args.z.data ? at<in_t>(args.z, lane, start) + lane.channel : nullptr;
  const Vec<acc_t> skip = channel_values<acc_t>(args.D, args, lane);
  for_together(tile.tokens, [&]<int kCount>(int64_t t, Together<kCount>) {
    Row* rows = tile.rows + t;
    const auto dout_t = load_tokens<kCount>(dout + t * args.dout.time, args.dout.time, lane.count);
    const Vecs<acc_t, kCount> zero{};
    store_field<kCount>(rows, &Row::through_A, zero);
    store_field<kCount>(rows, &Row::through_B, zero);
    if (!z) return store_field<kCount>(rows, &Row::dy, dout_t);
    const auto z_t = load_tokens<kCount>(z + t * args.z.time, args.z.time, lane.count), gate = sigmoid(z_t);
    store_field<kCount>(rows, &Row::gate, z_t * gate);
    store_field<kCount>(rows, &Row::dy, dout_t * (z_t * gate));
    store_field<kCount>(rows, &Row::gate_slope, dout_t * (gate * (z_t * (acc_t(1) - gate) + acc_t(1))));
    store_field<kCount>(rows, &Row::y, skip * load_field<kCount>(rows, &Row::u));
  });
}

// Stores ddelta, du and dz of one tile and vector of channels, once all its states are walked.
template <typename in_t>
void finish_gradients(const ScanBackwardArgs& args, const Lane& lane, int64_t start, int64_t i,
                      const Tile<GradientRow<Acc<in_t>>>& tile, Workspace<Acc<in_t>>& work) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  const bool last_direction = lane.direction == args.directions - 1;
  const int64_t in_clip = (i * args.length + start) * row;
  const Vec<acc_t> skip = channel_values<acc_t>(args.D, args, lane);
  Vec<acc_t> dD = load(work.dD + i * row), dbias = load(work.dbias + i * row);
  for (int t = 0; t < tile.tokens; ++t) {
    const GradientRow<acc_t>& token = tile.rows[t];
    const Vec<acc_t> dy = load(token.dy), u = load(token.u), g_B = load(token.through_B);
    const Vec<acc_t> ddelta = (load(token.through_A) * kLn2<acc_t> + g_B * u) * load(token.slope);
    Vec<acc_t> du = g_B * load(token.delta) + skip * dy;
    dD += dy * u;
    dbias += ddelta;
    store_narrowed(at<in_t>(args.ddelta, lane, start + t) + lane.channel, ddelta, lane.count);
    if (args.shared_u && !last_direction) {
      store(work.du_clip + in_clip + t * row, du);
      continue;
    }
    if (args.shared_u) du += load(work.du_clip + in_clip + t * row);
    store_narrowed(at<in_t>(args.du, lane, start + t) + lane.channel, du, lane.count);
  }
  store(work.dD + i * row, dD);
  store(work.dbias + i * row, dbias);
  if (!args.z.data) return;
  for (int t = 0; t < tile.tokens; ++t) {
    Vec<acc_t> y = load(tile.rows[t].y);
    if (!last_direction) {
      store(work.y_clip + in_clip + t * row, y);
      continue;
    }
    if (lane.direction > 0) y += load(work.y_clip + in_clip + t * row);
    store_narrowed(at<in_t>(args.dz, lane, start + t) + lane.channel, y * load(tile.rows[t].gate_slope), lane.count);
    if (args.out.data)
      store_narrowed(at<in_t>(args.out, lane, start + t) + lane.channel, y * load(tile.rows[t].gate), lane.count);
  }
}

// The gradients of one tile and kVectors vectors of channels from vector i on, once dB and dC of the tile hold what
// earlier vectors added.
template <typename in_t, int kVectors>
void differentiate_tile(const ScanBackwardArgs& args, const Split& split, int64_t direction, int64_t start,
                        int64_t length, int64_t i, Workspace<Acc<in_t>>& work, Rows& rows) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  const int64_t vector_states = args.state * row, sums_row = work.sums_row(args.state);
  Lane lanes[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    lanes[v] = block_lane<acc_t>(args, split, direction, i + v);
    load_gradient_tile<in_t>(work.tiles[v], args, lanes[v], start, length, work.steepest + (i + v) * row,
                             work.delta_weight + (i + v) * args.rank * row);
  }
  int64_t sums = 0;
  for_state_blocks<kAdjointBlock>(args.state, [&]<int kStates>(StateBlock<kStates>, int64_t n) {
    SSAMBA_LANES
    for (int v = 0; v < kVectors; ++v) {
      const int64_t first = (i + v) * vector_states + n * row;
      const acc_t *B = work.B + n, *C = work.C + n, *decay = work.decay + first;
      const acc_t* checkpoint = checkpoint_states<const acc_t>(args.checkpoints, args, lanes[v], start);
      prepare_decays<kStates>(work.tiles[v], decay, work.decays);
      const auto replay = args.z.data ? replay_tile<acc_t, kStates, true> : replay_tile<acc_t, kStates, false>;
      replay(work.tiles[v], work.decays, work.states, decay, B, C, args.state, checkpoint + n * args.channels,
             args.channels, lanes[v].count);
      const auto adjoint = kVectors == 1 ? adjoint_tile<acc_t, kStates, false, true>
                           : v == 0      ? adjoint_tile<acc_t, kStates, false, false>
                                         : adjoint_tile<acc_t, kStates, true, true>;
      adjoint(work.tiles[v], work.decays, work.states, decay, B, C, args.state, work.g + first, work.dA + first,
              work.first_dBC, work.dBC + sums, sums_row, rows);
    }
    sums += LaneSums<acc_t, 2 * kStates>::kSize;
  });
  for (int v = 0; v < kVectors; ++v) finish_gradients<in_t>(args, lanes[v], start, i + v, work.tiles[v], work);
}

// Where the split's sums for B or C at time t go: (S, R, B, L, G, N).
template <typename acc_t>
acc_t* projection_gradient(void* gradient, const ScanBackwardArgs& args, const Split& split, int64_t direction,
                           int64_t time) {
  const int64_t clip = (split.index * args.directions + direction) * args.batch + split.batch;
  return static_cast<acc_t*>(gradient) + ((clip * args.length + time) * args.groups + split.group) * args.state;
}

template <typename acc_t>
void store_projection_gradients(const ScanBackwardArgs& args, const Split& split, int64_t direction, int64_t start,
                                int tokens, const acc_t* dBC) {
  for (int t = 0; t < tokens; ++t) {
    acc_t* dB = projection_gradient<acc_t>(args.dB, args, split, direction, start + t);
    acc_t* dC = projection_gradient<acc_t>(args.dC, args, split, direction, start + t);
    for_state_blocks<kAdjointBlock>(args.state, [&]<int kStates>(StateBlock<kStates>, int64_t n) {
      using Sums = LaneSums<acc_t, 2 * kStates>;
      for (int k = 0; k < kStates; ++k) {
        dB[n + k] = Sums::sum(dBC, k);
        dC[n + k] = Sums::sum(dBC, kStates + k);
      }
      dBC += Sums::kSize;
    });
  }
}

// One direction, walked against its order.
template <typename in_t>
void differentiate_direction(const ScanBackwardArgs& args, const Split& split, int64_t direction, int64_t length,
                             Workspace<Acc<in_t>>& work) {
  using acc_t = Acc<in_t>;
  constexpr int64_t row = kLanes<acc_t>;
  const int64_t states = args.state * row;
  __builtin_memset(work.dA, 0, std::size_t(split.blocks * states) * sizeof(acc_t));
  __builtin_memset(work.dD, 0, std::size_t(split.blocks * row) * sizeof(acc_t));
  __builtin_memset(work.dbias, 0, std::size_t(split.blocks * row) * sizeof(acc_t));
  for (int64_t i = 0; i < split.blocks; ++i) {
    const Lane lane = block_lane<acc_t>(args, split, direction, i);
    load_decay(work.decay + i * states, work.steepest + i * row, args, lane);
    load_initial_state(work.g + i * states, args.dlast_state, args, lane);
    load_delta_weight(work.delta_weight + i * args.rank * row, args, lane);
  }
  const bool reverse = args.reverse[direction];
  for (int64_t index = tile_count(length) - 1; index >= 0; --index) {
    const int64_t start = tile_start(index, length, reverse);
    Rows rows = next_rows<in_t, kTensorsAhead>(split, index - 1, length);
    const Lane first = block_lane<acc_t>(args, split, direction, 0);
    add_rows<in_t>(rows, args.u, first, index - 1, length, reverse);
    if (args.rank == 0) add_rows<in_t>(rows, args.delta, first, index - 1, length, reverse);
    add_rows<in_t>(rows, args.dout, first, index - 1, length, reverse);
    add_rows<in_t>(rows, args.z, first, index - 1, length, reverse);
    add_rows<in_t>(rows, args.du, first, index - 1, length, reverse);
    add_rows<in_t>(rows, args.ddelta, first, index - 1, length, reverse);
    const int tokens = load_projections<in_t>(work.B, work.C, args, split, direction, start, length);
    __builtin_memset(work.dBC, 0, std::size_t(tokens * work.sums_row(args.state)) * sizeof(acc_t));
    int64_t i = 0;
    for (; split.blocks - i >= kPair; i += kPair)
      differentiate_tile<in_t, kPair>(args, split, direction, start, length, i, work, rows);
    for (; i < split.blocks; ++i) differentiate_tile<in_t, 1>(args, split, direction, start, length, i, work, rows);
    store_projection_gradients(args, split, direction, start, tokens, work.dBC);
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
        if (args.out.data) store_narrowed(at<in_t>(args.out, lane, t) + lane.channel, Vec<acc_t>{}, lane.count);
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
