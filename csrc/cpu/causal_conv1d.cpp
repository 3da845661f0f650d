// causal_conv1d and bi_conv1d on the CPU.

#include <algorithm>

#include "../conv_tensors.h"
#include "../registration.h"
#include "kernels.h"
#include "parallel.h"
#include "sum_partials.h"

namespace ssamba {
namespace {

struct CpuConv {
  explicit CpuConv(const Tensor&) {}

  // Enough work for one item to be worth a thread's while. Chosen by shape alone, as the order in which the gradients
  // of weight and bias are summed follows from it and must not depend on the number of threads.
  void split(ConvArgs& args) const {
    constexpr int64_t kChannels = 512, kElements = 48 * 1024, kLeastTokens = 64, kRound = 16;
    args.splits = (args.channels + kChannels - 1) / kChannels;
    const int64_t channels = args.splits ? (args.channels + args.splits - 1) / args.splits : 0;
    args.split_channels = (channels + kRound - 1) / kRound * kRound;
    args.splits = args.channels ? (args.channels + args.split_channels - 1) / args.split_channels : 0;
    const int64_t tokens = kElements / std::max<int64_t>(channels, 1);
    args.chunk_tokens = std::max({tokens / kLeastTokens * kLeastTokens, kLeastTokens, 4 * args.width});
    args.chunks = std::max<int64_t>(1, (args.length + args.chunk_tokens - 1) / args.chunk_tokens);
  }

  void forward(const ConvForwardArgs& args) const {
    parallel_items(work_items(args),
                   [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_causal_conv1d, args, begin, end); });
  }

  void backward(const ConvBackwardArgs& args, const Tensor&) const {
    parallel_items(work_items(args),
                   [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_causal_conv1d_backward, args, begin, end); });
  }

  Tensor sum(const Tensor& partials, std::initializer_list<int64_t> shape) const {
    return sum_partials(partials, shape);
  }

 private:
  static int64_t work_items(const ConvArgs& args) { return args.batch * args.chunks * args.splits; }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) {
  m.impl("causal_conv1d", TORCH_BOX(&causal_conv1d<CpuConv>));
  m.impl("causal_conv1d_backward", TORCH_BOX(&causal_conv1d_backward<CpuConv>));
  m.impl("bi_conv1d", TORCH_BOX(&bi_conv1d<CpuConv>));
  m.impl("bi_conv1d_backward", TORCH_BOX(&bi_conv1d_backward<CpuConv>));
}

}  // namespace ssamba
