// The pieces that the forward and the backward convolution share: what one work item owns, where a token's channels
// are, and the filter over one vector of channels.
//
// A tile is a few tokens of all channels of an item. It is walked vector by vector with the filter's window in
// registers: short in time and wide in channels, so that memory is read in order.
#pragma once

#include "../causal_conv1d.h"
#include "simd.h"

namespace ssamba {
namespace {

struct ConvItem {
  int64_t batch, chunk, length;  // length: tokens of the clip
  int64_t begin, end;            // of the chunk, which may reach beyond the clip's own length
  int64_t channel, channels;     // the first of the split, and how many

  int64_t clip_end() const { return end < length ? end : length; }
};

inline ConvItem conv_item(const ConvArgs& args, int64_t index) {
  ConvItem item;
  item.channel = index % args.splits * args.split_channels;
  item.chunk = index / args.splits % args.chunks;
  item.batch = index / args.splits / args.chunks;
  item.length = args.lengths ? args.lengths[item.batch] : args.length;
  item.begin = item.chunk * args.chunk_tokens;
  item.end = args.length - item.begin < args.chunk_tokens ? args.length : item.begin + args.chunk_tokens;
  const int64_t left = args.channels - item.channel;
  item.channels = left < args.split_channels ? left : args.split_channels;
  return item;
}

// The item's channels of `count` tokens from `first`, which may lie up to W-1 tokens outside the clip: there the
// initial state stands, or zeros.
template <typename in_t>
inline void token_rows(const in_t** rows, const ConvArgs& args, const ConvItem& item, int64_t direction, int64_t first,
                       int64_t count, const in_t* zeros) {
  const int64_t history = args.width - 1;
  const int64_t state_begin = args.reverse[direction] ? item.length : -history;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t t = first + i, state_row = t - state_begin;
    if (t >= 0 && t < item.length)
      rows[i] = row_at<in_t>(args.x, 0, item.batch, t) + item.channel;
    else if (args.initial_state.data && state_row >= 0 && state_row < history)
      rows[i] = row_at<in_t>(args.initial_state, 0, item.batch, state_row) + item.channel;
    else
      rows[i] = zeros;
  }
}

// The taps of an item's channels, and its bias or null. Tap k of a tile's token i weighs row i + k.
template <typename acc_t>
struct Taps {
  const acc_t* first;
  int64_t step, width;
  const acc_t* bias;
};

// The taps of a direction; `transposed` gives those that lead from the output's gradient back to the input's.
template <typename acc_t>
inline Taps<acc_t> conv_taps(const ConvArgs& args, const ConvItem& item, int64_t direction, bool transposed = false) {
  const acc_t* weight = static_cast<const acc_t*>(args.weight) + direction * args.width * args.channels + item.channel;
  const acc_t* bias = args.bias && !transposed
                          ? static_cast<const acc_t*>(args.bias) + direction * args.channels + item.channel
                          : nullptr;
  if (args.reverse[direction] != transposed)
    return {weight + (args.width - 1) * args.channels, -args.channels, args.width, bias};
  return {weight, args.channels, args.width, bias};
}

template <int kWidth>
struct Width {};

// Calls `body` with the widths whose window fits in registers, and with 0 for any other.
template <typename Body>
inline void dispatch_width(int64_t width, Body body) {
  switch (width) {
    case 1: return body(Width<1>{});
    case 2: return body(Width<2>{});
    case 3: return body(Width<3>{});
    case 4: return body(Width<4>{});
    default: return body(Width<0>{});
  }
}

// Calls body(channel, count) for each vector of `channels`.
template <typename acc_t, typename Body>
inline void for_vectors(int64_t channels, Body body) {
  int64_t c = 0;
  for (; c + kLanes<acc_t> <= channels; c += kLanes<acc_t>) body(c, AllLanes<acc_t>{});
  if (c < channels) body(c, int(channels - c));
}

// The filter over one vector of channels, to be called for i = 0, 1, 2, ... in turn.
template <typename in_t, int kWidth, typename Count>
class Filter {
  using acc_t = Acc<in_t>;

 public:
  Filter(const Taps<acc_t>& taps, const in_t* const* rows, int64_t channel, Count count)
      : rows_(rows), channel_(channel), count_(count) {
    bias_ = taps.bias ? load_widened(taps.bias + channel, count) : Vec<acc_t>{};
    SSAMBA_LANES
    for (int k = 0; k < kWidth; ++k) tap_[k] = load_widened(taps.first + k * taps.step + channel, count);
    SSAMBA_LANES
    for (int k = 1; k < kWidth; ++k) window_[k] = load_widened(rows[k - 1] + channel, count);
  }

  Vec<acc_t> operator()(int64_t i) {
    SSAMBA_LANES
    for (int k = 1; k < kWidth; ++k) window_[k - 1] = window_[k];
    window_[kWidth - 1] = load_widened(rows_[i + kWidth - 1] + channel_, count_);
    Vec<acc_t> y = bias_;
    SSAMBA_LANES
    for (int k = 0; k < kWidth; ++k) y += tap_[k] * window_[k];
    return y;
  }

 private:
  const in_t* const* rows_;
  int64_t channel_;
  Count count_;
  Vec<acc_t> bias_, tap_[kWidth], window_[kWidth];
};

// Any width: rows and taps are read again for every token.
template <typename in_t, typename Count>
class Filter<in_t, 0, Count> {
  using acc_t = Acc<in_t>;

 public:
  Filter(const Taps<acc_t>& taps, const in_t* const* rows, int64_t channel, Count count)
      : taps_(taps), rows_(rows), channel_(channel), count_(count) {}

  Vec<acc_t> operator()(int64_t i) const {
    Vec<acc_t> y = taps_.bias ? load_widened(taps_.bias + channel_, count_) : Vec<acc_t>{};
    for (int64_t k = 0; k < taps_.width; ++k)
      y +=
          load_widened(taps_.first + k * taps_.step + channel_, count_) * load_widened(rows_[i + k] + channel_, count_);
    return y;
  }

 private:
  const Taps<acc_t>& taps_;
  const in_t* const* rows_;
  int64_t channel_;
  Count count_;
};

}  // namespace
}  // namespace ssamba
