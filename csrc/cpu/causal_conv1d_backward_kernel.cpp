// Depthwise causal convolution, backward, for one or two directions of time.
//
//   g_t = dout_t silu'(y_t)                             y_t, before silu, is computed again from x
//   dx_s = sum_k weight[k] g_{s+(W-1)-k}                dweight[k] = sum_t g_t x_{t-(W-1)+k}        dbias = sum_t g_t
//
// and with time mirrored for the other direction; dx sums over directions. Work items are those of the forward pass. A tile
// first leaves g in scratch, for its own tokens and the W-1 behind them that its dx needs, then goes over it again for
// dweight and for dx. Sums over tokens are one partial sum per item, which a second pass adds in order.

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

// g of the tokens [first, first + count), zero outside the clip. `rows` are of x, from where the first token's filter begins.
template <typename in_t, int kWidth>
void output_gradient(const ConvBackwardArgs& args, const ConvItem& item, int64_t direction, int64_t first, int64_t count,
                     const Workspace<in_t>& work) {
  using acc_t = Acc<in_t>;
  const int64_t before = first < 0 ? -first : 0, in_clip = item.length - first < count ? item.length - first : count;
  const int64_t begin = before < count ? before : count, end = in_clip > begin ? in_clip : begin;
  for (int64_t i = 0; i < count; ++i)
    if (i < begin || i >= end)
      __builtin_memset(work.gradient_row(direction, i), 0, std::size_t(work.row) * sizeof(acc_t));
  if (begin == end) return;
  const Taps<acc_t> taps = conv_taps<acc_t>(args, item, direction);
  const in_t* dout = row_at<in_t>(args.dout, direction, item.batch, first + begin) + item.channel;
  for_vectors<acc_t>(item.channels, [&](int64_t channel, int count_channels) {
    Filter<in_t, kWidth> filter(taps, work.rows + begin, channel, count_channels);
    for (int64_t i = begin; i < end; ++i) {
      Vec<acc_t> g = load_widened(dout + (i - begin) * args.dout.time + channel, count_channels);
      if (args.silu) {
        const Vec<acc_t> y = filter(i - begin), s = sigmoid<acc_t>(y);
        g *= s * (acc_t(1) + y * (acc_t(1) - s));
      }
      store(work.gradient_row(direction, i) + channel, g);
    }
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
  for_vectors<acc_t>(item.channels, [&](int64_t channel, int count) {
    Vec<acc_t> bias_sum{};
    for (int64_t i = 0; i < tokens; ++i) bias_sum += load(g + i * row + channel);
    if (dbias) store_narrowed(dbias + channel, load_widened(dbias + channel, count) + bias_sum, count);
    // Four taps share a pass over the tokens, and each row of x is read once for them.
    constexpr int kTaps = kWidth ? kWidth : 4;
    for (int64_t k = 0; k < args.width; k += kTaps) {
      Vec<acc_t> sum[kTaps] = {}, window[kTaps] = {};
      const int taps = int(args.width - k < kTaps ? args.width - k : kTaps);
      for (int j = 1; j < taps; ++j) window[j] = load_widened(rows[k + j - 1] + channel, count);
      for (int64_t i = 0; i < tokens; ++i) {
        SSAMBA_LANES
        for (int j = 1; j < kTaps; ++j) window[j - 1] = window[j];
        window[taps - 1] = load_widened(rows[i + k + taps - 1] + channel, count);
        const Vec<acc_t> gradient = load(g + i * row + channel);
        SSAMBA_LANES
        for (int j = 0; j < kTaps; ++j) sum[j] += gradient * window[j];
      }
      for (int j = 0; j < taps; ++j) {
        acc_t* total = tap_sum(k + j) + channel;
        store_narrowed(total, load_widened(total, count) + sum[j], count);
      }
    }
  });
}
