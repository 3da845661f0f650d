// patch_mask on the CPU.

#include <algorithm>

#include "../patch_mask_tensors.h"
#include "../registration.h"
#include "kernels.h"
#include "parallel.h"
#include "sum_partials.h"

namespace ssamba {
namespace {

struct CpuPatchMask {
  explicit CpuPatchMask(const Tensor&) {}

  void forward(PatchMaskForwardArgs& args) const {
    choose_chunks(args, 1);
    parallel_items(args.batch * args.chunks,
                   [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_patch_mask, args, begin, end); });
  }

  // All clips of a patch belong to one item, which owns their dpos.
  void split(PatchMaskArgs& args) const {
    choose_chunks(args, args.batch);
    args.split_clips = args.batch;
    args.clip_splits = args.batch ? 1 : 0;
  }

  void backward(const PatchMaskBackwardArgs& args) const {
    parallel_items(args.chunks,
                   [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_patch_mask_backward, args, begin, end); });
  }

  Tensor sum(const Tensor& partials, std::initializer_list<int64_t> shape) const {
    return sum_partials(partials, shape);
  }

 private:
  // By shape alone, as the order in which the mask token's gradient is summed follows from it.
  static void choose_chunks(PatchMaskArgs& args, int64_t clips_of_item) {
    constexpr int64_t kElements = 48 * 1024, kLeastPatches = 4;
    const int64_t elements = std::max<int64_t>(1, args.channels * clips_of_item);
    args.chunk_patches = std::max(kLeastPatches, kElements / elements);
    args.chunks = (args.patches + args.chunk_patches - 1) / args.chunk_patches;
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) {
  m.impl("patch_mask", TORCH_BOX(&patch_mask<CpuPatchMask>));
  m.impl("patch_mask_backward", TORCH_BOX(&patch_mask_backward<CpuPatchMask>));
}

}  // namespace ssamba
