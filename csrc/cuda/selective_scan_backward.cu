// The backward kernels of selective_scan and bi_scan, and their launch.

#include "../scan_ops.h"
#include "scan_lanes.h"
#include "selective_scan_backward.h"
#include "selective_scan_backward_kernel.cuh"

namespace ssamba {
namespace {

constexpr int kThreads = 128;  // of one direction
constexpr LaneCost kCosts[] = {{4, 430}, {8, 480}, {16, 600}};
constexpr int kLanesOfManyBlocks = 8;  // where there are more states than a block has
constexpr int kDoubleLanes = 16;

template <typename in_t, int kLanes, bool kOneBlock>
void launch_with_lanes(ScanBackwardLaunch& args, const ScanTensors& s, Stream stream) {
  using acc_t = Acc<in_t>;
  using Layout = ScanLayout<kLanes, kThreads>;
  const int64_t blocks = splits(args) * args.groups * args.batch, threads = args.directions * kThreads;
  if (blocks == 0) return;

  // A direction that comes first leaves its sums in the gradients themselves where these are as wide.
  constexpr bool kWide = sizeof(in_t) == sizeof(acc_t);
  OptionalTensor y, du, waiting;
  if (!kWide && args.directions == 2 && args.z.data)
    y = empty({args.batch, args.length, args.channels}, s.acc(), s.u);
  if (!kWide && args.shared_u) du = empty({args.batch, args.length, args.channels}, s.acc(), s.u);
  if (!kOneBlock) waiting = empty({blocks, state_blocks(args), 2 * Layout::kStates, threads}, s.acc(), s.u);
  args.partial_y = y ? y->mutable_data_ptr() : args.dz.data;
  args.partial_du = du ? du->mutable_data_ptr() : args.du.data;
  args.waiting = waiting ? waiting->mutable_data_ptr() : nullptr;
  launch(selective_scan_backward_kernel<in_t, Layout, kOneBlock>, dim3(unsigned(blocks)), dim3(unsigned(threads)),
         sizeof(BackwardShared<acc_t, Layout>), stream, args);
}

template <typename in_t>
void launch_selective_scan_backward(ScanBackwardLaunch& args, const ScanTensors& s, Stream stream) {
  const bool one_block = args.state <= kBlockStates;
  if constexpr (sizeof(in_t) == sizeof(double)) {
    if (one_block) return launch_with_lanes<in_t, kDoubleLanes, true>(args, s, stream);
    launch_with_lanes<in_t, kDoubleLanes, false>(args, s, stream);
  } else {
    if (!one_block) return launch_with_lanes<in_t, kLanesOfManyBlocks, false>(args, s, stream);
    switch (kThreads / args.split_channels) {
      case 4: return launch_with_lanes<in_t, 4, true>(args, s, stream);
      case 8: return launch_with_lanes<in_t, 8, true>(args, s, stream);
      default: return launch_with_lanes<in_t, 16, true>(args, s, stream);
    }
  }
}

}  // namespace

int64_t scan_backward_channels(const ScanArgs& args) {
  if (args.dtype == Dtype::float64) return kThreads / kDoubleLanes;
  if (args.state > kBlockStates) return kThreads / kLanesOfManyBlocks;
  return kThreads / choose_lanes(args, kThreads, kCosts);
}

void selective_scan_backward_cuda(const ScanBackwardArgs& args, const ScanTensors& s, Stream stream) {
  ScanBackwardLaunch launch{args, nullptr, nullptr, nullptr};
  dispatch_dtype(args.dtype, [&]<typename in_t>(Type<in_t>) {
    launch_selective_scan_backward<in_t>(launch, s, stream);
  });
}

}  // namespace ssamba
