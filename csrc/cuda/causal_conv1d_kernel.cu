// Depthwise causal convolution, forward, for one or two directions of time.
//
//   y_t = bias + sum_k weight[k] x_{t-(W-1)+k}          looking forward in time: x_{t+(W-1)-k}
//   out = y, or silu(y)
//
// x (B, L, D); weight (R, W, D); out (R, B, L, D). A thread takes a run of tokens of a pack of channels: it loads the
// run's rows of x with their neighbours on the sides that the filters look at, once, and then goes through the
// directions. Sums are float32 (float64 for float64).

#include "conv_tile.cuh"

namespace ssamba {
namespace {

template <typename in_t, int kPack>
__device__ __forceinline__ void store_outputs(const ConvForwardArgs& args, const ConvThread& thread, int direction,
                                              int64_t t, Pack<Acc<in_t>, kPack> y) {
  Acc<in_t> out[kPack];
#pragma unroll
  for (int c = 0; c < kPack; ++c) {
    const Acc<in_t> value = args.silu ? y.at(c) * sigmoid(y.at(c)) : y.at(c);
    out[c] = t < thread.length ? value : Acc<in_t>(0);
  }
  store_pack(row_at<in_t>(args.out, direction, thread.batch, t) + thread.channel, narrow_pack<in_t>(out));
}

template <typename in_t, int kWidth, int kDirections, int kPack>
__global__ void __launch_bounds__(kThreads, 2) causal_conv1d_kernel(ConvForwardArgs args) {
  using acc_t = Acc<in_t>;
  constexpr int kHistory = kWidth - 1, kRows = kRun + kDirections * kHistory;
  for (int64_t batch = blockIdx.y; batch < args.batch; batch += gridDim.y) {
    const ConvThread thread = conv_thread<kPack>(args, batch);
    if (thread.channel >= args.channels) return;
    const int64_t first = thread.token - (kDirections == 1 && args.reverse[0] ? 0 : kHistory);
    Pack<in_t, kPack> x[kRows];
#pragma unroll
    for (int i = 0; i < kRows; ++i) x[i] = token_pack<in_t, kPack>(args, thread, first + i);
#pragma unroll
    for (int direction = 0; direction < kDirections; ++direction) {
      Pack<acc_t, kPack> weight[kWidth];
#pragma unroll
      for (int m = 0; m < kWidth; ++m)
        weight[m] = weight_pack<acc_t, kPack>(args, direction, tap_of_row(args, direction, m), thread.channel);
      const auto bias = bias_pack<acc_t, kPack>(args, direction, thread.channel);
#pragma unroll
      for (int i = 0; i < kRun; ++i) {
        if (thread.token + i >= args.length) break;
        Pack<acc_t, kPack> y = bias;
#pragma unroll
        for (int m = 0; m < kWidth; ++m)
#pragma unroll
          for (int c = 0; c < kPack; ++c) y.at(c) += weight[m].at(c) * widen(x[i + m + direction * kHistory].at(c));
        store_outputs<in_t, kPack>(args, thread, direction, thread.token + i, y);
      }
    }
  }
}

// Any width: rows and taps are read again for every token.
template <typename in_t>
__global__ void __launch_bounds__(kThreads) causal_conv1d_any_kernel(ConvForwardArgs args) {
  using acc_t = Acc<in_t>;
  for (int64_t batch = blockIdx.y; batch < args.batch; batch += gridDim.y) {
    const ConvThread thread = conv_thread<1>(args, batch);
    if (thread.channel >= args.channels) return;
    for (int direction = 0; direction < args.directions; ++direction) {
      for (int64_t t = thread.token; t < thread.token + kRun && t < args.length; ++t) {
        const int64_t first = args.reverse[direction] ? t : t - (args.width - 1);
        auto y = bias_pack<acc_t, 1>(args, direction, thread.channel);
        for (int64_t m = 0; m < args.width; ++m)
          y.at(0) += weight_pack<acc_t, 1>(args, direction, tap_of_row(args, direction, m), thread.channel).at(0) *
                     widen(token_pack<in_t, 1>(args, thread, first + m).at(0));
        store_outputs<in_t, 1>(args, thread, direction, t, y);
      }
    }
  }
}

template <typename in_t, int kWidth, int kPack>
void launch_width(const ConvForwardArgs& args, Stream stream) {
  const dim3 grid = conv_grid(args, kPack), block(kLanes, kRuns);
  if (args.directions == 2)
    launch(causal_conv1d_kernel<in_t, kWidth, 2, kPack>, grid, block, 0, stream, args);
  else
    launch(causal_conv1d_kernel<in_t, kWidth, 1, kPack>, grid, block, 0, stream, args);
}

}  // namespace

void launch_causal_conv1d(const ConvForwardArgs& args, Stream stream) {
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) {
    constexpr int kPack = kConvPack<in_t>;
    const bool packed = inputs_fit<in_t, kPack>(args) && packs_fit(args.out, sizeof(in_t), kPack);
    dispatch_width(args.width, [&]<int kWidth>(Number<kWidth>) {
      if constexpr (kWidth == 0)
        launch(causal_conv1d_any_kernel<in_t>, conv_grid(args, 1), dim3(kLanes, kRuns), 0, stream, args);
      else if (packed)
        launch_width<in_t, kWidth, kPack>(args, stream);
      else
        launch_width<in_t, kWidth, 1>(args, stream);
    });
  });
}

}  // namespace ssamba
