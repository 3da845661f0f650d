// Depthwise causal convolution, backward, for filters of any width and with an initial state: the formulas of
// causal_conv1d_backward_kernel.cu, one kernel each, with g in memory in between.

#include "conv_tile.cuh"

namespace ssamba {
namespace {

constexpr int kColumns = 32, kTaps = 8;  // channels and taps of a block that sums over tokens

// Where g of a token begins, counted in elements.
__device__ __forceinline__ int64_t gradient_row(const ConvArgs& args, int direction, int64_t batch, int64_t t) {
  return ((direction * args.batch + batch) * args.length + t) * args.channels;
}

// g, zero behind the clip's end.
template <typename in_t>
__global__ void __launch_bounds__(kThreads) output_gradient_kernel(ConvBackwardArgs args, void* gradient) {
  using acc_t = Acc<in_t>;
  for (int64_t batch = blockIdx.y; batch < args.batch; batch += gridDim.y) {
    const ConvThread thread = conv_thread<1>(args, batch);
    if (thread.channel >= args.channels) return;
    for (int direction = 0; direction < args.directions; ++direction) {
      for (int64_t t = thread.token; t < thread.token + kRun && t < args.length; ++t) {
        acc_t g = 0;
        if (t < thread.length) {
          g = widen(row_at<in_t>(args.dout, direction, batch, t)[thread.channel]);
          if (args.silu) {
            const int64_t first = args.reverse[direction] ? t : t - (args.width - 1);
            acc_t y = bias_pack<acc_t, 1>(args, direction, thread.channel).at(0);
            for (int64_t m = 0; m < args.width; ++m)
              y += weight_pack<acc_t, 1>(args, direction, tap_of_row(args, direction, m), thread.channel).at(0) *
                   widen(token_pack<in_t, 1>(args, thread, first + m).at(0));
            const acc_t s = sigmoid(y);
            g *= s * (acc_t(1) + y * (acc_t(1) - s));
          }
        }
        static_cast<acc_t*>(gradient)[gradient_row(args, direction, batch, t) + thread.channel] = g;
      }
    }
  }
}

// The gradient of the row of token s: of every filter that reads it.
template <typename acc_t>
__device__ __forceinline__ acc_t row_gradient(const ConvArgs& args, const void* gradient, const ConvThread& thread,
                                              int64_t s) {
  acc_t dx = 0;
  for (int direction = 0; direction < args.directions; ++direction) {
#pragma unroll 1
    for (int64_t k = 0; k < args.width; ++k) {
      const int64_t away = args.width - 1 - k, t = args.reverse[direction] ? s - away : s + away;
      if (t >= 0 && t < thread.length)
        dx += weight_pack<acc_t, 1>(args, direction, k, thread.channel).at(0) *
              static_cast<const acc_t*>(gradient)[gradient_row(args, direction, thread.batch, t) + thread.channel];
    }
  }
  return dx;
}

template <typename in_t>
__global__ void __launch_bounds__(kThreads, 4) input_gradient_kernel(ConvBackwardArgs args, const void* gradient) {
  for (int64_t batch = blockIdx.y; batch < args.batch; batch += gridDim.y) {
    const ConvThread thread = conv_thread<1>(args, batch);
    if (thread.channel >= args.channels) return;
    for (int64_t s = thread.token; s < thread.token + kRun && s < args.length; ++s) {
      const Acc<in_t> dx = s < thread.length ? row_gradient<Acc<in_t>>(args, gradient, thread, s) : Acc<in_t>(0);
      row_at<in_t>(args.dx, 0, batch, s)[thread.channel] = narrow<in_t>(dx);
    }
  }
}

// A thread takes a channel and every (kTaps gridDim.z)-th row of a clip's initial state.
template <typename in_t>
__global__ void __launch_bounds__(kColumns* kTaps)
    initial_state_gradient_kernel(ConvBackwardArgs args, const void* gradient) {
  const int64_t history = args.width - 1;
  for (int64_t batch = blockIdx.y; batch < args.batch; batch += gridDim.y) {
    ConvThread thread = conv_thread<1>(args, batch);
    thread.channel = int64_t(blockIdx.x) * kColumns + threadIdx.x;
    if (thread.channel >= args.channels) return;
    for (int64_t row = int64_t(blockIdx.z) * kTaps + threadIdx.y; row < history; row += int64_t(gridDim.z) * kTaps) {
      const int64_t s = row + (args.reverse[0] ? thread.length : -history);
      row_at<in_t>(args.dinitial_state, 0, batch, row)[thread.channel] =
          narrow<in_t>(row_gradient<Acc<in_t>>(args, gradient, thread, s));
    }
  }
}

// One partial sum for each chunk: a thread takes a channel and every kTaps-th tap, with the bias for a last tap.
// blockIdx.x counts blocks of channels, then chunks; blockIdx.y clips.
template <typename in_t>
__global__ void __launch_bounds__(kColumns* kTaps)
    parameter_gradient_kernel(ConvBackwardArgs args, const void* gradient) {
  using acc_t = Acc<in_t>;
  const unsigned channel_blocks = unsigned(ceil_divide(args.channels, kColumns));
  for (int64_t batch = blockIdx.y; batch < args.batch; batch += gridDim.y) {
    ConvThread thread = conv_thread<1>(args, batch);
    thread.chunk = blockIdx.x / channel_blocks;
    thread.channel = int64_t(blockIdx.x % channel_blocks) * kColumns + threadIdx.x;
    if (thread.channel >= args.channels) return;
    const int64_t begin = thread.chunk * args.chunk_tokens;
    const int64_t end = thread.length - begin < args.chunk_tokens ? thread.length : begin + args.chunk_tokens;
    for (int direction = 0; direction < args.directions; ++direction) {
      const int64_t partial = (batch * args.chunks + thread.chunk) * args.directions + direction;
      for (int64_t m = threadIdx.y; m <= args.width; m += kTaps) {
        const bool is_bias = m == args.width;
        if (is_bias && !args.dbias) continue;
        const int64_t offset = args.reverse[direction] ? m : m - (args.width - 1);
        acc_t sum = 0;
        for (int64_t t = begin; t < end; ++t) {
          const acc_t g = static_cast<const acc_t*>(gradient)[gradient_row(args, direction, batch, t) + thread.channel];
          sum += is_bias ? g : g * widen(token_pack<in_t, 1>(args, thread, t + offset).at(0));
        }
        acc_t* to = is_bias ? static_cast<acc_t*>(args.dbias) + partial * args.channels
                            : static_cast<acc_t*>(args.dweight) +
                                  (partial * args.width + tap_of_row(args, direction, m)) * args.channels;
        to[thread.channel] = sum;
      }
    }
  }
}

}  // namespace

void launch_causal_conv1d_any_backward(const ConvBackwardArgs& args, void* gradient, Stream stream) {
  const dim3 grid = conv_grid(args, 1), block(kLanes, kRuns);
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) {
    if (args.length > 0) {
      launch(output_gradient_kernel<in_t>, grid, block, 0, stream, args, gradient);
      launch(input_gradient_kernel<in_t>, grid, block, 0, stream, args, gradient);
      const dim3 sums(unsigned(ceil_divide(args.channels, kColumns) * args.chunks), grid.y);
      launch(parameter_gradient_kernel<in_t>, sums, dim3(kColumns, kTaps), 0, stream, args, gradient);
    }
    if (args.dinitial_state.data && args.width > 1) {
      const dim3 rows(unsigned(ceil_divide(args.channels, kColumns)), grid.y,
                      blocks_y(ceil_divide(args.width - 1, kTaps)));
      launch(initial_state_gradient_kernel<in_t>, rows, dim3(kColumns, kTaps), 0, stream, args, gradient);
    }
  });
}

}  // namespace ssamba
