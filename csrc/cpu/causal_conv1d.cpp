// causal_conv1d and bi_conv1d on the CPU.

#include "../conv_tensors.h"
#include "../registration.h"
#include "conv_split.h"
#include "kernels.h"
#include "parallel.h"
#include "sum_partials.h"

namespace ssamba {
namespace {

struct CpuConv {
  explicit CpuConv(const Tensor&) {}

  void split(ConvArgs& args) const { split_tokens(args); }

  void forward(const ConvForwardArgs& args) const {
    parallel_items(work_items(args),
                   [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_causal_conv1d, args, begin, end); });
  }

  void backward(const ConvBackwardArgs& args, const Tensor&) const { convolve_backward_in_parallel(args); }

  Tensor sum(const Tensor& partials, std::initializer_list<int64_t> shape) const {
    return sum_partials(partials, shape);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) {
  m.impl("causal_conv1d", TORCH_BOX(&causal_conv1d<CpuConv>));
  m.impl("causal_conv1d_backward", TORCH_BOX(&causal_conv1d_backward<CpuConv>));
  m.impl("bi_conv1d", TORCH_BOX(&bi_conv1d<CpuConv>));
  m.impl("bi_conv1d_backward", TORCH_BOX(&bi_conv1d_backward<CpuConv>));
}

}  // namespace ssamba
