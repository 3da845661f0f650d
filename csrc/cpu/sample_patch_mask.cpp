// sample_patch_mask on the CPU.

#include "../registration.h"
#include "../sample_patch_mask_tensors.h"
#include "parallel.h"
#include "scratch.h"

namespace ssamba {
namespace {

Tensor sample_patch_mask_cpu(int64_t batch, int64_t rows, int64_t cols, int64_t masked, int64_t min_cluster,
                             int64_t max_cluster, int64_t seed) {
  constexpr int64_t kClipsOfItem = 8;
  const PatchGrid grid = check_patch_grid(batch, rows, cols, masked, min_cluster, max_cluster);
  const int64_t cells = rows * cols;
  const torch::stable::Device cpu(torch::headeronly::DeviceType::CPU);
  Tensor mask = empty({batch, cells}, ScalarType::Bool, cpu);
  auto* out = static_cast<uint8_t*>(mask.mutable_data_ptr());
  parallel_items((batch + kClipsOfItem - 1) / kClipsOfItem, [&](int64_t begin, int64_t end) {
    Scratch<int64_t> scratch(cells);
    int64_t* fresh = scratch.take(cells);
    const int64_t last = end * kClipsOfItem < batch ? end * kClipsOfItem : batch;
    for (int64_t clip = begin * kClipsOfItem; clip < last; ++clip)
      sample_clip_mask(grid, uint64_t(seed), clip, out + clip * cells, fresh);
  });
  return mask;
}

Tensor sample_patch_mask_like_cpu(Tensor, int64_t batch, int64_t rows, int64_t cols, int64_t masked,
                                  int64_t min_cluster, int64_t max_cluster, int64_t seed) {
  return sample_patch_mask_cpu(batch, rows, cols, masked, min_cluster, max_cluster, seed);
}

}  // namespace

// An op without tensor arguments has no device to be chosen by.
STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CompositeExplicitAutograd, m) {
  m.impl("sample_patch_mask", TORCH_BOX(&sample_patch_mask_cpu));
}
STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) {
  m.impl("sample_patch_mask.like", TORCH_BOX(&sample_patch_mask_like_cpu));
}

}  // namespace ssamba
