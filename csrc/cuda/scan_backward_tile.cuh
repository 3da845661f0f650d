// A tile of the backward scan: what lies in shared memory, how it gets there, and the two walks through it.
#pragma once

#include "scan_tile.cuh"

namespace ssamba {
namespace {

// Token at which the next tile is fetched: most of the trace is done with by then and its registers are free.
constexpr int kFetchAt = 4;
// Decays that a walker keeps from its replay of a tile; for want of registers it computes those of the last tokens
// again.
constexpr int kKeptDecays = kTileTokens - 6;

template <typename acc_t, class Layout>
struct BackwardTile {
  static constexpr int kChannels = Layout::kChannels, kWarps = Layout::kThreads / kWarp;
  Step<acc_t> steps[kTileTokens][kChannels];
  alignas(16) acc_t u[kTileTokens][kChannels];
  alignas(16) acc_t slope[kTileTokens][kChannels];  // of softplus, if asked for
  alignas(16) acc_t dy[kTileTokens][kChannels];
  alignas(16) acc_t y[kTileTokens][kChannels];
  alignas(16) acc_t w_A[kTileTokens][kChannels];    // w . A log2(e)
  alignas(16) acc_t g_B[kTileTokens][kChannels];    // g . B
  alignas(16) acc_t dD[kTileTokens][kChannels];     // of all tiles so far, by turn
  alignas(16) acc_t dbias[kTileTokens][kChannels];  // likewise
  StagedProjections<acc_t> projections;
  alignas(16) acc_t dB[kWarps][kTileTokens][kBlockStates];
  alignas(16) acc_t dC[kWarps][kTileTokens][kBlockStates];
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

template <typename in_t, class Layout>
struct BackwardInputs {
  PackColumn<const in_t, Layout::kPack> u, delta, dout, z;
  ProjectionColumns<in_t, Layout> projections;
  bool gated;

  __device__ BackwardInputs(const ScanBackwardArgs& args, const Share<Layout>& me)
      : u(channel_column<const in_t>(args.u, me)),
        delta(channel_column<const in_t>(args.delta, me)),
        dout(channel_column<const in_t>(args.dout, me)),
        z(channel_column<const in_t>(args.z, me)),
        projections(args, me, 0),
        gated(args.z.data) {}

  __device__ __forceinline__ BackwardFetched<in_t, Layout> fetch(const Share<Layout>& me, PackAccess access,
                                                                 int start) const {
    const int t = start + me.token();
    const bool exists = t < me.length;
    return {u.load(t, access, exists), delta.load(t, access, exists), dout.load(t, access, exists),
            z.load(t, access, exists && gated), projections.fetch(me, start)};
  }
};

template <typename in_t, typename acc_t, class Layout>
__device__ __forceinline__ void stage(BackwardTile<acc_t, Layout>& tile, const ScanArgs& args, const Share<Layout>& me,
                                      int start, const BackwardFetched<in_t, Layout>& from,
                                      const Pack<acc_t, Layout::kPack>& bias, const Pack<acc_t, Layout::kPack>& skip) {
  const bool exists = start + me.token() < me.length;
  const int turn = me.turn(me.token());
#pragma unroll
  for (int i = 0; i < Layout::kPack; ++i) {
    const int c = me.pack() + i;
    const acc_t u = widen(from.u.at[i]), raw = widen(from.delta.at[i]) + bias.at[i], z = widen(from.z.at[i]);
    const acc_t delta = !exists ? acc_t(0) : args.delta_softplus ? softplus(raw) : raw;
    tile.steps[turn][c] = {delta, delta * u};
    tile.u[turn][c] = u;
    tile.slope[turn][c] = args.delta_softplus ? sigmoid(raw) : acc_t(1);
    tile.dy[turn][c] = widen(from.dout.at[i]) * (args.z.data ? z * sigmoid(z) : acc_t(1));
    tile.y[turn][c] = skip.at[i] * u;
    tile.w_A[turn][c] = 0;
    tile.g_B[turn][c] = 0;
  }
}

// The state before the tile that begins at `start`, as the forward pass saved it: (R, B, K, N, D).
template <typename acc_t, class Layout>
__device__ __forceinline__ void load_checkpoint(acc_t (&h)[Layout::kStates], const ScanBackwardArgs& args,
                                                const Share<Layout>& me, int start, int block) {
  const int count = start < me.length ? me.state_count(args, block) : 0;
  const auto* from = static_cast<const acc_t*>(args.checkpoints) + checkpoint_place(args, me, start, block);
#pragma unroll
  for (int i = 0; i < Layout::kStates; ++i) h[i] = i < count ? from[i * args.channels] : acc_t(0);
}

// From the states `before` the tile: replays it into a trace, then walks the gradients back through the trace, calling
// `fetch_next` on the way.
template <typename acc_t, class Layout, typename Fetch>
__device__ __forceinline__ void walk_back(BackwardTile<acc_t, Layout>& tile, const Share<Layout>& me, bool gated,
                                          const acc_t (&decay)[Layout::kStates], const acc_t (&before)[Layout::kStates],
                                          acc_t (&g)[Layout::kStates], acc_t (&dA)[Layout::kStates],
                                          const Fetch& fetch_next) {
  constexpr int kLanes = Layout::kLanes, kStates = Layout::kStates, kWarpChannels = Layout::kWarpChannels;
  const int channel = me.walk_channel(), first_state = me.lane() * kStates;
  acc_t decays[kKeptDecays][kStates], h[kTileTokens][kStates];
#pragma unroll
  for (int first = 0; first < kTileTokens; first += kLanes) {
    acc_t y[kLanes];
#pragma unroll
    for (int i = 0; i < kLanes; ++i) {
      const int t = first + i;
      const Step<acc_t> step = tile.steps[t][channel];
      const auto B = load_pack<acc_t, kStates>(&tile.projections.B[t][first_state]);
#pragma unroll
      for (int n = 0; n < kStates; ++n) {
        const acc_t decay_t = fast_exp2(step.delta * decay[n]);
        if (t < kKeptDecays) decays[t][n] = decay_t;
        h[t][n] = decay_t * (t > 0 ? h[t > 0 ? t - 1 : 0][n] : before[n]) + step.delta_u * B.at[n];
      }
      if (gated) {
        const auto C = load_pack<acc_t, kStates>(&tile.projections.C[t][first_state]);
        y[i] = 0;
#pragma unroll
        for (int n = 0; n < kStates; ++n) y[i] += h[t][n] * C.at[n];
      }
    }
    if (gated) tile.y[first + me.lane()][channel] += spread_sums<kLanes, kWarpChannels>(y, me.lane());
  }

  // After spreading, each of a warp's lanes has one of the sums over its channels: 2 kStates == kWarpChannels.
  const int sum = channel % kWarpChannels, warp = me.thread() / kWarp;
  acc_t(*sums)[kBlockStates] = sum % 2 ? tile.dC[warp] : tile.dB[warp];
  const int sum_state = first_state + sum / 2;
  constexpr int kGroup = kLanes / 2;  // tokens whose w . A and g . B are summed over the lanes at once
  acc_t(*through)[Layout::kChannels] = me.lane() % 2 ? tile.g_B : tile.w_A;
#pragma unroll
  for (int first = kTileTokens - kGroup; first >= 0; first -= kGroup) {
    if (first <= kFetchAt && kFetchAt < first + kGroup) fetch_next();
    acc_t w_A_g_B[kLanes];
#pragma unroll
    for (int i = kGroup - 1; i >= 0; --i) {
      const int t = first + i;
      const Step<acc_t> step = tile.steps[t][channel];
      const acc_t dy = tile.dy[t][channel];
      const auto B = load_pack<acc_t, kStates>(&tile.projections.B[t][first_state]);
      const auto C = load_pack<acc_t, kStates>(&tile.projections.C[t][first_state]);
      acc_t dB_dC[2 * kStates], w_A = 0, g_B = 0;
#pragma unroll
      for (int n = 0; n < kStates; ++n) {
        const acc_t g_t = dy * C.at[n] + g[n];
        dB_dC[2 * n] = g_t * step.delta_u;
        dB_dC[2 * n + 1] = dy * h[t][n];
        g_B += g_t * B.at[n];
        g[n] = g_t * (t < kKeptDecays ? decays[t < kKeptDecays ? t : 0][n] : fast_exp2(step.delta * decay[n]));
        const acc_t w = g[n] * (t > 0 ? h[t > 0 ? t - 1 : 0][n] : before[n]);
        dA[n] += w * step.delta;
        w_A += w * decay[n];
      }
      sums[t][sum_state] = spread_sums<2 * kStates, 1>(dB_dC, sum);
      w_A_g_B[2 * i] = w_A, w_A_g_B[2 * i + 1] = g_B;
    }
    through[first + me.lane() / 2][channel] += spread_sums<kLanes, kWarpChannels>(w_A_g_B, me.lane());
  }
}

}  // namespace
}  // namespace ssamba
