// Depthwise causal convolution, backward, for one or two directions of time and filters of a few taps.
//
//   g_t = dout_t silu'(y_t)                             y_t, before silu, is computed again from x
//   dx_s = sum_k weight[k] g_{s+(W-1)-k}                dweight[k] = sum_t g_t x_{t-(W-1)+k}        dbias = sum_t g_t
//
// and with time mirrored for the other direction; dx sums over directions. A thread takes a run of tokens of a pack of
// channels. It goes through g of its own tokens and of the W-1 that its dx needs besides; of those, only its own count
// for dweight and dbias. Their sums over a block's tokens are made by shuffle and in shared memory, in order, and
// written as one partial sum a block.

#include "conv_tile.cuh"

namespace ssamba {
namespace {

constexpr int kWarps = kThreads / 32;

template <typename acc_t, int kWidth, int kPack>
struct ParameterShared {
  acc_t sums[kWarps][kWidth + 1][kLanes * kPack];  // of the taps, and last of the bias
};

// silu'(y) = s (1 + y (1 - s)).
template <typename acc_t>
__device__ __forceinline__ acc_t silu_slope(acc_t y) {
  const acc_t s = sigmoid(y);
  return s * (acc_t(1) + y * (acc_t(1) - s));
}

template <typename in_t, int kPack>
__device__ __forceinline__ Pack<in_t, kPack> dout_pack(const ConvBackwardArgs& args, const ConvThread& thread,
                                                       int direction, int64_t t) {
  if (t < 0 || t >= thread.length || thread.channel >= args.channels) return {};
  return load_pack<in_t, kPack>(row_at<in_t>(args.dout, direction, thread.batch, t) + thread.channel);
}

// Adds the sums of all runs of the block and writes them; every thread of the block must come here.
template <typename acc_t, int kWidth, int kPack>
__device__ __forceinline__ void write_parameter_sums(const ConvBackwardArgs& args, const ConvThread& thread,
                                                     int direction, const Pack<acc_t, kPack> (&sums)[kWidth + 1]) {
  constexpr int kColumns = kLanes * kPack;
  auto& shared = shared_memory<ParameterShared<acc_t, kWidth, kPack>>();
  const int number = int(threadIdx.y) * kLanes + int(threadIdx.x), warp = number / 32;
#pragma unroll
  for (int m = 0; m <= kWidth; ++m)
#pragma unroll
    for (int c = 0; c < kPack; ++c) {
      // A warp holds two runs.
      const acc_t sum = sums[m].at(c) + __shfl_down_sync(0xffffffffu, sums[m].at(c), kLanes);
      if (number % 32 < kLanes) shared.sums[warp][m][threadIdx.x * kPack + c] = sum;
    }
  __syncthreads();
  const int64_t partial = (thread.batch * args.chunks + thread.chunk) * args.directions + direction;
  const int64_t first = thread.channel - threadIdx.x * kPack;
  for (int i = number; i < (kWidth + 1) * kColumns; i += kThreads) {
    const int m = i / kColumns, column = i % kColumns;
    if (first + column >= args.channels || (m == kWidth && !args.dbias)) continue;
    acc_t sum = shared.sums[0][m][column];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) sum += shared.sums[w][m][column];
    acc_t* to = m == kWidth ? static_cast<acc_t*>(args.dbias) + partial * args.channels
                            : static_cast<acc_t*>(args.dweight) +
                                  (partial * kWidth + tap_of_row(args, direction, m)) * args.channels;
    to[first + column] = sum;
  }
  __syncthreads();  // before the next sums take their place
}

template <typename in_t, int kWidth, int kDirections, int kPack>
__global__ void __launch_bounds__(kThreads) causal_conv1d_backward_kernel(ConvBackwardArgs args) {
  using acc_t = Acc<in_t>;
  constexpr int kHistory = kWidth - 1, kRows = kRun + 2 * kHistory;
  for (int64_t batch = blockIdx.y; batch < args.batch; batch += gridDim.y) {
    const ConvThread thread = conv_thread<kPack>(args, batch);
    Pack<in_t, kPack> x[kRows];
#pragma unroll
    for (int i = 0; i < kRows; ++i) x[i] = token_pack<in_t, kPack>(args, thread, thread.token - kHistory + i);
    Pack<acc_t, kPack> dx[kRun] = {};
#pragma unroll
    for (int direction = 0; direction < kDirections; ++direction) {
      const bool reverse = kDirections == 2 ? direction == 1 : args.reverse[0];
      // g[j] belongs to the token whose filter begins at row j. The thread's own tokens are g[own] and those after it.
      const int own = reverse ? kHistory : 0;
      Pack<acc_t, kPack> weight[kWidth], sums[kWidth + 1] = {};
#pragma unroll
      for (int m = 0; m < kWidth; ++m)
        weight[m] = weight_pack<acc_t, kPack>(args, direction, tap_of_row(args, direction, m), thread.channel);
      const auto bias = bias_pack<acc_t, kPack>(args, direction, thread.channel);
      Pack<in_t, kPack> dout[kRun + kHistory];
#pragma unroll
      for (int j = 0; j < kRun + kHistory; ++j)
        dout[j] = dout_pack<in_t, kPack>(args, thread, direction, thread.token - own + j);
#pragma unroll
      for (int j = 0; j < kRun + kHistory; ++j) {
#pragma unroll
        for (int c = 0; c < kPack; ++c) {
          acc_t g = widen(dout[j].at(c));
          if (args.silu) {
            acc_t y = bias.at(c);
#pragma unroll
            for (int m = 0; m < kWidth; ++m) y += weight[m].at(c) * widen(x[j + m].at(c));
            g *= silu_slope(y);
          }
#pragma unroll
          for (int m = 0; m < kWidth; ++m) {
            const int i = j + m - kHistory;
            if (i >= 0 && i < kRun) dx[i].at(c) += weight[m].at(c) * g;
          }
          if (j < own || j >= own + kRun) continue;
#pragma unroll
          for (int m = 0; m < kWidth; ++m) sums[m].at(c) += g * widen(x[j + m].at(c));
          sums[kWidth].at(c) += g;
        }
      }
      write_parameter_sums<acc_t, kWidth, kPack>(args, thread, direction, sums);
    }
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      const int64_t t = thread.token + i;
      if (t >= args.length || thread.channel >= args.channels) break;
      acc_t valid[kPack];
#pragma unroll
      for (int c = 0; c < kPack; ++c) valid[c] = t < thread.length ? dx[i].at(c) : acc_t(0);
      store_pack(row_at<in_t>(args.dx, 0, batch, t) + thread.channel, narrow_pack<in_t>(valid));
    }
  }
}

template <typename in_t, int kWidth, int kPack>
void launch_width(const ConvBackwardArgs& args, Stream stream) {
  constexpr std::size_t kShared = sizeof(ParameterShared<Acc<in_t>, kWidth, kPack>);
  const dim3 grid = conv_grid(args, kPack), block(kLanes, kRuns);
  if (args.directions == 2)
    launch(causal_conv1d_backward_kernel<in_t, kWidth, 2, kPack>, grid, block, kShared, stream, args);
  else
    launch(causal_conv1d_backward_kernel<in_t, kWidth, 1, kPack>, grid, block, kShared, stream, args);
}

}  // namespace

void launch_causal_conv1d_backward(const ConvBackwardArgs& args, Stream stream) {
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) {
    constexpr int kPack = kConvPack<in_t>;
    const bool packed = inputs_fit<in_t, kPack>(args) && packs_fit(args.dout, sizeof(in_t), kPack) &&
                        packs_fit(args.dx, sizeof(in_t), kPack);
    dispatch_width(args.width, [&]<int kWidth>(Number<kWidth>) {
      if constexpr (kWidth > 0) {
        if (packed)
          launch_width<in_t, kWidth, kPack>(args, stream);
        else
          launch_width<in_t, kWidth, 1>(args, stream);
      }
    });
  });
}

}  // namespace ssamba
