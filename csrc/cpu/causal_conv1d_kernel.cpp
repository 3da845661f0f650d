// Depthwise causal convolution, forward, for one or two directions of time.
//
//   y_t = bias + sum_k weight[k] x_{t-(W-1)+k}          looking forward in time: x_{t+(W-1)-k}
//   out = y, or silu(y)
//
// x (B, L, D); weight (R, W, D); out (R, B, L, D). Channels go to vector lanes. One work item is a chunk of one clip's
// tokens and a split of the channels; it goes tile by tile, and both directions of a tile follow each other while its
// rows are in the first-level cache, so that x comes from memory once. Sums are float32 (float64 for float64).

#include "conv_tile.h"
#include "isa.h"
#include "kernels.h"
#include "scratch.h"

namespace ssamba {
namespace {

constexpr int64_t kTileTokens = 8;  // the pages of a tile's rows, read and written, stay within the TLB

template <typename in_t, int kWidth>
void filter_tile(const ConvForwardArgs& args, const ConvItem& item, const Taps<Acc<in_t>>& taps,
                 const in_t* const* rows, in_t* out, int64_t tokens) {
  using acc_t = Acc<in_t>;
  const bool silu = args.silu;
  const int64_t stride = args.out.time;
  for_vectors<acc_t>(item.channels, [&]<typename Count>(int64_t channel, Count count) {
    Filter<in_t, kWidth, Count> filter(taps, rows, channel, count);
    for_together(tokens, [&]<int kCount>(int64_t i, Together<kCount>) {
      Vecs<acc_t, kCount> value;
      SSAMBA_LANES
      for (int k = 0; k < kCount; ++k) value.at[k] = filter(i + k);
      if (silu) value = value * sigmoid(value);
      SSAMBA_LANES
      for (int k = 0; k < kCount; ++k) store_narrowed(out + (i + k) * stride + channel, value.at[k], count);
    });
  });
}

template <typename in_t, int kWidth>
void filter_chunk(const ConvForwardArgs& args, const ConvItem& item, const in_t** rows, const in_t* zeros) {
  using acc_t = Acc<in_t>;
  for (int64_t start = item.begin; start < item.clip_end(); start += kTileTokens) {
    const int64_t left = item.clip_end() - start, tokens = left < kTileTokens ? left : kTileTokens;
    for (int64_t direction = 0; direction < args.directions; ++direction) {
      const int64_t first = args.reverse[direction] ? start : start - (args.width - 1);
      token_rows(rows, args, item, direction, first, tokens + args.width - 1, zeros);
      in_t* out = row_at<in_t>(args.out, direction, item.batch, start) + item.channel;
      filter_tile<in_t, kWidth>(args, item, conv_taps<acc_t>(args, item, direction), rows, out, tokens);
    }
  }
}

template <typename in_t>
void zero_padding(const ConvForwardArgs& args, const ConvItem& item) {
  for (int64_t t = item.begin < item.length ? item.clip_end() : item.begin; t < item.end; ++t)
    for (int64_t direction = 0; direction < args.directions; ++direction)
      __builtin_memset(row_at<in_t>(args.out, direction, item.batch, t) + item.channel, 0,
                       std::size_t(item.channels) * sizeof(in_t));
}

template <typename in_t>
void convolve_items(const ConvForwardArgs& args, int64_t begin, int64_t end) {
  Scratch<const in_t*> rows(kTileTokens + args.width - 1);
  Scratch<in_t> zeros(args.split_channels);
  const in_t** row_list = rows.take(kTileTokens + args.width - 1);
  in_t* zero_row = zeros.take(args.split_channels);
  __builtin_memset(zero_row, 0, std::size_t(args.split_channels) * sizeof(in_t));
  for (int64_t index = begin; index < end; ++index) {
    const ConvItem item = conv_item(args, index);
    dispatch_width(args.width,
                   [&]<int kWidth>(Width<kWidth>) { filter_chunk<in_t, kWidth>(args, item, row_list, zero_row); });
    zero_padding<in_t>(args, item);
  }
}

}  // namespace

template <>
void launch_causal_conv1d<kIsa>(const ConvForwardArgs& args, int64_t begin, int64_t end) {
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) { convolve_items<in_t>(args, begin, end); });
}

}  // namespace ssamba
