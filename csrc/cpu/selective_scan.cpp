// selective_scan and bi_scan on the CPU: both are the same kernel with one or two directions.

#include <algorithm>

#include "../scan_ops.h"
#include "kernels.h"
#include "parallel.h"

namespace ssamba {
namespace {

// Wide splits share B and C and read long stretches of memory, narrow ones keep more threads busy: as many work items
// as wanted, if splits between one vector and `most` vectors give them.
void split_channels(ScanArgs& args, int64_t wanted_items, int64_t most_vectors) {
  const int64_t vector = SSAMBA_LAUNCH(scan_channel_vector, args.dtype);
  const int64_t vectors = (args.channels / args.groups + vector - 1) / vector;
  const int64_t shared = args.batch * args.groups * vectors / wanted_items;
  args.split_channels = vector * std::clamp<int64_t>(shared, 1, most_vectors);
}

int64_t work_items(const ScanArgs& args) { return args.batch * args.groups * splits(args); }

struct Cpu {
  static constexpr int kCheckpointTokens = kCpuCheckpointTokens;

  // Forward, a split changes no bit of the result, so the number of threads may decide.
  static void forward(ScanForwardArgs& args, const ScanTensors&) {
    split_channels(args, thread_count(), 12);
    parallel_items(work_items(args), [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_scan, args, begin, end); });
  }

  // Backward, the order in which dB and dC are summed follows from it: the shape alone decides.
  static void split_backward(ScanBackwardArgs& args, const ScanTensors&) { split_channels(args, 4, 6); }

  static void backward(ScanBackwardArgs& args, const ScanTensors&) {
    parallel_items(work_items(args),
                   [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_scan_backward, args, begin, end); });
  }

  static Tensor sum_first(const Tensor& partial, const Tensor& like) {
    const int64_t axis = 0;
    Tensor sum = partial.size(0) == 1 ? partial : torch::stable::sum(partial, {{&axis, 1}}, false);
    return torch::stable::to(torch::stable::reshape(sum, like.sizes()), like.scalar_type());
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(ssamba, CPU, m) { register_scan_ops<Cpu>(m); }

}  // namespace ssamba
