// selective_scan and bi_scan on a GPU: the forward kernels, and the tensor functions of both ops.

#include "../registration.h"
#include "../scan_ops.h"
#include "on_device.h"
#include "scan_lanes.h"
#include "selective_scan_backward.h"
#include "selective_scan_kernel.cuh"
#include "sum_partials.cuh"

namespace ssamba {
namespace {

constexpr int kThreads = 64;  // of one direction
constexpr LaneCost kCosts[] = {{2, 146}, {4, 156}, {8, 178}, {16, 226}};
constexpr int kLanesOfManyBlocks = 8;  // where there are more states than a block has
constexpr int kDoubleLanes = 16;

template <typename in_t, int kLanes, bool kOneBlock>
void launch_with_lanes(ScanForwardLaunch& args, const ScanTensors& s, Stream stream) {
  using acc_t = Acc<in_t>;
  using Layout = ScanLayout<kLanes, kThreads>;
  args.split_channels = Layout::kChannels;
  const int64_t blocks = splits(args) * args.groups * args.batch, threads = args.directions * kThreads;
  if (blocks == 0) return;

  // A direction that comes first leaves its sums in `out` itself where that is as wide.
  OptionalTensor partial, waiting;
  if (args.directions == 2 && sizeof(in_t) < sizeof(acc_t))
    partial = empty({args.batch, args.length, args.channels}, s.acc(), s.u);
  if (!kOneBlock) waiting = empty({blocks, state_blocks(args), Layout::kStates, threads}, s.acc(), s.u);
  args.partial = partial ? partial->mutable_data_ptr() : args.out.data;
  args.waiting = waiting ? waiting->mutable_data_ptr() : nullptr;
  launch(selective_scan_kernel<in_t, Layout, kOneBlock>, dim3(unsigned(blocks)), dim3(unsigned(threads)),
         sizeof(ForwardShared<acc_t, Layout>), stream, args);
}

template <typename in_t>
void launch_selective_scan(ScanForwardLaunch& args, const ScanTensors& s, Stream stream) {
  const bool one_block = args.state <= kBlockStates;
  if constexpr (sizeof(in_t) == sizeof(double)) {
    if (one_block) return launch_with_lanes<in_t, kDoubleLanes, true>(args, s, stream);
    launch_with_lanes<in_t, kDoubleLanes, false>(args, s, stream);
  } else {
    if (!one_block) return launch_with_lanes<in_t, kLanesOfManyBlocks, false>(args, s, stream);
    switch (choose_lanes(args, kThreads, kCosts)) {
      case 2: return launch_with_lanes<in_t, 2, true>(args, s, stream);
      case 4: return launch_with_lanes<in_t, 4, true>(args, s, stream);
      case 8: return launch_with_lanes<in_t, 8, true>(args, s, stream);
      default: return launch_with_lanes<in_t, 16, true>(args, s, stream);
    }
  }
}

struct Cuda {
  static constexpr int kCheckpointTokens = kTileTokens;

  static void forward(ScanForwardArgs& args, const ScanTensors& s) {
    const OnDevice device(s.u);
    ScanForwardLaunch launch{args, nullptr, nullptr};
    dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) {
      launch_selective_scan<in_t>(launch, s, device.stream());
    });
  }

  static void split_backward(ScanBackwardArgs& args, const ScanTensors& s) {
    const OnDevice device(s.u);
    args.split_channels = scan_backward_channels(args);
  }

  static void backward(ScanBackwardArgs& args, const ScanTensors& s) {
    const OnDevice device(s.u);
    selective_scan_backward_cuda(args, s, device.stream());
  }

  static Tensor sum_first(const Tensor& partial, const Tensor& like) {
    const OnDevice device(partial);
    const int64_t count = partial.size(0);
    const Tensor sum = count == 1 ? partial : sum_partials(partial, count, {like.numel()}, device.stream());
    return torch::stable::to(torch::stable::reshape(sum, like.sizes()), like.scalar_type());
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, SSAMBA_KEY, m) { register_scan_ops<Cuda>(m); }

}  // namespace ssamba
