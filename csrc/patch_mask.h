// What patch_mask and its gradient need to know, as plain sizes, strides and pointers: shared by every device.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "rows.h"

namespace ssamba {

// B clips, P patches, D channels. One work item is `chunk_patches` neighbouring patches: of one clip in the forward
// pass, of `split_clips` neighbouring clips in the backward pass. Accumulators ("acc") are float32, or float64 for
// float64 inputs, and dense.
struct PatchMaskArgs {
  Dtype dtype;
  int64_t batch, patches, channels;
  int64_t chunk_patches, chunks, split_clips, clip_splits;
  const uint8_t* mask;  // (B, P), not 0 where masked
  int64_t mask_batch, mask_patch;
};

struct PatchMaskForwardArgs : PatchMaskArgs {
  RowsIn x;                // (B, P, D)
  const void* mask_token;  // acc (D,)
  RowsIn pos;              // (P, D), or null
  bool pos_is_acc;         // pos is acc, not in the dtype of x
  RowsOut out;             // (B, P, D)
};

struct PatchMaskBackwardArgs : PatchMaskArgs {
  RowsIn dout;        // (B, P, D)
  RowsOut dx;         // (B, P, D)
  void* dmask_token;  // acc (clip_splits, chunks, D): partial sums, which a second pass adds in order
  void* dpos;         // acc (clip_splits, P, D), likewise, or null
};

}  // namespace ssamba
