// The pieces that the convolution's kernels share: what a thread owns, and where a token's channels are.
//
// A block is 16 packs of channels by 16 runs of 8 tokens. A thread holds the rows of x around its run in registers, all
// loaded before any is used; rows that neighbouring runs share come from the first-level cache.
#pragma once

#include "../causal_conv1d.h"
#include "dispatch.h"
#include "kernels.h"

namespace ssamba {
namespace {

constexpr int kLanes = 16, kRuns = 16, kRun = 8, kThreads = kLanes * kRuns;
static_assert(kRuns * kRun == kConvChunk);

// Channels of a pack: 16 bytes, but 8 of half precision, as taps and sums of 8 channels would take the registers of a
// second block.
template <typename in_t>
constexpr int kConvPack = sizeof(in_t) == 8 ? 2 : 4;

struct ConvThread {
  int64_t batch, chunk;
  int64_t length;   // tokens of the clip
  int64_t token;    // the first of the run
  int64_t channel;  // the first of the pack
};

// blockIdx.x counts blocks of channels, then chunks of tokens; blockIdx.y counts clips, which go on in steps of
// gridDim.y.
template <int kPack>
__device__ __forceinline__ ConvThread conv_thread(const ConvArgs& args, int64_t batch) {
  const unsigned channel_blocks = unsigned(ceil_divide(args.channels, kLanes * kPack));
  ConvThread thread;
  thread.batch = batch;
  thread.chunk = blockIdx.x / channel_blocks;
  thread.channel = int64_t(blockIdx.x % channel_blocks) * kLanes * kPack + threadIdx.x * kPack;
  thread.token = thread.chunk * kConvChunk + threadIdx.y * kRun;
  const int64_t given = args.lengths ? args.lengths[batch] : args.length;
  thread.length = given < 0 ? 0 : given < args.length ? given : args.length;
  return thread;
}

inline dim3 conv_grid(const ConvArgs& args, int pack) {
  const int64_t channel_blocks = ceil_divide(args.channels, kLanes * pack);
  return dim3(unsigned(channel_blocks * ceil_divide(args.length, kConvChunk)), blocks_y(args.batch));
}

// A pack of a token, which may lie outside the clip: there the initial state stands, or zeros.
template <typename in_t, int kPack>
__device__ __forceinline__ Pack<in_t, kPack> token_pack(const ConvArgs& args, const ConvThread& thread, int64_t t) {
  if (thread.channel >= args.channels) return {};
  if (t >= 0 && t < thread.length)
    return load_pack<in_t, kPack>(row_at<in_t>(args.x, 0, thread.batch, t) + thread.channel);
  if (args.initial_state.data) {
    const int64_t history = args.width - 1, row = t - (args.reverse[0] ? thread.length : -history);
    if (row >= 0 && row < history)
      return load_pack<in_t, kPack>(row_at<in_t>(args.initial_state, 0, thread.batch, row) + thread.channel);
  }
  return {};
}

// The tap that weighs row m of a filter's rows in order of time.
__device__ __forceinline__ int64_t tap_of_row(const ConvArgs& args, int direction, int64_t m) {
  return args.reverse[direction] ? args.width - 1 - m : m;
}

template <typename acc_t, int kPack>
__device__ __forceinline__ Pack<acc_t, kPack> weight_pack(const ConvArgs& args, int direction, int64_t tap,
                                                          int64_t channel) {
  if (channel >= args.channels) return {};
  const auto* weight = static_cast<const acc_t*>(args.weight) + (direction * args.width + tap) * args.channels;
  return load_pack<acc_t, kPack>(weight + channel);
}

template <typename acc_t, int kPack>
__device__ __forceinline__ Pack<acc_t, kPack> bias_pack(const ConvArgs& args, int direction, int64_t channel) {
  if (!args.bias || channel >= args.channels) return {};
  return load_pack<acc_t, kPack>(static_cast<const acc_t*>(args.bias) + direction * args.channels + channel);
}

// Whether every tensor that `args` names can be read in packs.
template <typename in_t, int kPack>
bool inputs_fit(const ConvArgs& args) {
  return args.channels % kPack == 0 && packs_fit(args.x, sizeof(in_t), kPack) &&
         packs_fit(args.initial_state, sizeof(in_t), kPack) && aligned_to_16(args.weight) && aligned_to_16(args.bias);
}

// Calls body(Number<width>) for the widths that have kernels of their own, and with 0 for any other.
template <typename Body>
void dispatch_width(int64_t width, const Body& body) {
  switch (width) {
    case 2: return body(Number<2>{});
    case 3: return body(Number<3>{});
    case 4: return body(Number<4>{});
    default: return body(Number<0>{});
  }
}

}  // namespace
}  // namespace ssamba
