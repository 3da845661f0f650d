// sample_patch_mask on a GPU: the same drawing, bit for bit, as on the CPU (../sample_patch_mask.h).
//
// A block of one warp takes a clip. Its first thread draws, in shared memory where the grid fits; all of them write the
// mask out. A mask takes a few thousand steps that depend on each other, so clips are the only parallelism there is.

#include "../registration.h"
#include "../sample_patch_mask_tensors.h"
#include "dispatch.h"
#include "launch.cuh"
#include "on_device.h"

namespace ssamba {
namespace {

constexpr int kThreads = 32;
constexpr int64_t kSharedCells = 8192;

struct DrawnMask {
  int16_t fresh[kSharedCells];
  uint8_t mask[kSharedCells];
};

__global__ void __launch_bounds__(kThreads) sample_patch_mask_kernel(PatchGrid grid, uint64_t seed, uint8_t* out) {
  auto& drawn = shared_memory<DrawnMask>();
  const int64_t clip = blockIdx.x, cells = grid.rows * grid.cols;
  if (threadIdx.x == 0) sample_clip_mask(grid, seed, clip, drawn.mask, drawn.fresh);
  __syncthreads();
  for (int64_t i = threadIdx.x; i < cells; i += kThreads) out[clip * cells + i] = drawn.mask[i];
}

// Large grids are drawn where they are written; `fresh` is scratch of their size.
__global__ void __launch_bounds__(kThreads)
    sample_large_patch_mask_kernel(PatchGrid grid, uint64_t seed, int64_t batch, uint8_t* out, int64_t* fresh) {
  const int64_t clip = int64_t(blockIdx.x) * kThreads + threadIdx.x, cells = grid.rows * grid.cols;
  if (clip < batch) sample_clip_mask(grid, seed, clip, out + clip * cells, fresh + clip * cells);
}

Tensor sample_patch_mask_like_cuda(Tensor like, int64_t batch, int64_t rows, int64_t cols, int64_t masked,
                                   int64_t min_cluster, int64_t max_cluster, int64_t seed) {
  const PatchGrid grid = check_patch_grid(batch, rows, cols, masked, min_cluster, max_cluster);
  const OnDevice device(like);
  const int64_t cells = rows * cols;
  Tensor mask = empty({batch, cells}, ScalarType::Bool, like);
  auto* out = static_cast<uint8_t*>(mask.mutable_data_ptr());
  if (batch == 0) return mask;
  if (cells <= kSharedCells) {
    launch(sample_patch_mask_kernel, dim3(unsigned(batch)), dim3(kThreads), sizeof(DrawnMask), device.stream(), grid,
           uint64_t(seed), out);
    return mask;
  }
  Tensor fresh = empty({batch, cells}, ScalarType::Long, like);
  launch(sample_large_patch_mask_kernel, dim3(unsigned(ceil_divide(batch, kThreads))), dim3(kThreads), 0,
         device.stream(), grid, uint64_t(seed), batch, out, static_cast<int64_t*>(fresh.mutable_data_ptr()));
  return mask;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, SSAMBA_KEY, m) {
  m.impl("sample_patch_mask.like", TORCH_BOX(&sample_patch_mask_like_cuda));
}

}  // namespace ssamba
