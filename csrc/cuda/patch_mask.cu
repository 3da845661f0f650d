// Puts the mask token in the place of masked patches and adds the positions, in one pass; and the gradient of that.
//
//   out = where(mask, mask_token, x) + pos
//   dx = where(mask, 0, dout)        dmask_token = sum of dout over masked patches        dpos = sum of dout over clips
//
// x, out (B, P, D); mask (B, P); mask_token (D,); pos (P, D). A thread takes packs of neighbouring channels, 16 bytes
// where strides allow. Forward it takes a few patches of a clip, whose loads are all under way at once; backward one
// patch and a split of the clips, whose dpos stays in registers, and the patches of a block add their part of
// dmask_token in order. Sums are float32 (float64 for float64).

#include "../patch_mask_tensors.h"
#include "../registration.h"
#include "dispatch.h"
#include "launch.cuh"
#include "on_device.h"
#include "sum_partials.cuh"

namespace ssamba {
namespace {

constexpr int kThreads = 256, kLanes = 16;   // packs that neighbouring threads take
constexpr int kPatches = kThreads / kLanes;  // that a block works on at a time
constexpr int kClips = 4;                    // whose loads are under way backward

// Patches of a thread forward, whose loads are under way. Half precision has twice the channels to hold in registers.
template <int kPack>
constexpr int kPatchesOfThread = kPack > 4 ? 2 : 4;

template <typename in_t, typename pos_t, int kPack>
__global__ void __launch_bounds__(kThreads, 2) patch_mask_kernel(PatchMaskForwardArgs args) {
  using acc_t = Acc<in_t>;
  constexpr int kRows = kPatchesOfThread<kPack>;
  const int64_t first = int64_t(blockIdx.x) * kPatches * kRows + threadIdx.y;
  const auto* token = static_cast<const acc_t*>(args.mask_token);
  for (int64_t batch = blockIdx.y; batch < args.batch; batch += gridDim.y) {
    bool inside[kRows], masked[kRows];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int64_t patch = first + i * kPatches;
      inside[i] = patch < args.patches;
      masked[i] = inside[i] && args.mask[batch * args.mask_batch + patch * args.mask_patch];
    }
    for (int64_t channel = threadIdx.x * kPack; channel < args.channels; channel += kLanes * kPack) {
      Pack<in_t, kPack> x[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i)
        if (inside[i] && !masked[i])
          x[i] = load_pack<in_t, kPack>(row_at<in_t>(args.x, 0, batch, first + i * kPatches) + channel);
      const Pack<acc_t, kPack> instead = load_pack<acc_t, kPack>(token + channel);
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        if (!inside[i]) continue;
        const int64_t patch = first + i * kPatches;
        Pack<pos_t, kPack> pos;
        if (args.pos.data) pos = load_pack<pos_t, kPack>(row_at<pos_t>(args.pos, 0, 0, patch) + channel);
        acc_t out[kPack];
#pragma unroll
        for (int c = 0; c < kPack; ++c) {
          out[c] = masked[i] ? instead.at(c) : widen(x[i].at(c));
          if (args.pos.data) out[c] += widen(pos.at(c));
        }
        store_pack(row_at<in_t>(args.out, 0, batch, patch) + channel, narrow_pack<in_t>(out));
      }
    }
  }
}

template <typename acc_t, int kPack>
struct TokenShared {
  acc_t sums[kPatches][kLanes][kPack];
};

template <typename in_t, int kPack>
__global__ void __launch_bounds__(kThreads) patch_mask_backward_kernel(PatchMaskBackwardArgs args) {
  using acc_t = Acc<in_t>;
  auto& shared = shared_memory<TokenShared<acc_t, kPack>>();
  const int64_t patch = int64_t(blockIdx.x) * kPatches + threadIdx.y;
  const bool inside = patch < args.patches;
  for (int64_t split = blockIdx.y; split < args.clip_splits; split += gridDim.y) {
    const int64_t begin = split * args.split_clips;
    const int64_t end = args.batch - begin < args.split_clips ? args.batch : begin + args.split_clips;
    auto* token_sum = static_cast<acc_t*>(args.dmask_token) + (split * args.chunks + blockIdx.x) * args.channels;
    auto* pos_sum =
        args.dpos ? static_cast<acc_t*>(args.dpos) + (split * args.patches + patch) * args.channels : nullptr;
    for (int64_t first = 0; first < args.channels; first += kLanes * kPack) {
      const int64_t channel = first + threadIdx.x * kPack;
      Pack<acc_t, kPack> all{}, hidden{};
      if (inside && channel < args.channels) {
        for (int64_t batch = begin; batch < end; batch += kClips) {
          Pack<in_t, kPack> dout[kClips];
          bool masked[kClips];
#pragma unroll
          for (int i = 0; i < kClips; ++i) {
            if (batch + i >= end) continue;
            dout[i] = load_pack<in_t, kPack>(row_at<in_t>(args.dout, 0, batch + i, patch) + channel);
            masked[i] = args.mask[(batch + i) * args.mask_batch + patch * args.mask_patch];
          }
#pragma unroll
          for (int i = 0; i < kClips; ++i) {
            if (batch + i >= end) continue;
#pragma unroll
            for (int c = 0; c < kPack; ++c) {
              const acc_t value = widen(dout[i].at(c));
              all.at(c) += value;
              if (masked[i]) hidden.at(c) += value;
            }
            store_pack(row_at<in_t>(args.dx, 0, batch + i, patch) + channel, masked[i] ? Pack<in_t, kPack>{} : dout[i]);
          }
        }
        if (pos_sum) store_pack(pos_sum + channel, all);
      }
#pragma unroll
      for (int c = 0; c < kPack; ++c) shared.sums[threadIdx.y][threadIdx.x][c] = hidden.at(c);
      __syncthreads();
      if (threadIdx.y == 0 && channel < args.channels) {
        for (int i = 1; i < kPatches; ++i)
#pragma unroll
          for (int c = 0; c < kPack; ++c) hidden.at(c) += shared.sums[i][threadIdx.x][c];
        store_pack(token_sum + channel, hidden);
      }
      __syncthreads();  // before the next channels take the sums' place
    }
  }
}

template <typename in_t, typename pos_t, int kPack>
void launch_patch_mask(const PatchMaskForwardArgs& args, Stream stream) {
  const dim3 grid(unsigned(ceil_divide(args.patches, kPatches * kPatchesOfThread<kPack>)), blocks_y(args.batch));
  launch(patch_mask_kernel<in_t, pos_t, kPack>, grid, dim3(kLanes, kPatches), 0, stream, args);
}

template <typename in_t, int kPack>
void launch_patch_mask_backward(const PatchMaskBackwardArgs& args, Stream stream) {
  const dim3 grid(unsigned(args.chunks), blocks_y(args.clip_splits));
  launch(patch_mask_backward_kernel<in_t, kPack>, grid, dim3(kLanes, kPatches), sizeof(TokenShared<Acc<in_t>, kPack>),
         stream, args);
}

template <typename in_t>
constexpr int kWholePack = 16 / int(sizeof(in_t));

class CudaPatchMask {
 public:
  explicit CudaPatchMask(const Tensor& x) : device_(x) {}

  void forward(const PatchMaskForwardArgs& args) const {
    dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) {
      if (args.pos_is_acc)
        forward_packed<in_t, Acc<in_t>>(args);
      else
        forward_packed<in_t, in_t>(args);
    });
  }

  // A split of the clips is a partial sum of dpos, so there are no more than it takes to fill a large GPU.
  void split(PatchMaskArgs& args) const {
    constexpr int64_t kElements = 1 << 20, kLeastClips = 8;
    args.chunk_patches = kPatches;
    args.chunks = ceil_divide(args.patches, kPatches);
    const int64_t elements = args.patches * args.channels > 0 ? args.patches * args.channels : 1;
    const int64_t wanted = ceil_divide(kElements, elements);
    const int64_t clips = ceil_divide(args.batch, wanted);
    args.split_clips = clips > kLeastClips ? clips : kLeastClips;
    args.clip_splits = ceil_divide(args.batch, args.split_clips);
  }

  void backward(const PatchMaskBackwardArgs& args) const {
    dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) {
      constexpr int kPack = kWholePack<in_t>;
      const bool packed = args.channels % kPack == 0 && packs_fit(args.dout, sizeof(in_t), kPack) &&
                          packs_fit(args.dx, sizeof(in_t), kPack);
      if (packed)
        launch_patch_mask_backward<in_t, kPack>(args, device_.stream());
      else
        launch_patch_mask_backward<in_t, 1>(args, device_.stream());
    });
  }

  Tensor sum(const Tensor& partials, std::initializer_list<int64_t> shape) const {
    return sum_partials(partials, shape, device_.stream());
  }

 private:
  template <typename in_t, typename pos_t>
  void forward_packed(const PatchMaskForwardArgs& args) const {
    constexpr int kPack = kWholePack<in_t>;
    const bool packed = args.channels % kPack == 0 && packs_fit(args.x, sizeof(in_t), kPack) &&
                        packs_fit(args.out, sizeof(in_t), kPack) && packs_fit(args.pos, sizeof(pos_t), kPack) &&
                        aligned_to_16(args.mask_token);
    if (packed)
      launch_patch_mask<in_t, pos_t, kPack>(args, device_.stream());
    else
      launch_patch_mask<in_t, pos_t, 1>(args, device_.stream());
  }

  OnDevice device_;
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, SSAMBA_KEY, m) {
  m.impl("patch_mask", TORCH_BOX(&patch_mask<CudaPatchMask>));
  m.impl("patch_mask_backward", TORCH_BOX(&patch_mask_backward<CudaPatchMask>));
}

}  // namespace ssamba
