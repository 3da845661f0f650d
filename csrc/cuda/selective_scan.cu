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

  explicit CudaScan(const Tensor& x) : device_(x) {}

  void forward(const ScanForwardArgs& args, const ScanTensors& s) const {
    check_sizes(args, s.op);
    Tensor scratch = empty({selective_scan_scratch(args)}, s.acc(), s.u);
    launch_selective_scan(args, scratch.mutable_data_ptr(), device_.stream());
  }

  void split_backward(ScanBackwardArgs& args) const { args.split_channels = scan_backward_channels(args); }

  void backward(const ScanBackwardArgs& args, const ScanTensors& s) const {
    check_sizes(args, s.op);
    Tensor scratch = empty({selective_scan_backward_scratch(args)}, s.acc(), s.u);
    launch_selective_scan_backward(args, scratch.mutable_data_ptr(), device_.stream());
  }

  Tensor sum(const Tensor& partials, std::initializer_list<int64_t> shape) const {
    return sum_partials(partials, shape, device_.stream());
  }

 private:
  // Kernels count tokens, channels and states in 32 bits, and everything that is a product of them in 64.
  static void check_sizes(const ScanArgs& args, const char* op) {
    constexpr int64_t kMost = (int64_t(1) << 31) - 64;
    check(args.length <= kMost && args.channels <= kMost && args.state <= kMost, op, ": u has ", args.length,
          " tokens and ", args.channels, " channels, A has ", args.state, " states; expected at most ", kMost,
          " of each on a GPU");
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
