// sample_patch_mask: masks are small and drawn on the CPU, whatever the device they are used on.

#include "../sample_patch_mask.h"

#include <memory>

#include "../tensor.h"
#include "parallel.h"

namespace ssamba {
namespace {

void check_range(const char* name, int64_t value, int64_t least, int64_t most, const char* most_name) {
  check(value >= least && value <= most, "sample_patch_mask: ", name, " is ", value, "; expected ", least, " to ",
        most_name, most);
}

Tensor sample_patch_mask_cpu(int64_t batch, int64_t rows, int64_t cols, int64_t masked, int64_t min_cluster,
                             int64_t max_cluster, int64_t seed) {
  constexpr int64_t kMost = INT32_MAX, kClipsOfItem = 8;
  check_range("batch", batch, 0, kMost, "");
  check_range("rows", rows, 1, kMost, "");
  check_range("cols", cols, 1, kMost, "");
  check_range("masked", masked, 0, rows * cols, "rows * cols = ");
  check_range("max_cluster", max_cluster, 1, kMost, "");
  check_range("min_cluster", min_cluster, 1, max_cluster, "max_cluster = ");
  const PatchGrid grid{rows, cols, masked, min_cluster, max_cluster};
  const int64_t cells = rows * cols;
  Tensor mask = torch::stable::empty({batch, cells}, ScalarType::Bool, std::nullopt,
                                     torch::stable::Device(torch::headeronly::DeviceType::CPU));
  auto* out = static_cast<uint8_t*>(mask.mutable_data_ptr());
  parallel_items((batch + kClipsOfItem - 1) / kClipsOfItem, [&](int64_t begin, int64_t end) {
    const std::unique_ptr<int64_t[]> fresh(new int64_t[std::size_t(cells)]);
    const int64_t last = end * kClipsOfItem < batch ? end * kClipsOfItem : batch;
    for (int64_t clip = begin * kClipsOfItem; clip < last; ++clip)
      sample_clip_mask(grid, uint64_t(seed), clip, out + clip * cells, fresh.get());
  });
  return mask;
}

}  // namespace

// An op without tensor arguments has no device to be chosen by.
STABLE_TORCH_LIBRARY_IMPL(ssamba, CompositeExplicitAutograd, m) {
  m.impl("sample_patch_mask", TORCH_BOX(&sample_patch_mask_cpu));
}

}  // namespace ssamba
