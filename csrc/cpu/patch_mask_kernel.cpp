// Puts the mask token in the place of masked patches and adds the positions, in one pass; and the gradient of that.
//
//   out = where(mask, mask_token, x) + pos
//   dx = where(mask, 0, dout)        dmask_token = sum of dout over masked patches        dpos = sum of dout over clips
//
// x, out (B, P, D); mask (B, P); mask_token (D,); pos (P, D). Channels go to vector lanes; rows are walked in order,
// and a masked row of x is not read. The backward pass takes the same few patches of all clips together, so that one
// item owns their dpos; dmask_token is one partial sum per item.

#include "isa.h"
#include "kernels.h"
#include "simd.h"

namespace ssamba {
namespace {

inline bool masked(const PatchMaskArgs& args, int64_t batch, int64_t patch) {
  return args.mask[batch * args.mask_batch + patch * args.mask_patch] != 0;
}

// out = source + pos, for one row; a null pos adds nothing.
template <typename in_t, typename source_t, typename pos_t>
inline void add_row(in_t* out, const source_t* source, const pos_t* pos, int64_t channels) {
  using acc_t = Acc<in_t>;
  for (int64_t c = 0; c < channels; c += kLanes<acc_t>) {
    const int count = int(channels - c < kLanes<acc_t> ? channels - c : kLanes<acc_t>);
    Vec<acc_t> value = load_widened(source + c, count);
    if (pos) value += load_widened(pos + c, count);
    store_narrowed(out + c, value, count);
  }
}

template <typename in_t, typename pos_t>
void mask_items(const PatchMaskForwardArgs& args, int64_t begin, int64_t end) {
  const auto* token = static_cast<const Acc<in_t>*>(args.mask_token);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t batch = item / args.chunks, first = item % args.chunks * args.chunk_patches;
    const int64_t last = args.patches - first < args.chunk_patches ? args.patches : first + args.chunk_patches;
    for (int64_t p = first; p < last; ++p) {
      in_t* out = row_at<in_t>(args.out, 0, batch, p);
      const pos_t* pos = args.pos.data ? row_at<pos_t>(args.pos, 0, 0, p) : nullptr;
      if (masked(args, batch, p))
        add_row(out, token, pos, args.channels);
      else
        add_row(out, row_at<in_t>(args.x, 0, batch, p), pos, args.channels);
    }
  }
}

// Adds a row to a sum, or begins the sum with it.
template <typename in_t>
inline void add_to_sum(Acc<in_t>* sum, const in_t* row, bool begins, int64_t channels) {
  using acc_t = Acc<in_t>;
  for (int64_t c = 0; c < channels; c += kLanes<acc_t>) {
    const int count = int(channels - c < kLanes<acc_t> ? channels - c : kLanes<acc_t>);
    const Vec<acc_t> value = load_widened(row + c, count);
    store_narrowed(sum + c, begins ? value : load_widened(sum + c, count) + value, count);
  }
}

template <typename in_t>
void mask_backward_items(const PatchMaskBackwardArgs& args, int64_t begin, int64_t end) {
  using acc_t = Acc<in_t>;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t first = item * args.chunk_patches;
    const int64_t last = args.patches - first < args.chunk_patches ? args.patches : first + args.chunk_patches;
    acc_t* token_sum = static_cast<acc_t*>(args.dmask_token) + item * args.channels;
    __builtin_memset(token_sum, 0, std::size_t(args.channels) * sizeof(acc_t));
    for (int64_t batch = 0; batch < args.batch; ++batch) {
      for (int64_t p = first; p < last; ++p) {
        const in_t* dout = row_at<in_t>(args.dout, 0, batch, p);
        in_t* dx = row_at<in_t>(args.dx, 0, batch, p);
        const std::size_t bytes = std::size_t(args.channels) * sizeof(in_t);
        if (masked(args, batch, p)) {
          __builtin_memset(dx, 0, bytes);
          add_to_sum(token_sum, dout, false, args.channels);
        } else {
          __builtin_memcpy(dx, dout, bytes);
        }
        if (args.dpos) add_to_sum(static_cast<acc_t*>(args.dpos) + p * args.channels, dout, batch == 0, args.channels);
      }
    }
  }
}

}  // namespace

template <>
void launch_patch_mask<kIsa>(const PatchMaskForwardArgs& args, int64_t begin, int64_t end) {
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) {
    if (args.pos_is_acc)
      mask_items<in_t, Acc<in_t>>(args, begin, end);
    else
      mask_items<in_t, in_t>(args, begin, end);
  });
}

template <>
void launch_patch_mask_backward<kIsa>(const PatchMaskBackwardArgs& args, int64_t begin, int64_t end) {
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) { mask_backward_items<in_t>(args, begin, end); });
}

}  // namespace ssamba
