// selective_scan and bi_scan on a GPU.

#include "../registration.h"
#include "../scan_ops.h"
#include "kernels.h"
#include "on_device.h"
#include "sum_partials.cuh"

namespace ssamba {
namespace {

class CudaScan {
 public:
  static constexpr int kCheckpointTokens = kCudaCheckpointTokens;

  CudaScan(const ScanArgs& args, const ScanTensors& s) : device_(s.u) { check_sizes(args, s.op); }

  void forward(const ScanForwardArgs& args, const ScanTensors& s) const {
    Tensor scratch = empty({selective_scan_scratch(args)}, s.acc(), s.u);
    launch_selective_scan(args, scratch.mutable_data_ptr(), device_.stream());
  }

  void split_backward(ScanBackwardArgs& args) const { args.split_channels = scan_backward_channels(args); }

  void backward(const ScanBackwardArgs& args, const ScanTensors& s) const {
    check_distance(args.dout, args, s.op);
    Tensor scratch = empty({selective_scan_backward_scratch(args)}, s.acc(), s.u);
    launch_selective_scan_backward(args, scratch.mutable_data_ptr(), device_.stream());
  }

  Tensor sum(const Tensor& partials, std::initializer_list<int64_t> shape) const {
    return sum_partials(partials, shape, device_.stream());
  }

 private:
  static constexpr int64_t kFarthest = int64_t(1) << 28;

  // Kernels count tokens, channels and states in 32 bits, the bytes from one token to the next in 32 as well, and
  // everything else in 64.
  static void check_sizes(const ScanArgs& args, const char* op) {
    constexpr int64_t kMost = (int64_t(1) << 31) - 64;
    check(args.length <= kMost && args.channels <= kFarthest && args.state <= kMost, op, ": u has ", args.length,
          " tokens and ", args.channels, " channels, A has ", args.state, " states; expected at most ", kMost,
          " tokens and states and ", kFarthest, " channels on a GPU");
    check(args.groups * args.state <= kFarthest, op, ": B has ", args.groups, " groups of ", args.state,
          " states; expected at most ", kFarthest, " in all on a GPU");
    for (const Input& x : {args.u, args.delta, args.B, args.C, args.z}) check_distance(x, args, op);
  }
  static void check_distance(const Input& x, const ScanArgs& args, const char* op) {
    check(args.length <= 1 || x.time <= kFarthest, op, ": the tokens of an input lie ", x.time,
          " elements apart; expected at most ", kFarthest, " on a GPU: give its contiguous()");
  }

  OnDevice device_;
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, SSAMBA_KEY, m) {
  m.impl("bi_scan", TORCH_BOX(&bi_scan<CudaScan>));
  m.impl("bi_scan_forward", TORCH_BOX(&bi_scan_forward<CudaScan>));
  m.impl("bi_scan_backward", TORCH_BOX(&bi_scan_backward<CudaScan>));
  m.impl("selective_scan", TORCH_BOX(&selective_scan<CudaScan>));
  m.impl("selective_scan_forward", TORCH_BOX(&selective_scan_forward<CudaScan>));
  m.impl("selective_scan_backward", TORCH_BOX(&selective_scan_backward<CudaScan>));
}

}  // namespace ssamba
