// A tile of the backward scan: what lies in shared memory, how it gets there, and the two walks through it.
#pragma once

#include "scan_tile.cuh"

namespace ssamba {
namespace {

// Token at which the next tile is fetched: half of the trace is done with by then and its registers are free.
constexpr int kFetchAt = 8;
// Decays that a walker keeps from its replay of a tile; for want of registers it computes those of the last tokens
// again.
template <class Layout>
constexpr int kKeptDecays = Layout::kStates == 4 ? 2 : kTileTokens - 6;

// Rows of channels that loaders alone read and write are as long as the tile is wide; those in which a channel's lanes
// meet are longer (kRow).
template <typename acc_t, class Layout>
struct BackwardTile {
  static constexpr int kChannels = Layout::kChannels, kWarps = Layout::kThreads / kWarp;
  alignas(16) Step<acc_t> steps[kTileTokens][Layout::kStepRow];
  alignas(16) acc_t u[kTileTokens][kChannels];
  alignas(16) acc_t slope[kTileTokens][kChannels];  // of softplus, if asked for
  alignas(16) acc_t dy[kTileTokens][kChannels];
  alignas(16) acc_t dz_of_y[kTileTokens][kChannels];  // what dz is for every unit of y
  alignas(16) acc_t y[kTileTokens][Layout::kRow];
  alignas(16) acc_t w_A[kTileTokens][Layout::kRow];  // w . A log2(e)
  alignas(16) acc_t g_B[kTileTokens][Layout::kRow];  // g . B
  alignas(16) acc_t dD[kTileTokens][kChannels];      // of all tiles so far, by turn
  alignas(16) acc_t dbias[kTileTokens][kChannels];   // likewise
  alignas(16) acc_t bias[kChannels];
  alignas(16) acc_t skip[kChannels];
  StagedProjections<acc_t, Layout::kStates> projections;
  alignas(16) acc_t sums[kWarps][kTileTokens][2][kBlockStates];  // dB and dC
};

template <typename acc_t, class Layout>
struct BackwardShared {
  BackwardTile<acc_t, Layout> tiles[2];
};

// What a loader has under way for the next tile while the current one is walked.
template <typename in_t, class Layout>
struct BackwardFetched {
  Pack<in_t, Layout::kPack> u, delta, dout, z;
  Projections<in_t, Layout> projections;
};

// What the other direction has left for a loader's pack.
template <typename acc_t, class Layout>
struct BackwardOther {
  Pack<acc_t, Layout::kPack> du, y;
};

template <typename in_t, class Layout>
struct BackwardInputs {
  PackColumn<const in_t, Layout::kPack> u, delta, dout, z;
  ProjectionColumns<in_t, Layout> projections;

  __device__ BackwardInputs(const ScanBackwardArgs& args, const Share<Layout>& me)
      : u(channel_column<const in_t>(args.u, me)),
        delta(channel_column<const in_t>(args.delta, me)),
        dout(channel_column<const in_t>(args.dout, me)),
        z(channel_column<const in_t>(args.z, me)),
        projections(args, me, 0) {}

  __device__ __forceinline__ BackwardFetched<in_t, Layout> fetch(const Share<Layout>& me, PackAccess access, int start,
                                                                 bool gated) const {
    const int t = start + me.token();
    if (start + kTileTokens <= me.length && access.whole && projections.access.whole)
      return {u.load_whole(t), delta.load_whole(t), dout.load_whole(t),
              gated ? z.load_whole(t) : Pack<in_t, Layout::kPack>{}, projections.fetch_whole(me, start)};
    const bool exists = t < me.length;
    return {u.load(t, access, exists), delta.load(t, access, exists), dout.load(t, access, exists),
            z.load(t, access, exists && gated), projections.fetch(me, start)};
  }
};

template <bool kOneBlock, typename in_t, typename acc_t, class Layout>
__device__ __forceinline__ void stage(BackwardTile<acc_t, Layout>& tile, const ScanArgs& args, const Share<Layout>& me,
                                      int start, const BackwardFetched<in_t, Layout>& from) {
  constexpr int kPack = Layout::kPack;
  const bool exists = start + me.token() < me.length, gated = args.z.data;
  const int turn = me.turn(me.token());
  const auto bias = load_pack<acc_t, kPack>(&tile.bias[me.pack()]);
  const auto skip = load_pack<acc_t, kPack>(&tile.skip[me.pack()]);
  acc_t delta[kPack], u[kPack], slope[kPack], dy[kPack], dz_of_y[kPack];
#pragma unroll
  for (int i = 0; i < kPack; ++i) {
    const acc_t raw = widen(from.delta.at(i)) + bias.at(i);
    delta[i] = !exists ? acc_t(0) : args.delta_softplus ? softplus(raw) : raw;
    slope[i] = args.delta_softplus ? sigmoid(raw) : acc_t(1);
    u[i] = widen(from.u.at(i));
    dy[i] = widen(from.dout.at(i));
    dz_of_y[i] = 0;
    if (gated) {
      const acc_t z = widen(from.z.at(i)), open = sigmoid(z);
      dz_of_y[i] = dy[i] * (open + z * open * (1 - open));
      dy[i] *= z * open;
    }
  }
  store_steps(&tile.steps[turn][me.pack()], delta, u);
  const auto store = [&](acc_t* row, const auto& element) {
    store_pack(row + me.pack(), make_pack<acc_t, kPack>(element));
  };
  store(tile.u[turn], [&](int i) { return u[i]; });
  store(tile.slope[turn], [&](int i) { return slope[i]; });
  store(tile.dy[turn], [&](int i) { return dy[i]; });
  if (gated) store(tile.dz_of_y[turn], [&](int i) { return dz_of_y[i]; });
  store(tile.y[turn], [&](int i) { return skip.at(i) * u[i]; });
  if (kOneBlock) return;
  store(tile.w_A[turn], [](int) { return acc_t(0); });
  store(tile.g_B[turn], [](int) { return acc_t(0); });
}

// A walker keeps its states in an order of its own: state n in place n ^ order. Its neighbours' orders are such that
// the sums over a warp's channels need no selects.
template <class Layout>
__device__ __forceinline__ int state_order(const Share<Layout>& me) {
  return me.walk_channel() % Layout::kStates;
}

// The state before the tile that begins at `start`, as the forward pass saved it: (R, B, K, N, D).
template <typename acc_t, class Layout>
__device__ __forceinline__ void load_checkpoint(acc_t (&h)[Layout::kStates], const ScanBackwardArgs& args,
                                                const Share<Layout>& me, int start, int block) {
  const int count = start < me.length ? me.state_count(args, block) : 0;
  const auto* from = static_cast<const acc_t*>(args.checkpoints) + checkpoint_place(args, me, start, block);
  const int order = state_order(me);
#pragma unroll
  for (int i = 0; i < Layout::kStates; ++i) h[i] = (i ^ order) < count ? from[(i ^ order) * args.channels] : acc_t(0);
}

// What a walker reads for one token on its way back.
template <typename acc_t, int kStates>
struct WalkOperands {
  Step<acc_t> step;
  acc_t dy;
  Pack<acc_t, kStates> B, C;
};

// From the states `before` the tile: replays it into a trace, then walks the gradients back through the trace, calling
// `fetch_next` on the way.
template <bool kOneBlock, typename acc_t, class Layout, typename Fetch>
__device__ __forceinline__ void walk_back(BackwardTile<acc_t, Layout>& tile, const Share<Layout>& me, bool gated,
                                          const acc_t (&decay)[Layout::kStates], const acc_t (&before)[Layout::kStates],
                                          acc_t (&g)[Layout::kStates], acc_t (&dA)[Layout::kStates],
                                          const Fetch& fetch_next) {
  constexpr int kLanes = Layout::kLanes, kStates = Layout::kStates, kWarpChannels = Layout::kWarpChannels;
  constexpr int kKept = kKeptDecays<Layout>;
  const int channel = me.walk_channel(), first_state = me.lane() * kStates, order = state_order(me);
  acc_t decays[kKept][kStates], h[kTileTokens][kStates], spread_y[kTileTokens / kLanes];
#pragma unroll
  for (int first = 0; first < kTileTokens; first += kLanes) {
    acc_t y[kLanes];
#pragma unroll
    for (int i = 0; i < kLanes; ++i) {
      const int t = first + i;
      const Step<acc_t> step = tile.steps[t][channel];
      const auto B = load_pack<acc_t, kStates>(&tile.projections.B[t][order][first_state]);
#pragma unroll
      for (int n = 0; n < kStates; ++n) {
        const acc_t decay_t = fast_exp2(step.delta * decay[n]);
        if (t < kKept) decays[t][n] = decay_t;
        h[t][n] = decay_t * (t > 0 ? h[t > 0 ? t - 1 : 0][n] : before[n]) + step.delta_u * B.at(n);
      }
      if (gated) {
        const auto C = load_pack<acc_t, kStates>(&tile.projections.C[t][order][first_state]);
        y[i] = 0;
#pragma unroll
        for (int n = 0; n < kStates; ++n) y[i] += h[t][n] * C.at(n);
      }
    }
    if (gated) spread_y[first / kLanes] = spread_sums<kLanes, kWarpChannels>(y, me.lane());
  }
  // Not on the way: a store holds back the loads of the tokens behind it.
#pragma unroll
  for (int first = 0; first < kTileTokens; first += kLanes)
    if (gated) tile.y[first + me.lane()][channel] += spread_y[first / kLanes];

  // After spreading, each of a warp's lanes has one of the sums over its channels: of dB or of dC, for the state that
  // is the first in its order. 2 kStates == kWarpChannels.
  const int sum = channel % kWarpChannels, which = sum / kStates;
  acc_t(*sums)[2][kBlockStates] = tile.sums[me.thread() / kWarp];
  constexpr int kGroup = kLanes / 2;  // tokens whose w . A and g . B are summed over the lanes at once
  acc_t(*through)[Layout::kRow] = me.lane() % 2 ? tile.g_B : tile.w_A;
  const auto load = [&](int t) {
    return WalkOperands<acc_t, kStates>{tile.steps[t][channel], tile.dy[t][channel],
                                        load_pack<acc_t, kStates>(&tile.projections.B[t][order][first_state]),
                                        load_pack<acc_t, kStates>(&tile.projections.C[t][order][first_state])};
  };
  auto next = load(kTileTokens - 1);
#pragma unroll
  for (int first = kTileTokens - kGroup; first >= 0; first -= kGroup) {
    if (first <= kFetchAt && kFetchAt < first + kGroup) fetch_next();
    acc_t w_A_g_B[kLanes];
#pragma unroll
    for (int i = kGroup - 1; i >= 0; --i) {
      const int t = first + i;
      const auto [step, dy, B, C] = next;
      if (t > 0) next = load(t - 1);  // before the stores of this token, which would hold it back
      acc_t dB_dC[2 * kStates], w_A = 0, g_B = 0;
#pragma unroll
      for (int n = 0; n < kStates; ++n) {
        const acc_t g_t = dy * C.at(n) + g[n];
        dB_dC[n] = g_t * step.delta_u;
        dB_dC[kStates + n] = dy * h[t][n];
        g_B += g_t * B.at(n);
        g[n] = g_t * (t < kKept ? decays[t < kKept ? t : 0][n] : fast_exp2(step.delta * decay[n]));
        const acc_t w = g[n] * (t > 0 ? h[t > 0 ? t - 1 : 0][n] : before[n]);
        dA[n] += w * step.delta;
        w_A += w * decay[n];
      }
      spread_ordered_sums<kStates, 1, 1>(dB_dC);
      spread_ordered_sums<kStates, 1, 1>(dB_dC + kStates);
      acc_t both[2] = {dB_dC[0], dB_dC[kStates]};
      sums[t][which][first_state + order] = spread_sums<2, kStates>(both, which);
      w_A_g_B[2 * i] = w_A, w_A_g_B[2 * i + 1] = g_B;
    }
    acc_t& sum_through = through[first + me.lane() / 2][channel];
    const acc_t spread = spread_sums<kLanes, kWarpChannels>(w_A_g_B, me.lane());
    sum_through = kOneBlock ? spread : sum_through + spread;
  }
}

}  // namespace
}  // namespace ssamba
