// causal_conv1d and bi_conv1d on a GPU.

#include "../conv_tensors.h"
#include "../registration.h"
#include "dispatch.h"
#include "kernels.h"
#include "on_device.h"
#include "sum_partials.cuh"

namespace ssamba {
namespace {

class CudaConv {
 public:
  explicit CudaConv(const Tensor& x) : device_(x) {}

  void split(ConvArgs& args) const {
    // A partial sum is as large as the filter, so that of a wide one stands for more tokens.
    args.chunk_tokens =
        args.width <= kMostRegisterTaps ? kConvChunk : ceil_divide(4 * args.width, kConvChunk) * kConvChunk;
    args.chunks = ceil_divide(args.length, args.chunk_tokens);
    args.split_channels = args.channels;
    args.splits = 1;
  }

  void forward(const ConvForwardArgs& args) const { launch_causal_conv1d(args, device_.stream()); }

  void backward(const ConvBackwardArgs& args, const Tensor& x) const {
    const bool in_registers = args.width >= 2 && args.width <= kMostRegisterTaps && !args.dinitial_state.data;
    if (in_registers) {
      if (args.length > 0) launch_causal_conv1d_backward(args, device_.stream());
      return;
    }
    Tensor gradient =
        empty({args.directions, args.batch, args.length, args.channels}, accumulation_type(args.dtype), x);
    launch_causal_conv1d_any_backward(args, gradient.mutable_data_ptr(), device_.stream());
  }

  Tensor sum(const Tensor& partials, std::initializer_list<int64_t> shape) const {
    return sum_partials(partials, shape, device_.stream());
  }

 private:
  OnDevice device_;
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, SSAMBA_KEY, m) {
  m.impl("causal_conv1d", TORCH_BOX(&causal_conv1d<CudaConv>));
  m.impl("causal_conv1d_backward", TORCH_BOX(&causal_conv1d_backward<CudaConv>));
  m.impl("bi_conv1d", TORCH_BOX(&bi_conv1d<CudaConv>));
  m.impl("bi_conv1d_backward", TORCH_BOX(&bi_conv1d_backward<CudaConv>));
}

}  // namespace ssamba
