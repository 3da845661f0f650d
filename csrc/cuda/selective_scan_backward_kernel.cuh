// Selective scan, backward, for one or two directions of time.
//
// With g_t the gradient of h_t, walking against the direction of the scan:
//   g_t = dy_t C_t + exp(delta_{t+1} A) g_{t+1}
//   dC_t = sum_d dy_t h_t          dB_t = sum_d g_t delta_t u_t        w_t = g_t exp(delta_t A) h_{t-1}
//   dA = sum_t w_t delta_t         ddelta_t = w_t . A + (g_t . B_t) u_t    du_t = (g_t . B_t) delta_t + D dy_t
//
// Blocks, threads and tiles as scan_tile.cuh says. Tiles are taken against the order of the scan: from the checkpoint
// that the forward pass saved, a walker replays the tile into registers, then walks the gradients back through it. dB
// and dC are summed over the channels of a warp, then over warps; what blocks have is added by a second pass. dA, dD
// and ddelta_bias are left per clip. All sums are float32 (float64 for float64), in an order that the shape decides.
#pragma once

#include "scan_tile.cuh"

namespace ssamba {

// Scratch of the launch. What the direction that came first leaves for the other, acc (B, L, D): its y if there is a
// gate, its du if u is shared. And the gradients of blocks of states that are not being walked.
struct ScanBackwardLaunch : ScanBackwardArgs {
  void* partial_y;
  void* partial_du;
  void* waiting;  // acc, only if N > kBlockStates
};

namespace {

template <typename acc_t, class Layout>
struct BackwardTile {
  static constexpr int kChannels = Layout::kChannels, kWarps = Layout::kThreads / kWarp;
  Step<acc_t> steps[kTileTokens][kChannels];
  alignas(16) acc_t u[kTileTokens][kChannels];
  alignas(16) acc_t slope[kTileTokens][kChannels];  // of softplus, if asked for
  alignas(16) acc_t dy[kTileTokens][kChannels];
  alignas(16) acc_t y[kTileTokens][kChannels];
  alignas(16) acc_t w_A[kTileTokens][kChannels];  // w . A log2(e)
  alignas(16) acc_t g_B[kTileTokens][kChannels];  // g . B
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

  __device__ BackwardInputs(const ScanBackwardArgs& args, const Share<Layout>& me)
      : u(channel_column<const in_t>(args.u, me)), delta(channel_column<const in_t>(args.delta, me)),
        dout(channel_column<const in_t>(args.dout, me)), z(channel_column<const in_t>(args.z, me)),
        projections(args, me, 0) {}

  __device__ __forceinline__ BackwardFetched<in_t, Layout> fetch(const Share<Layout>& me, PackAccess access,
                                                                 int start) const {
    const int t = start + me.token();
    const bool exists = t < me.length;
    return {u.load(t, access, exists), delta.load(t, access, exists), dout.load(t, access, exists),
            z.load(t, access, exists && z.first), projections.fetch(me, start)};
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

// From the states `before` the tile: replays it into a trace, then walks the gradients back through the trace. Calls
// `fetch_next` when most of the trace is done with and its registers are free.
template <typename acc_t, class Layout, typename Fetch>
__device__ __forceinline__ void walk_back(BackwardTile<acc_t, Layout>& tile, const Share<Layout>& me, bool gated,
                                          const acc_t (&decay)[Layout::kStates], const acc_t (&before)[Layout::kStates],
                                          acc_t (&g)[Layout::kStates], acc_t (&dA)[Layout::kStates],
                                          const Fetch& fetch_next) {
  constexpr int kLanes = Layout::kLanes, kStates = Layout::kStates, kWarpChannels = Layout::kWarpChannels;
  const int channel = me.walk_channel(), first_state = me.lane() * kStates;
  acc_t decays[kTileTokens][kStates], h[kTileTokens][kStates];
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
        decays[t][n] = fast_exp2(step.delta * decay[n]);
        h[t][n] = decays[t][n] * (t > 0 ? h[t > 0 ? t - 1 : 0][n] : before[n]) + step.delta_u * B.at[n];
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
#pragma unroll
  for (int first = kTileTokens - kLanes; first >= 0; first -= kLanes) {
    if (first == 0) fetch_next();
    acc_t w_A[kLanes], g_B[kLanes];
#pragma unroll
    for (int i = kLanes - 1; i >= 0; --i) {
      const int t = first + i;
      const Step<acc_t> step = tile.steps[t][channel];
      const acc_t dy = tile.dy[t][channel];
      const auto B = load_pack<acc_t, kStates>(&tile.projections.B[t][first_state]);
      const auto C = load_pack<acc_t, kStates>(&tile.projections.C[t][first_state]);
      acc_t dBC[2 * kStates];
      w_A[i] = g_B[i] = 0;
#pragma unroll
      for (int n = 0; n < kStates; ++n) {
        const acc_t g_t = dy * C.at[n] + g[n];
        dBC[2 * n] = g_t * step.delta_u;
        dBC[2 * n + 1] = dy * h[t][n];
        g_B[i] += g_t * B.at[n];
        g[n] = g_t * decays[t][n];
        const acc_t w = g[n] * (t > 0 ? h[t > 0 ? t - 1 : 0][n] : before[n]);
        dA[n] += w * step.delta;
        w_A[i] += w * decay[n];
      }
      sums[t][sum_state] = spread_sums<2 * kStates, 1>(dBC, sum);
    }
    tile.w_A[first + me.lane()][channel] += spread_sums<kLanes, kWarpChannels>(w_A, me.lane());
    tile.g_B[first + me.lane()][channel] += spread_sums<kLanes, kWarpChannels>(g_B, me.lane());
  }
}

// The loader's packs of the block's sums for B and C: (splits, R, B, L, G, N).
template <typename acc_t, class Layout>
struct ProjectionGradients {
  PackColumn<acc_t, Layout::kProjection> dB, dC;
  PackAccess access;

  __device__ ProjectionGradients(const ScanBackwardArgs& args, const Share<Layout>& me, int block) {
    const int64_t clip = (me.split * args.directions + me.direction()) * args.batch + me.batch;
    const int64_t n = block * kBlockStates + me.first_state(), row = args.groups * args.state;
    const int64_t first = clip * args.length * row + me.group * args.state + n;
    dB = {static_cast<acc_t*>(args.dB) + first, row};
    dC = {static_cast<acc_t*>(args.dC) + first, row};
    access = pack_access<Layout::kProjection>(args.state - n, dB, dC);
  }
};

// Adds what the warps have for B and C.
template <typename acc_t, class Layout>
__device__ __forceinline__ void finish_projections(const BackwardTile<acc_t, Layout>& tile,
                                                   const ScanBackwardArgs& args, const Share<Layout>& me, int start,
                                                   int block) {
  const int t = start + me.state_token();
  if (t >= me.length) return;
  const int turn = me.turn(me.state_token());
  acc_t dB[Layout::kProjection] = {}, dC[Layout::kProjection] = {};
#pragma unroll
  for (int warp = 0; warp < tile.kWarps; ++warp) {
#pragma unroll
    for (int i = 0; i < Layout::kProjection; ++i) {
      dB[i] += tile.dB[warp][turn][me.first_state() + i];
      dC[i] += tile.dC[warp][turn][me.first_state() + i];
    }
  }
  const ProjectionGradients<acc_t, Layout> to(args, me, block);
  to.dB.store(t, to.access, dB);
  to.dC.store(t, to.access, dC);
}

// Tokens behind the clip's end have no influence: their gradients are zero.
template <typename in_t, class Layout>
__device__ __forceinline__ void clear_padding(const ScanBackwardArgs& args, const Share<Layout>& me) {
  using acc_t = Acc<in_t>;
  if (me.direction() == 0 || !args.shared_u) clear_channels<in_t>(args.du, args, me);
  clear_channels<in_t>(args.ddelta, args, me);
  if (me.direction() == 0 && args.z.data) clear_channels<in_t>(args.dz, args, me);
  const acc_t zeros[Layout::kProjection] = {};
  for (int block = 0; block < state_blocks(args); ++block) {
    const ProjectionGradients<acc_t, Layout> to(args, me, block);
    for (int t = me.length + me.state_token(); t < args.length; t += kTileTokens) {
      to.dB.store(t, to.access, zeros);
      to.dC.store(t, to.access, zeros);
    }
  }
}

// Sums over a tile's turns what loaders have gathered for their channels, into a row of (B, R, D).
template <typename acc_t, class Layout>
__device__ __forceinline__ void store_channel_sums(void* to, const acc_t (&turns)[kTileTokens][Layout::kChannels],
                                                   const ScanArgs& args, const Share<Layout>& me) {
  if (!to || me.thread() >= me.channels) return;
  acc_t sum = 0;
#pragma unroll
  for (int turn = 0; turn < kTileTokens; ++turn) sum += turns[turn][me.thread()];
  const int64_t row = me.batch * args.directions + me.direction();
  static_cast<acc_t*>(to)[row * args.channels + me.channel + me.thread()] = sum;
}

// kOneBlock: there are no more states than a block has.
template <typename in_t, class Layout, bool kOneBlock>
__global__ void __launch_bounds__(2 * Layout::kThreads) selective_scan_backward_kernel(const ScanBackwardLaunch args) {
  using acc_t = Acc<in_t>;
  constexpr int kPack = Layout::kPack, kStates = Layout::kStates;
  auto& shared = shared_memory<BackwardShared<acc_t, Layout>>();
  const Share<Layout> me(args);
  auto& tile = shared.tiles[me.direction()];
  const int64_t states_row = me.direction() * args.batch + me.batch;
  const int64_t clip_row = me.batch * args.directions + me.direction();
  const int tiles = me.tiles(), blocks = kOneBlock ? 1 : state_blocks(args), turn = me.turn(me.token());
  const bool gated = args.z.data;
  const BackwardInputs<in_t, Layout> inputs(args, me);
  const int64_t first_place = dense_place(args, me, 0);
  const PackAccess access =
      pack_access<kPack>(me.channels - me.pack(), inputs.u, inputs.delta, inputs.dout, inputs.z,
                         PackColumn<in_t, kPack>{static_cast<in_t*>(args.ddelta.data) + first_place, args.channels});
  auto* waiting = static_cast<acc_t*>(args.waiting);
  acc_t decay[kStates], before[kStates], g[kStates], dA[kStates];
#pragma unroll
  for (int k = 0; k < kPack; ++k) tile.dD[turn][me.pack() + k] = tile.dbias[turn][me.pack() + k] = 0;

  clear_padding<in_t>(args, me);
  auto next = inputs.fetch(me, access, me.start(tiles - 1));
  for (int i = 0; i < tiles; ++i) {
    const int start = me.start(tiles - 1 - i), t = start + me.token();
    const Meeting meeting(i, tiles, me.direction(), args.directions);
    const auto skip = load_parameter<acc_t>(args.D, args, me);
    load_checkpoint(before, args, me, start, 0);
    stage(tile, args, me, start, next, load_parameter<acc_t>(args.delta_bias, args, me), skip);
    stage(tile.projections, me, next.projections);
    __syncthreads();

    for (int block = 0; block < blocks; ++block) {
      if (block > 0) {
        load_checkpoint(before, args, me, start, block);
        stage(tile.projections, me, ProjectionColumns<in_t, Layout>(args, me, block).fetch(me, start));
        __syncthreads();
      }
      if (i == 0 || blocks > 1) {
        load_decay(decay, args, me, block);
        if (i == 0) load_states(g, args.dlast_state, args, me, states_row, block);
#pragma unroll
        for (int n = 0; n < kStates; ++n) {
          if (i > 0) g[n] = waiting[waiting_place(blocks, block, 2 * kStates, n)];
          dA[n] = i > 0 ? waiting[waiting_place(blocks, block, 2 * kStates, kStates + n)] : acc_t(0);
        }
      }
      walk_back(tile, me, gated, decay, before, g, dA, [&] {
        if (block == 0 && i + 1 < tiles) next = inputs.fetch(me, access, me.start(tiles - 2 - i));
      });
      if (blocks > 1) {
#pragma unroll
        for (int n = 0; n < kStates; ++n) {
          waiting[waiting_place(blocks, block, 2 * kStates, n)] = g[n];
          waiting[waiting_place(blocks, block, 2 * kStates, kStates + n)] = dA[n];
        }
      }
      if (i + 1 == tiles) {
        store_states(dA, args.dA, args, me, clip_row, block);
        store_states(g, args.dinitial_state, args, me, states_row, block);
      }
      __syncthreads();
      finish_projections(tile, args, me, start, block);
    }

    const bool exists = t < me.length;
    acc_t du[kPack], ddelta[kPack], y[kPack];
#pragma unroll
    for (int k = 0; k < kPack; ++k) {
      const int c = me.pack() + k;
      const acc_t u = tile.u[turn][c], dy = tile.dy[turn][c], g_B = tile.g_B[turn][c];
      ddelta[k] = (tile.w_A[turn][c] * kLn2<acc_t> + g_B * u) * tile.slope[turn][c];
      du[k] = g_B * tile.steps[turn][c].delta + skip.at[k] * dy;
      y[k] = tile.y[turn][c];
      if (exists) tile.dD[turn][c] += dy * u, tile.dbias[turn][c] += ddelta[k];
    }
    const int64_t place = dense_place(args, me, t), place_of_both = dense_place(args, me, t, me.direction());
    if (exists) dense_pack<in_t, Layout>(args.ddelta.data, place_of_both).store(0, access, ddelta);
    if (exists && !args.shared_u) dense_pack<in_t, Layout>(args.du.data, place_of_both).store(0, access, du);
    if (exists && !meeting.second) {
      if (args.shared_u) dense_pack<acc_t, Layout>(args.partial_du, place).store(0, access, du);
      if (gated) dense_pack<acc_t, Layout>(args.partial_y, place).store(0, access, y);
    }
    if (meeting.middle) __syncthreads();
    if (exists && meeting.second && args.shared_u) {
      const auto other = dense_pack<acc_t, Layout>(args.partial_du, place).load(0, access);
#pragma unroll
      for (int k = 0; k < kPack; ++k) du[k] += other.at[k];
      dense_pack<in_t, Layout>(args.du.data, place).store(0, access, du);
    }
    if (exists && meeting.second && gated) {
      const auto other = dense_pack<acc_t, Layout>(args.partial_y, place).load(0, access, args.directions == 2);
      const auto dout = inputs.dout.load(t, access), z = inputs.z.load(t, access);
      acc_t dz[kPack];
#pragma unroll
      for (int k = 0; k < kPack; ++k) {
        const acc_t gate = widen(z.at[k]), open = sigmoid(gate);
        dz[k] = widen(dout.at[k]) * (y[k] + other.at[k]) * open * (1 + gate * (1 - open));
      }
      dense_pack<in_t, Layout>(args.dz.data, place).store(0, access, dz);
    }
  }

  __syncthreads();
  store_channel_sums(args.dD, tile.dD, args, me);
  store_channel_sums(args.ddelta_bias, tile.dbias, args, me);
}

}  // namespace
}  // namespace ssamba
