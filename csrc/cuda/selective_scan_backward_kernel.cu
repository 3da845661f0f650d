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

#include "kernels.h"
#include "scan_backward_tile.cuh"

namespace ssamba {
namespace {

// Of the blocks that the shape chooses from.
template <int number>
using Candidate = ScanLayout<kBackwardBlocks[number].lanes, kBackwardBlocks[number].threads>;
using ManyBlocks = ScanLayout<8, 128>;  // where there are more states than a block has
using OfDouble = ScanLayout<16, 128>;

// Blocks whose registers a multiprocessor is to hold. Three spill on other generations than Hopper.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ != 900
constexpr int kNarrowBlocks = 2;
#else
constexpr int kNarrowBlocks = kBackwardBlocks[0].resident;
#endif
template <class Layout>
constexpr int kResidentBlocks = Layout::kThreads == 64 ? kNarrowBlocks : 1;

// What the direction that comes first leaves for the other, acc (B, L, D), may lie in dz and du. Gradients of blocks of
// states that are not being walked wait in the rest.
struct Scratch {
  void* partial_y;   // with a gate
  void* partial_du;  // with one u for both directions
  void* waiting;
};

// The loader's packs of the block's sums for B and C: (splits, R, B, L, G, N).
template <typename acc_t, class Layout>
struct ProjectionGradients {
  PackColumn<acc_t, Layout::kProjection> dB, dC;
  PackAccess access;

  __device__ ProjectionGradients(const ScanBackwardArgs& args, const Share<Layout>& me, int block)
      : dB(column(args.dB, args, me, block)), dC(column(args.dC, args, me, block)) {
    const int64_t n = block * kBlockStates + me.first_state();
    access = pack_access<Layout::kProjection>(args.state - n, dB, dC);
  }

  __device__ static PackColumn<acc_t, Layout::kProjection> column(void* x, const ScanBackwardArgs& args,
                                                                  const Share<Layout>& me, int block) {
    const int64_t clip = (me.split * args.directions + me.direction()) * args.batch + me.batch;
    const int64_t n = block * kBlockStates + me.first_state(), row = args.groups * args.state;
    return {static_cast<acc_t*>(x) + clip * args.length * row + me.group * args.state + n, row};
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
      dB[i] += tile.sums[warp][turn][0][me.first_state() + i];
      dC[i] += tile.sums[warp][turn][1][me.first_state() + i];
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
__global__ void __launch_bounds__(2 * Layout::kThreads, kResidentBlocks<Layout>)
    selective_scan_backward_kernel(const ScanBackwardArgs args, const Scratch scratch) {
  using acc_t = Acc<in_t>;
  constexpr int kPack = Layout::kPack, kStates = Layout::kStates;
  auto& shared = shared_memory<BackwardShared<acc_t, Layout>>();
  const Share<Layout> me(args);
  auto& tile = shared.tiles[me.direction()];
  const int64_t states_row = me.direction() * args.batch + me.batch;
  const int64_t clip_row = me.batch * args.directions + me.direction();
  const int tiles = me.tiles(), blocks = kOneBlock ? 1 : state_blocks(args), turn = me.turn(me.token());
  const int order = state_order(me);
  const bool gated = args.z.data;
  const BackwardInputs<in_t, Layout> inputs(args, me);
  const PackAccess access =
      pack_access<kPack>(me.channels - me.pack(), inputs.u, inputs.delta, inputs.dout, inputs.z,
                         channel_column<const in_t>(Input{args.ddelta.data, 0, 0, args.channels, 0}, me));
  auto* waiting = static_cast<acc_t*>(scratch.waiting);
  acc_t decay[kStates], before[kStates], next_before[kStates], g[kStates], dA[kStates] = {};
#pragma unroll
  for (int k = 0; k < kPack; ++k) tile.dD[turn][me.pack() + k] = tile.dbias[turn][me.pack() + k] = 0;
  load_channel_parameters(tile, args, me);
  clear_padding<in_t>(args, me);
  // Not in the first round of the loop: every round would then wait there for all loads under way.
  if (kOneBlock) {
    load_decay(decay, args, me, 0, order);
    load_states(g, args.dlast_state, args, me, states_row, 0, order);
  }
  const auto start_of = [&](int i) { return me.start(tiles - 1 - i); };
  const auto fetch = [&](int i) {
    return BackwardInputs<in_t, Layout>(args, me.forgotten()).fetch(me, access, start_of(i), gated);
  };
  auto next = fetch(0);
  load_checkpoint(next_before, args, me, start_of(0), 0);
  __syncthreads();
  for (int i = 0; i < tiles; ++i) {
    const int start = start_of(i), t = start + me.token();
    const Meeting meeting(i, tiles, me.direction(), args.directions);
    const int64_t row = unsigned(t) * uint64_t(unsigned(args.channels));
    const int64_t place = dense_place(args, me.forgotten()) + row;
    const int64_t place_of_both = dense_place(args, me.forgotten(), me.direction()) + row;
    const bool exists = t < me.length, finishes = exists && meeting.second;
    const auto fetch_other = [&] {
      const bool both = finishes && args.directions == 2;
      return BackwardOther<acc_t, Layout>{
          dense_pack<acc_t, Layout>(scratch.partial_du, place).load(0, access, both && args.shared_u),
          dense_pack<acc_t, Layout>(scratch.partial_y, place).load(0, access, both && gated)};
    };
    BackwardOther<acc_t, Layout> other{};
    stage<kOneBlock>(tile, args, me, start, next);
    stage(tile.projections, me, next.projections);
#pragma unroll
    for (int n = 0; n < kStates; ++n) before[n] = next_before[n];
    __syncthreads();

    for (int block = 0; block < blocks; ++block) {
      if (block > 0) {
        load_checkpoint(before, args, me.forgotten(), start, block);
        stage(tile.projections, me, ProjectionColumns<in_t, Layout>(args, me, block).fetch(me, start));
        __syncthreads();
      }
      if (!kOneBlock) {
        load_decay(decay, args, me, block, order);
        if (i == 0) load_states(g, args.dlast_state, args, me, states_row, block, order);
#pragma unroll
        for (int n = 0; n < kStates; ++n) {
          if (i > 0) g[n] = waiting[waiting_place(blocks, block, 2 * kStates, n)];
          dA[n] = i > 0 ? waiting[waiting_place(blocks, block, 2 * kStates, kStates + n)] : acc_t(0);
        }
      }
      walk_back<kOneBlock>(tile, me, gated, decay, before, g, dA, [&] {
        if (block > 0) return;
        if (!meeting.middle) other = fetch_other();
        if (i + 1 == tiles) return;
        next = fetch(i + 1);
        load_checkpoint(next_before, args, me.forgotten(), start_of(i + 1), 0);
      });
      if (!kOneBlock) {
#pragma unroll
        for (int n = 0; n < kStates; ++n) {
          waiting[waiting_place(blocks, block, 2 * kStates, n)] = g[n];
          waiting[waiting_place(blocks, block, 2 * kStates, kStates + n)] = dA[n];
        }
      }
      if (i + 1 == tiles) {
        store_states(dA, args.dA, args, me, clip_row, block, order);
        store_states(g, args.dinitial_state, args, me, states_row, block, order);
      }
      __syncthreads();
      finish_projections(tile, args, me.forgotten(), start, block);
    }

    const auto pack = [&](const acc_t* of) { return load_pack<acc_t, kPack>(of + me.pack()); };
    const auto u = pack(tile.u[turn]), dy = pack(tile.dy[turn]), g_B = pack(tile.g_B[turn]);
    const auto w_A = pack(tile.w_A[turn]), slope = pack(tile.slope[turn]), skip = pack(tile.skip);
    const auto left_y = pack(tile.y[turn]);
    auto dD = pack(tile.dD[turn]), dbias = pack(tile.dbias[turn]);
    acc_t du[kPack], ddelta[kPack];
#pragma unroll
    for (int k = 0; k < kPack; ++k) {
      ddelta[k] = (w_A.at(k) * kLn2<acc_t> + g_B.at(k) * u.at(k)) * slope.at(k);
      du[k] = g_B.at(k) * tile.steps[turn][me.pack() + k].delta + skip.at(k) * dy.at(k);
      if (exists) dD.at(k) += dy.at(k) * u.at(k), dbias.at(k) += ddelta[k];
    }
    store_pack(&tile.dD[turn][me.pack()], dD);
    store_pack(&tile.dbias[turn][me.pack()], dbias);
    if (exists) dense_pack<in_t, Layout>(args.ddelta.data, place_of_both).store(0, access, ddelta);
    if (exists && !args.shared_u) dense_pack<in_t, Layout>(args.du.data, place_of_both).store(0, access, du);
    if (exists && !meeting.second) {
      if (args.shared_u) dense_pack<acc_t, Layout>(scratch.partial_du, place).store(0, access, du);
      if (gated) dense_pack<acc_t, Layout>(scratch.partial_y, place).store(0, access, left_y.elements);
    }
    if (meeting.middle) {
      __syncthreads();
      other = fetch_other();
    }
    if (finishes && args.shared_u) {
#pragma unroll
      for (int k = 0; k < kPack; ++k) du[k] += other.du.at(k);
      dense_pack<in_t, Layout>(args.du.data, place).store(0, access, du);
    }
    if (finishes && gated) {
      const auto dz_of_y = pack(tile.dz_of_y[turn]);
      acc_t dz[kPack];
#pragma unroll
      for (int k = 0; k < kPack; ++k) dz[k] = dz_of_y.at(k) * (left_y.at(k) + other.y.at(k));
      dense_pack<in_t, Layout>(args.dz.data, place).store(0, access, dz);
    }
  }

  __syncthreads();
  store_channel_sums(args.dD, tile.dD, args, me);
  store_channel_sums(args.ddelta_bias, tile.dbias, args, me);
}

bool is_wide(const ScanArgs& args) { return args.dtype == Dtype::float32 || args.dtype == Dtype::float64; }

// Where a direction leaves its sums for the other: in the gradients themselves if these are as wide.
int64_t partial_y_elements(const ScanBackwardArgs& args) {
  return args.directions == 2 && args.z.data && !is_wide(args) ? args.batch * args.length * args.channels : 0;
}
int64_t partial_du_elements(const ScanBackwardArgs& args) {
  return args.shared_u && !is_wide(args) ? args.batch * args.length * args.channels : 0;
}

int chosen_candidate(const ScanArgs& args) { return choose_block(args, kBackwardBlocks, multiprocessor_count()); }

template <typename in_t, class Layout, bool kOneBlock>
void launch_layout(const ScanBackwardArgs& args, const Scratch& scratch, Stream stream) {
  launch(selective_scan_backward_kernel<in_t, Layout, kOneBlock>, dim3(unsigned(scan_blocks(args, Layout::kChannels))),
         dim3(unsigned(args.directions * Layout::kThreads)), sizeof(BackwardShared<Acc<in_t>, Layout>), stream, args,
         scratch);
}

}  // namespace

int64_t scan_backward_channels(const ScanArgs& args) {
  if (args.dtype == Dtype::float64) return OfDouble::kChannels;
  if (args.state > kBlockStates) return ManyBlocks::kChannels;
  return kBackwardBlocks[chosen_candidate(args)].channels();
}

int64_t selective_scan_backward_scratch(const ScanBackwardArgs& args) {
  return partial_y_elements(args) + partial_du_elements(args) + waiting_elements(args, args.split_channels, 2);
}

void launch_selective_scan_backward(const ScanBackwardArgs& args, void* scratch, Stream stream) {
  if (args.batch == 0 || args.channels == 0) return;
  const bool one_block = args.state <= kBlockStates;
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) {
    auto* const y = static_cast<Acc<in_t>*>(scratch);
    auto* const du = y + partial_y_elements(args);
    const bool wide = is_wide(args);
    const Scratch parts{wide ? args.dz.data : y, wide ? args.du.data : du, du + partial_du_elements(args)};
    if constexpr (sizeof(in_t) == sizeof(double)) {
      if (one_block) return launch_layout<in_t, OfDouble, true>(args, parts, stream);
      launch_layout<in_t, OfDouble, false>(args, parts, stream);
    } else {
      if (!one_block) return launch_layout<in_t, ManyBlocks, false>(args, parts, stream);
      switch (chosen_candidate(args)) {
        case 0: return launch_layout<in_t, Candidate<0>, true>(args, parts, stream);
        default: return launch_layout<in_t, Candidate<1>, true>(args, parts, stream);
      }
    }
  });
}

}  // namespace ssamba
