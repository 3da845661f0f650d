// Depthwise causal convolution, backward, for one or two directions of time.
//
//   g_t = dout_t silu'(y_t)                             y_t, before silu, is computed again from x
//   dx_s = sum_k weight[k] g_{s+(W-1)-k}                dweight[k] = sum_t g_t x_{t-(W-1)+k}        dbias = sum_t g_t
//
// and with time mirrored for the other direction; dx sums over directions. Work items are those of the forward pass. A
// tile first leaves g in scratch, for its own tokens and the W-1 behind them that its dx needs, then goes over it again
// for dweight and for dx. Sums over tokens are one partial sum per item, which a second pass adds in order.

#include "conv_tile.h"
#include "isa.h"
#include "kernels.h"
#include "scratch.h"

namespace ssamba {
namespace {

// Long enough for the W-1 tokens computed twice to cost little.
inline int64_t tile_tokens(const ConvArgs& args) { return args.width <= 8 ? 32 : 4 * args.width; }

template <typename in_t>
struct Workspace {
  const in_t* zeros;         // one row
  const in_t** rows;         // of x, for g and for dweight
  Acc<in_t>* gradient;       // g: (R, tile + W-1, row)
  const Acc<in_t>** inward;  // rows of g, for dx
  int64_t row, tokens;       // elements of a row of g; tokens of a tile and its W-1 neighbours

  Acc<in_t>* gradient_row(int64_t direction, int64_t i) const { return gradient + (direction * tokens + i) * row; }
};

// g of the tokens [first, first + count), zero outside the clip. `rows` are of x, from where the first token's filter
// begins.
template <typename in_t, int kWidth>
void output_gradient(const ConvBackwardArgs& args, const ConvItem& item, int64_t direction, int64_t first,
                     int64_t count, const Workspace<in_t>& work) {
  using acc_t = Acc<in_t>;
  const int64_t before = first < 0 ? -first : 0, in_clip = item.length - first < count ? item.length - first : count;
  const int64_t begin = before < count ? before : count, end = in_clip > begin ? in_clip : begin;
  for (int64_t i = 0; i < count; ++i)
    if (i < begin || i >= end)
      __builtin_memset(work.gradient_row(direction, i), 0, std::size_t(work.row) * sizeof(acc_t));
  if (begin == end) return;
  const Taps<acc_t> taps = conv_taps<acc_t>(args, item, direction);
  const in_t* dout = row_at<in_t>(args.dout, direction, item.batch, first + begin) + item.channel;
  const bool silu = args.silu;
  const int64_t stride = args.dout.time, x_stride = args.x.time, ahead = work.tokens - (args.width - 1);
  // The next tile's rows, which may lie behind the tensor's end. A tile touches more pages than the hardware's
  // prefetchers follow: left to them, waiting for memory takes twice as long as all the arithmetic.
  const in_t* next_dout = dout + ahead * stride;
  const in_t* next_x = row_at<in_t>(args.x, 0, item.batch, first + begin + ahead) + item.channel;
  for_vectors<acc_t>(item.channels, [&]<typename Count>(int64_t channel, Count lanes) {
    Filter<in_t, kWidth, Count> filter(taps, work.rows + begin, channel, lanes);
    for_together(end - begin, [&]<int kCount>(int64_t i, Together<kCount>) {
      Vecs<acc_t, kCount> g, y;
      SSAMBA_LANES
      for (int k = 0; k < kCount; ++k) {
        g.at[k] = load_widened(dout + (i + k) * stride + channel, lanes);
        __builtin_prefetch(next_dout + (i + k) * stride + channel);
        if (direction == 0) __builtin_prefetch(next_x + (i + k) * x_stride + channel);
        if (silu) y.at[k] = filter(i + k);
      }
      if (silu) {
        const auto s = sigmoid(y);
        g = g * (s * (y * (acc_t(1) - s) + acc_t(1)));
      }
      SSAMBA_LANES
      for (int k = 0; k < kCount; ++k) store(work.gradient_row(direction, begin + i + k) + channel, g.at[k]);
    });
  });
}

// Adds to the item's dweight and dbias what `tokens` tokens give, whose g is at `g` and whose filters begin at `rows`.
template <typename in_t, int kWidth>
void add_parameter_gradients(const ConvBackwardArgs& args, const ConvItem& item, int64_t direction,
                             const in_t* const* rows, const Acc<in_t>* g, int64_t row, int64_t tokens) {
  using acc_t = Acc<in_t>;
  const int64_t sums = (item.batch * args.chunks + item.chunk) * args.directions + direction;
  acc_t* dweight = static_cast<acc_t*>(args.dweight) + sums * args.width * args.channels + item.channel;
  acc_t* dbias = args.dbias ? static_cast<acc_t*>(args.dbias) + sums * args.channels + item.channel : nullptr;
  const auto tap_sum = [&](int64_t k) {
    return dweight + (args.reverse[direction] ? args.width - 1 - k : k) * args.channels;
  };
  for_vectors<acc_t>(item.channels, [&]<typename Count>(int64_t channel, Count count) {
    Vec<acc_t> bias_sum{};
    for (int64_t i = 0; i < tokens; ++i) bias_sum += load(g + i * row + channel);
    if (dbias) store_narrowed(dbias + channel, load_widened(dbias + channel, count) + bias_sum, count);
    constexpr int kTaps = kWidth ? kWidth : 1;  // that share a pass over the tokens
    for (int64_t k = 0; k < args.width; k += kTaps) {
      Vec<acc_t> sum[kTaps] = {}, window[kTaps];
      SSAMBA_LANES
      for (int j = 1; j < kTaps; ++j) window[j] = load_widened(rows[k + j - 1] + channel, count);
      for (int64_t i = 0; i < tokens; ++i) {
        SSAMBA_LANES
        for (int j = 1; j < kTaps; ++j) window[j - 1] = window[j];
        window[kTaps - 1] = load_widened(rows[i + k + kTaps - 1] + channel, count);
        const Vec<acc_t> gradient = load(g + i * row + channel);
        SSAMBA_LANES
        for (int j = 0; j < kTaps; ++j) sum[j] += gradient * window[j];
      }
      for (int j = 0; j < kTaps; ++j) {
        acc_t* total = tap_sum(k + j) + channel;
        store_narrowed(total, load_widened(total, count) + sum[j], count);
      }
    }
  });
}

// Leaves g around the tokens [start, start + tokens) in scratch, one direction after the other. Tokens of the item
// count for its parameters' gradients; those of the initial state do not.
template <typename in_t, int kWidth>
void tile_gradients(const ConvBackwardArgs& args, const ConvItem& item, int64_t start, int64_t tokens, bool parameters,
                    const Workspace<in_t>& work) {
  const int64_t history = args.width - 1;
  for (int64_t direction = 0; direction < args.directions; ++direction) {
    const bool reverse = args.reverse[direction];
    const int64_t first = reverse ? start - history : start, own = start - first;
    token_rows(work.rows, args, item, direction, reverse ? first : first - history, tokens + 2 * history, work.zeros);
    output_gradient<in_t, kWidth>(args, item, direction, first, tokens + history, work);
    if (parameters)
      add_parameter_gradients<in_t, kWidth>(args, item, direction, work.rows + own, work.gradient_row(direction, own),
                                            work.row, tokens);
  }
}

// dx of a tile, whose first row is `out`, from the g in scratch.
template <typename in_t, int kWidth>
void input_gradient(const ConvBackwardArgs& args, const ConvItem& item, in_t* out, int64_t out_stride, int64_t tokens,
                    const Workspace<in_t>& work) {
  using acc_t = Acc<in_t>;
  const bool two = args.directions == 2;
  for (int64_t i = 0; i < args.directions * work.tokens; ++i) work.inward[i] = work.gradient + i * work.row;
  const Taps<acc_t> taps[2] = {conv_taps<acc_t>(args, item, 0, true), conv_taps<acc_t>(args, item, two, true)};
  for_vectors<acc_t>(item.channels, [&]<typename Count>(int64_t channel, Count count) {
    Filter<acc_t, kWidth, Count> first(taps[0], work.inward, channel, count);
    Filter<acc_t, kWidth, Count> second(taps[1], work.inward + (two ? work.tokens : 0), channel, count);
    for (int64_t i = 0; i < tokens; ++i) {
      Vec<acc_t> dx = first(i);
      if (two) dx += second(i);
      store_narrowed(out + i * out_stride + channel, dx, count);
    }
  });
}

template <typename in_t, int kWidth>
void input_gradients(const ConvBackwardArgs& args, const ConvItem& item, const Workspace<in_t>& work) {
  const int64_t tile = tile_tokens(args);
  for (int64_t start = item.begin; start < item.clip_end(); start += tile) {
    const int64_t left = item.clip_end() - start, tokens = left < tile ? left : tile;
    tile_gradients<in_t, kWidth>(args, item, start, tokens, true, work);
    input_gradient<in_t, kWidth>(args, item, row_at<in_t>(args.dx, 0, item.batch, start) + item.channel, args.dx.time,
                                 tokens, work);
  }
}

// The initial state's rows are tokens outside the clip, whose gradient the clip's first item takes along.
template <typename in_t, int kWidth>
void initial_state_gradient(const ConvBackwardArgs& args, const ConvItem& item, const Workspace<in_t>& work) {
  const int64_t tile = tile_tokens(args), history = args.width - 1;
  const int64_t state_begin = args.reverse[0] ? item.length : -history;
  for (int64_t state_row = 0; state_row < history; state_row += tile) {
    const int64_t left = history - state_row, tokens = left < tile ? left : tile;
    tile_gradients<in_t, kWidth>(args, item, state_begin + state_row, tokens, false, work);
    in_t* out = row_at<in_t>(args.dinitial_state, 0, item.batch, state_row) + item.channel;
    input_gradient<in_t, kWidth>(args, item, out, args.dinitial_state.time, tokens, work);
  }
}

template <typename in_t>
void zero_gradients(const ConvBackwardArgs& args, const ConvItem& item) {
  using acc_t = Acc<in_t>;
  const auto zero = [&](auto* row) { __builtin_memset(row, 0, std::size_t(item.channels) * sizeof *row); };
  for (int64_t t = item.begin < item.length ? item.clip_end() : item.begin; t < item.end; ++t)
    zero(row_at<in_t>(args.dx, 0, item.batch, t) + item.channel);
  const int64_t sums = (item.batch * args.chunks + item.chunk) * args.directions;
  for (int64_t i = sums * args.width; i < (sums + args.directions) * args.width; ++i)
    zero(static_cast<acc_t*>(args.dweight) + i * args.channels + item.channel);
  for (int64_t i = sums; args.dbias && i < sums + args.directions; ++i)
    zero(static_cast<acc_t*>(args.dbias) + i * args.channels + item.channel);
}

template <typename in_t>
void differentiate_items(const ConvBackwardArgs& args, int64_t begin, int64_t end) {
  using acc_t = Acc<in_t>;
  const int64_t history = args.width - 1;
  Workspace<in_t> work;
  work.tokens = tile_tokens(args) + history;
  // One vector more than needed: rows a power of two apart would compete for the same few sets of the cache.
  work.row = ((args.split_channels + kLanes<acc_t> - 1) / kLanes<acc_t> + 1) * kLanes<acc_t>;
  Scratch<in_t> zeros(work.row);
  Scratch<const in_t*> rows(work.tokens + history);
  Scratch<acc_t> gradient(args.directions * work.tokens * work.row);
  Scratch<const acc_t*> inward(args.directions * work.tokens);
  in_t* zero_row = zeros.take(work.row);
  __builtin_memset(zero_row, 0, std::size_t(work.row) * sizeof(in_t));
  work.zeros = zero_row;
  work.rows = rows.take(work.tokens + history);
  work.gradient = gradient.take(args.directions * work.tokens * work.row);
  work.inward = inward.take(args.directions * work.tokens);
  for (int64_t index = begin; index < end; ++index) {
    const ConvItem item = conv_item(args, index);
    zero_gradients<in_t>(args, item);
    dispatch_width(args.width, [&]<int kWidth>(Width<kWidth>) {
      input_gradients<in_t, kWidth>(args, item, work);
      if (args.dinitial_state.data && item.chunk == 0) initial_state_gradient<in_t, kWidth>(args, item, work);
    });
  }
}

}  // namespace

template <>
void launch_causal_conv1d_backward<kIsa>(const ConvBackwardArgs& args, int64_t begin, int64_t end) {
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) { differentiate_items<in_t>(args, begin, end); });
}

}  // namespace ssamba
