// causal_conv1d and bi_conv1d on the CPU, from tensors to launches: both are the same kernel with one or two
// directions.

#include <algorithm>
#include <tuple>

#include "../conv_tensors.h"
#include "kernels.h"
#include "parallel.h"
#include "sum_partials.h"

namespace ssamba {
namespace {

// Enough work for one item to be worth a thread's while. Chosen by shape alone, as the order in which the gradients of
// weight and bias are summed follows from it and must not depend on the number of threads.
void split_work(ConvArgs& args) {
  constexpr int64_t kChannels = 512, kElements = 48 * 1024, kLeastTokens = 64, kRound = 16;
  args.splits = (args.channels + kChannels - 1) / kChannels;
  const int64_t channels = args.splits ? (args.channels + args.splits - 1) / args.splits : 0;
  args.split_channels = (channels + kRound - 1) / kRound * kRound;
  args.splits = args.channels ? (args.channels + args.split_channels - 1) / args.split_channels : 0;
  const int64_t tokens = kElements / std::max<int64_t>(channels, 1);
  args.chunk_tokens = std::max({tokens / kLeastTokens * kLeastTokens, kLeastTokens, 4 * args.width});
  args.chunks = std::max<int64_t>(1, (args.length + args.chunk_tokens - 1) / args.chunk_tokens);
}

int64_t work_items(const ConvArgs& args) { return args.batch * args.chunks * args.splits; }

Tensor forward(const ConvTensors& c) {
  Tensor out = c.bidirectional ? empty({2, c.batch, c.length, c.channels}, c.x.scalar_type(), c.x)
                               : empty({c.batch, c.length, c.channels}, c.x.scalar_type(), c.x);
  ConvForwardArgs args{};
  fill_conv_args(args, c);
  split_work(args);
  args.out = output_rows(out);
  parallel_items(work_items(args),
                 [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_causal_conv1d, args, begin, end); });
  return out;
}

struct ConvGradients {
  Tensor dx, dweight, dbias, dinitial_state;
};

ConvGradients backward(const ConvTensors& c, const Tensor& dout_given) {
  if (c.bidirectional)
    check_shape(c.op, "dout", dout_given, {2, c.batch, c.length, c.channels}, "(2, B, L, D)");
  else
    check_shape(c.op, "dout", dout_given, {c.batch, c.length, c.channels}, "(B, L, D)");
  check_dtype(c.op, "dout", dout_given, c.x.scalar_type(), "as x");
  check_device(c.op, "dout", dout_given, c.x, "x");
  const Tensor dout = with_dense_rows(dout_given);
  const int64_t R = c.directions(), D = c.channels, W = c.width;

  ConvBackwardArgs args{};
  fill_conv_args(args, c);
  split_work(args);
  Tensor dx = empty({c.batch, c.length, D}, c.x.scalar_type(), c.x);
  Tensor dinitial_state = empty({c.initial_state ? c.batch : 0, W - 1, D}, c.x.scalar_type(), c.x);
  Tensor dweight = empty({c.batch * args.chunks, R, W, D}, c.acc(), c.x);
  Tensor dbias = empty({c.bias ? c.batch * args.chunks : 0, R, D}, c.acc(), c.x);
  args.dout = rows(dout);
  args.dx = output_rows(dx);
  args.dinitial_state = c.initial_state ? output_rows(dinitial_state) : RowsOut{};
  args.dweight = dweight.mutable_data_ptr();
  args.dbias = c.bias ? dbias.mutable_data_ptr() : nullptr;
  parallel_items(work_items(args),
                 [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_causal_conv1d_backward, args, begin, end); });

  const Tensor taps = torch::stable::transpose(sum_partials(dweight, dweight.size(0), {R, W, D}), 1, 2);
  dweight = torch::stable::to(torch::stable::contiguous(taps), c.weight_type);
  dbias = torch::stable::to(sum_partials(dbias, dbias.size(0), {R, D}), c.bias_type);
  if (!c.bias) dbias = empty({0}, c.acc(), c.x);
  if (!c.initial_state) dinitial_state = empty({0}, c.x.scalar_type(), c.x);
  if (c.bidirectional) return {dx, dweight, dbias, dinitial_state};
  return {dx, torch::stable::reshape(dweight, {D, W}), c.bias ? torch::stable::reshape(dbias, {D}) : dbias,
          dinitial_state};
}

Tensor causal_conv1d_cpu(Tensor x, Tensor weight, OptionalTensor bias, bool silu, OptionalTensor initial_state,
                         bool reverse, OptionalTensor lengths) {
  return forward(check_conv("causal_conv1d", false, silu, x, weight, bias, initial_state, reverse, lengths));
}

std::tuple<Tensor, Tensor, Tensor, Tensor> causal_conv1d_backward_cpu(Tensor dout, Tensor x, Tensor weight,
                                                                      OptionalTensor bias, bool silu,
                                                                      OptionalTensor initial_state, bool reverse,
                                                                      OptionalTensor lengths) {
  const ConvGradients g = backward(
      check_conv("causal_conv1d_backward", false, silu, x, weight, bias, initial_state, reverse, lengths), dout);
  return {g.dx, g.dweight, g.dbias, g.dinitial_state};
}

Tensor bi_conv1d_cpu(Tensor x, Tensor weight, OptionalTensor bias, bool silu, OptionalTensor lengths) {
  return forward(check_conv("bi_conv1d", true, silu, x, weight, bias, std::nullopt, false, lengths));
}

std::tuple<Tensor, Tensor, Tensor> bi_conv1d_backward_cpu(Tensor dout, Tensor x, Tensor weight, OptionalTensor bias,
                                                          bool silu, OptionalTensor lengths) {
  const ConvGradients g =
      backward(check_conv("bi_conv1d_backward", true, silu, x, weight, bias, std::nullopt, false, lengths), dout);
  return {g.dx, g.dweight, g.dbias};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(ssamba, CPU, m) {
  m.impl("causal_conv1d", TORCH_BOX(&causal_conv1d_cpu));
  m.impl("causal_conv1d_backward", TORCH_BOX(&causal_conv1d_backward_cpu));
  m.impl("bi_conv1d", TORCH_BOX(&bi_conv1d_cpu));
  m.impl("bi_conv1d_backward", TORCH_BOX(&bi_conv1d_backward_cpu));
}

}  // namespace ssamba
