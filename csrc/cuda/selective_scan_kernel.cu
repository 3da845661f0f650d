// Selective scan, forward, for one or two directions of time.
//
//   delta = softplus(delta + delta_bias)    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t    y_t = C_t . h_t + D u_t
//   out = sum over directions of y, times silu(z)
//
// Blocks, threads and tiles as scan_tile.cuh says. Walkers keep h in registers; y is summed over a channel's lanes for
// several tokens at once. The next tile is on its way from memory while the current one is walked. States and sums are
// float32 (float64 for float64).

#include "kernels.h"
#include "scan_tile.cuh"

namespace ssamba {

namespace {

constexpr int kThreads = kForwardBlocks[0].threads;  // of one direction
constexpr int kLanesOfManyBlocks = 8;                // where there are more states than a block has
constexpr int kDoubleLanes = 16;

struct Scratch {
  void* partial;  // the y of the direction that came first: acc (B, L, D), or `out` itself where that is as wide
  void* waiting;  // the states of blocks that are not being walked
};

template <typename acc_t, class Layout>
struct ForwardTile {
  alignas(16) Step<acc_t> steps[kTileTokens][Layout::kStepRow];
  alignas(16) acc_t y[kTileTokens][Layout::kRow];
  alignas(16) acc_t bias[Layout::kChannels];
  alignas(16) acc_t skip[Layout::kChannels];
  StagedProjections<acc_t> projections;
};

template <typename acc_t, class Layout>
struct ForwardShared {
  ForwardTile<acc_t, Layout> tiles[2];
};

// What a loader has under way for the next tile while the current one is walked.
template <typename in_t, class Layout>
struct ForwardFetched {
  Pack<in_t, Layout::kPack> u, delta;
  Projections<in_t, Layout> projections;
};

template <typename in_t, class Layout>
struct ForwardInputs {
  PackColumn<const in_t, Layout::kPack> u, delta, z;
  ProjectionColumns<in_t, Layout> projections;

  __device__ ForwardInputs(const ScanArgs& args, const Share<Layout>& me)
      : u(channel_column<const in_t>(args.u, me)),
        delta(channel_column<const in_t>(args.delta, me)),
        z(channel_column<const in_t>(args.z, me)),
        projections(args, me, 0) {}

  __device__ __forceinline__ ForwardFetched<in_t, Layout> fetch(const Share<Layout>& me, PackAccess access,
                                                                int start) const {
    const int t = start + me.token();
    if (start + kTileTokens <= me.length && access.whole && projections.access.whole)
      return {u.load_whole(t), delta.load_whole(t), projections.fetch_whole(me, start)};
    return {u.load(t, access, t < me.length), delta.load(t, access, t < me.length), projections.fetch(me, start)};
  }
};

// Widens and stages the loader's pack: the steps, and the skip D u as what y begins with.
template <typename in_t, typename acc_t, class Layout>
__device__ __forceinline__ void stage(ForwardTile<acc_t, Layout>& tile, const ScanArgs& args, const Share<Layout>& me,
                                      int start, const ForwardFetched<in_t, Layout>& from) {
  constexpr int kPack = Layout::kPack;
  const bool exists = start + me.token() < me.length;
  const int turn = me.turn(me.token());
  const auto bias = load_pack<acc_t, kPack>(&tile.bias[me.pack()]);
  const auto skip = load_pack<acc_t, kPack>(&tile.skip[me.pack()]);
  acc_t delta[kPack], u[kPack];
#pragma unroll
  for (int i = 0; i < kPack; ++i) {
    const acc_t raw = widen(from.delta.at(i)) + bias.at(i);
    delta[i] = args.delta_softplus ? softplus(raw) : raw;
    if (!exists) delta[i] = 0;
    u[i] = widen(from.u.at(i));
  }
  store_steps(&tile.steps[turn][me.pack()], delta, u);
  store_pack(&tile.y[turn][me.pack()], make_pack<acc_t, kPack>([&](int i) { return skip.at(i) * u[i]; }));
}

template <typename acc_t, class Layout>
__device__ __forceinline__ void walk(ForwardTile<acc_t, Layout>& tile, const Share<Layout>& me,
                                     const acc_t (&decay)[Layout::kStates], acc_t (&h)[Layout::kStates]) {
  constexpr int kLanes = Layout::kLanes, kStates = Layout::kStates;
  constexpr int kSums = kStates > 4 ? 2 : 1;  // two short chains of sums wait less than a long one
  constexpr bool kAtOnce = kLanes == 2;       // for want of registers
  acc_t spread[kTileTokens / kLanes];
  const auto add = [&](int first) { tile.y[first + me.lane()][me.walk_channel()] += spread[first / kLanes]; };
#pragma unroll
  for (int first = 0; first < kTileTokens; first += kLanes) {
    acc_t y[kLanes];
#pragma unroll
    for (int i = 0; i < kLanes; ++i) {
      const Step<acc_t> step = tile.steps[first + i][me.walk_channel()];
      const auto B = load_pack<acc_t, kStates>(&tile.projections.B[first + i][0][me.lane() * kStates]);
      const auto C = load_pack<acc_t, kStates>(&tile.projections.C[first + i][0][me.lane() * kStates]);
      acc_t sums[kSums] = {};
#pragma unroll
      for (int n = 0; n < kStates; ++n) {
        h[n] = fast_exp2(step.delta * decay[n]) * h[n] + step.delta_u * B.at(n);
        sums[n % kSums] += h[n] * C.at(n);
      }
      y[i] = kSums == 2 ? sums[0] + sums[kSums - 1] : sums[0];
    }
    spread[first / kLanes] = spread_sums<kLanes, Layout::kWarpChannels>(y, me.lane());
    if (kAtOnce) add(first);
  }
  // Not on the way: a store holds back the loads of the tokens behind it.
#pragma unroll
  for (int first = 0; first < kTileTokens; first += kLanes)
    if (!kAtOnce) add(first);
}

// The state before the tile that begins at `start`: (R, B, K, N, D).
template <typename acc_t, class Layout>
__device__ __forceinline__ void store_checkpoint(const ScanForwardArgs& args, const Share<Layout>& me, int start,
                                                 int block, const acc_t (&h)[Layout::kStates]) {
  if (!args.checkpoints || start >= me.length) return;
  const int count = me.state_count(args, block);
  acc_t* to = static_cast<acc_t*>(args.checkpoints) + checkpoint_place(args, me, start, block);
#pragma unroll
  for (int i = 0; i < Layout::kStates; ++i)
    if (i < count) to[i * args.channels] = h[i];
}

// kOneBlock: there are no more states than a block has.
template <typename in_t, class Layout, bool kOneBlock>
__global__ void __launch_bounds__(2 * Layout::kThreads, sizeof(in_t) == 8 ? 2 : kForwardBlocks[0].resident)
    selective_scan_kernel(const ScanForwardArgs args, const Scratch scratch) {
  using acc_t = Acc<in_t>;
  constexpr int kPack = Layout::kPack, kStates = Layout::kStates;
  auto& shared = shared_memory<ForwardShared<acc_t, Layout>>();
  const Share<Layout> me(args);
  auto& tile = shared.tiles[me.direction()];
  const int64_t states_row = me.direction() * args.batch + me.batch;
  const int tiles = me.tiles(), blocks = kOneBlock ? 1 : state_blocks(args), turn = me.turn(me.token());
  const ForwardInputs<in_t, Layout> inputs(args, me);
  const PackAccess access =
      pack_access<kPack>(me.channels - me.pack(), inputs.u, inputs.delta, inputs.z,
                         channel_column<const in_t>(Input{args.out.data, 0, 0, args.channels, 0}, me));
  const int64_t first_place = dense_place(args, me);
  auto* waiting = static_cast<acc_t*>(scratch.waiting);
  acc_t decay[kStates], h[kStates];

  load_channel_parameters(tile, args, me);
  if (me.direction() == 0) clear_channels<in_t>(args.out, args, me);
  // Not in the first round of the loop: every round would then wait there for all loads under way.
  if (kOneBlock) {
    load_decay(decay, args, me, 0);
    load_states(h, args.initial_state, args, me, states_row, 0);
  }
  const auto fetch = [&](int i) { return inputs.fetch(me, access, me.start(i)); };
  auto next = fetch(0);
  __syncthreads();
  for (int i = 0; i < tiles; ++i) {
    const int start = me.start(i), t = start + me.token();
    const Meeting meeting(i, tiles, me.direction(), args.directions);
    stage(tile, args, me, start, next);
    stage(tile.projections, me, next.projections);
    __syncthreads();

    const int64_t place = first_place + unsigned(t) * uint64_t(unsigned(args.channels));
    const auto partial = dense_pack<acc_t, Layout>(scratch.partial, place);
    const bool exists = t < me.length, finishes = exists && meeting.second;
    Pack<in_t, kPack> z{};
    Pack<acc_t, kPack> other{};
    if (args.z.data) z = inputs.z.load(t, access, finishes);
    if (args.directions == 2 && !meeting.middle) other = partial.load(0, access, finishes);
    if (i + 1 < tiles) next = fetch(i + 1);

    for (int block = 0; block < blocks; ++block) {
      if (block > 0) {
        __syncthreads();
        stage(tile.projections, me, ProjectionColumns<in_t, Layout>(args, me, block).fetch(me, start));
        __syncthreads();
      }
      if (!kOneBlock) {
        load_decay(decay, args, me, block);
        if (i == 0) load_states(h, args.initial_state, args, me, states_row, block);
#pragma unroll
        for (int n = 0; n < kStates; ++n)
          if (i > 0) h[n] = waiting[waiting_place(blocks, block, kStates, n)];
      }
      store_checkpoint(args, me.forgotten(), start, block, h);
      walk(tile, me, decay, h);
#pragma unroll
      for (int n = 0; n < kStates; ++n)
        if (!kOneBlock) waiting[waiting_place(blocks, block, kStates, n)] = h[n];
      if (i + 1 == tiles) store_states(h, args.last_state, args, me, states_row, block);
    }
    __syncthreads();

    auto summed = load_pack<acc_t, kPack>(&tile.y[turn][me.pack()]);
    auto& y = summed.elements;
    if (exists && !meeting.second) partial.store(0, access, y);
    if (meeting.middle) {
      __syncthreads();
      other = partial.load(0, access, finishes);
    }
    if (finishes) {
#pragma unroll
      for (int k = 0; k < kPack; ++k) {
        y[k] += other.at(k);
        const acc_t gate = widen(z.at(k));
        if (args.z.data) y[k] *= gate * sigmoid(gate);
      }
      dense_pack<in_t, Layout>(args.out.data, place).store(0, access, y);
    }
  }
}

// Where a direction leaves its sums for the other: nowhere if there is but one, in `out` if that is as wide as they.
int64_t partial_elements(const ScanForwardArgs& args) {
  const bool wide = args.dtype == Dtype::float32 || args.dtype == Dtype::float64;
  return args.directions == 2 && !wide ? args.batch * args.length * args.channels : 0;
}

int forward_lanes(const ScanArgs& args) {
  if (args.dtype == Dtype::float64) return kDoubleLanes;
  return args.state > kBlockStates ? kLanesOfManyBlocks
                                   : kForwardBlocks[choose_block(args, kForwardBlocks, multiprocessor_count())].lanes;
}

template <typename in_t, int kLanes, bool kOneBlock>
void launch_with_lanes(const ScanForwardArgs& args, const Scratch& scratch, Stream stream) {
  using Layout = ScanLayout<kLanes, kThreads>;
  launch(selective_scan_kernel<in_t, Layout, kOneBlock>, dim3(unsigned(scan_blocks(args, Layout::kChannels))),
         dim3(unsigned(args.directions * kThreads)), sizeof(ForwardShared<Acc<in_t>, Layout>), stream, args, scratch);
}

}  // namespace

int64_t selective_scan_scratch(const ScanForwardArgs& args) {
  return partial_elements(args) + waiting_elements(args, kThreads / forward_lanes(args), 1);
}

void launch_selective_scan(const ScanForwardArgs& args, void* scratch, Stream stream) {
  if (args.batch == 0 || args.channels == 0) return;
  const int64_t partial = partial_elements(args);
  const bool one_block = args.state <= kBlockStates;
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) {
    const Scratch parts{partial ? scratch : args.out.data, static_cast<Acc<in_t>*>(scratch) + partial};
    if constexpr (sizeof(in_t) == sizeof(double)) {
      if (one_block) return launch_with_lanes<in_t, kDoubleLanes, true>(args, parts, stream);
      launch_with_lanes<in_t, kDoubleLanes, false>(args, parts, stream);
    } else {
      if (!one_block) return launch_with_lanes<in_t, kLanesOfManyBlocks, false>(args, parts, stream);
      switch (forward_lanes(args)) {
        case 2: return launch_with_lanes<in_t, 2, true>(args, parts, stream);
        case 4: return launch_with_lanes<in_t, 4, true>(args, parts, stream);
        default: return launch_with_lanes<in_t, 8, true>(args, parts, stream);
      }
    }
  });
}

}  // namespace ssamba
