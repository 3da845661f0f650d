// What the depthwise causal convolution needs to know, as plain sizes, strides and pointers: shared by the ops
// causal_conv1d (one direction) and bi_conv1d (two), by their gradients, and by every device.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "rows.h"

namespace ssamba {

// R directions, B clips, L tokens, D channels, W taps. Accumulators ("acc") are float32, or float64 for float64 inputs,
// and dense. Optional tensors are null. One work item is one clip, a chunk of its tokens and a split of the channels.
struct ConvArgs {
  Dtype dtype;
  int64_t directions, batch, length, channels, width;
  int64_t chunk_tokens, chunks, split_channels, splits;
  bool reverse[2];  // direction r looks at the tokens that follow instead of those before
  bool silu;
  const int64_t* lengths;  // (B,)
  RowsIn x;                // (B, L, D)
  RowsIn initial_state;  // (B, W-1, D): the tokens next to the clip on the side that the filter looks at, in time order
  const void* weight;    // acc (R, W, D)
  const void* bias;      // acc (R, D)
};

struct ConvForwardArgs : ConvArgs {
  RowsOut out;  // (R, B, L, D)
};

// Gradients of weight and bias are sums over tokens: each chunk of each clip writes its partial sums, and a second pass
// adds them in order.
struct ConvBackwardArgs : ConvArgs {
  RowsIn dout;             // (R, B, L, D)
  RowsOut dx;              // (B, L, D)
  RowsOut dinitial_state;  // (B, W-1, D)
  void* dweight;           // acc (B, chunks, R, W, D)
  void* dbias;             // acc (B, chunks, R, D)
};

}  // namespace ssamba
