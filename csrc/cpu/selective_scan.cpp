// selective_scan and bi_scan on the CPU: both are the same kernel with one or two directions.

#include <algorithm>

#include "../registration.h"
#include "../scan_ops.h"
#include "kernels.h"
#include "parallel.h"
#include "sum_partials.h"

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

struct CpuScan {
  static constexpr int kCheckpointTokens = kCpuCheckpointTokens;

  explicit CpuScan(const Tensor&) {}

  // Forward, a split changes no bit of the result, so the number of threads may decide.
  void forward(ScanForwardArgs& args, const ScanTensors&) const {
    split_channels(args, thread_count(), 12);
    parallel_items(work_items(args), [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_scan, args, begin, end); });
  }

  // Backward, the order in which dB and dC are summed follows from it: the shape alone decides.
  void split_backward(ScanBackwardArgs& args) const { split_channels(args, 4, 6); }

  void backward(const ScanBackwardArgs& args, const ScanTensors&) const {
    parallel_items(work_items(args),
                   [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_scan_backward, args, begin, end); });
  }

  Tensor sum(const Tensor& partials, std::initializer_list<int64_t> shape) const {
    return sum_partials(partials, shape);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) {
  m.impl("bi_scan", TORCH_BOX(&bi_scan<CpuScan>));
  m.impl("bi_scan_forward", TORCH_BOX(&bi_scan_forward<CpuScan>));
  m.impl("bi_scan_backward", TORCH_BOX(&bi_scan_backward<CpuScan>));
  m.impl("selective_scan", TORCH_BOX(&selective_scan<CpuScan>));
  m.impl("selective_scan_forward", TORCH_BOX(&selective_scan_forward<CpuScan>));
  m.impl("selective_scan_backward", TORCH_BOX(&selective_scan_backward<CpuScan>));
}

}  // namespace ssamba
