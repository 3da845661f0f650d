// selective_scan and bi_scan on the CPU, from tensors to launches: both are the same kernel with one or two directions.

#include <algorithm>
#include <tuple>

#include "../scan_tensors.h"
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

// Forward, a split changes no bit of the result.
void split_for_threads(ScanArgs& args) { split_channels(args, thread_count(), 12); }

// Backward, the order in which dB and dC are summed follows from it: the shape alone decides, not the threads.
void split_for_shape(ScanArgs& args) { split_channels(args, 4, 6); }

int64_t splits(const ScanArgs& args) {
  return (args.channels / args.groups + args.split_channels - 1) / args.split_channels;
}

int64_t work_items(const ScanArgs& args) { return args.batch * args.groups * splits(args); }

std::tuple<Tensor, Tensor> forward(const ScanTensors& s) {
  Tensor out = empty({s.batch, s.length, s.channels}, s.u.scalar_type(), s.u);
  Tensor last_state = s.bidirectional ? empty({0}, s.acc(), s.u) : empty({s.batch, s.channels, s.state}, s.acc(), s.u);
  ScanForwardArgs args{};
  fill_scan_args(args, s);
  split_for_threads(args);
  args.out = output(out, false);
  args.last_state = s.bidirectional ? nullptr : last_state.mutable_data_ptr();
  parallel_items(work_items(args), [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_scan, args, begin, end); });
  return {out, last_state};
}

struct ScanGradients {
  Tensor du, ddelta, dA, dB, dC, dD, dz, ddelta_bias, dinitial_state;
};

Tensor empty_like_shape(const Tensor& x, ScalarType type) {
  return torch::stable::empty(x.sizes(), type, std::nullopt, x.device());
}

// The sum over the first axis, in order, as `like`'s shape and dtype.
Tensor sum_first(const Tensor& partial, const Tensor& like) {
  const int64_t axis = 0;
  Tensor sum = partial.size(0) == 1 ? partial : torch::stable::sum(partial, {{&axis, 1}}, false);
  return torch::stable::to(torch::stable::reshape(sum, like.sizes()), like.scalar_type());
}

ScanGradients backward(const ScanTensors& s, const Tensor& dout_given, const OptionalTensor& dlast_state) {
  const char* op = s.op;
  check_shape(op, "dout", dout_given, {s.batch, s.length, s.channels}, "(B, L, D)");
  check_dtype(op, "dout", dout_given, s.u.scalar_type(), "as u");
  const Tensor dout = with_dense_rows(dout_given);
  const OptionalTensor dlast = dense(dlast_state);
  const int64_t R = s.directions();
  const Tensor none = empty({0}, s.acc(), s.u);

  ScanBackwardArgs args{};
  fill_scan_args(args, s);
  split_for_shape(args);
  const int64_t S = splits(args);
  Tensor du = empty_like_shape(s.u, s.u.scalar_type()), ddelta = empty_like_shape(s.delta, s.u.scalar_type());
  Tensor dz = s.z ? empty_like_shape(*s.z, s.u.scalar_type()) : none;
  Tensor dA = empty({s.batch, R, s.channels, s.state}, s.acc(), s.u);
  Tensor dB = empty({S, R, s.batch, s.length, s.groups, s.state}, s.acc(), s.u);
  Tensor dC = empty({S, R, s.batch, s.length, s.groups, s.state}, s.acc(), s.u);
  Tensor dD = s.D ? empty({s.batch, R, s.channels}, s.acc(), s.u) : none;
  Tensor ddelta_bias = s.delta_bias ? empty({s.batch, R, s.channels}, s.acc(), s.u) : none;
  Tensor dinitial = s.initial_state ? empty_like_shape(*s.initial_state, s.acc()) : none;
  args.dout = input(dout, false);
  args.shared_u = s.shared_u();
  args.du = output(du, s.u.dim() == 4);
  args.ddelta = output(ddelta, s.bidirectional);
  args.dz = s.z ? output(dz, false) : Output{};
  args.dA = dA.mutable_data_ptr();
  args.dB = dB.mutable_data_ptr();
  args.dC = dC.mutable_data_ptr();
  args.dD = s.D ? dD.mutable_data_ptr() : nullptr;
  args.ddelta_bias = s.delta_bias ? ddelta_bias.mutable_data_ptr() : nullptr;
  args.dlast_state = data(dlast);
  args.dinitial_state = s.initial_state ? dinitial.mutable_data_ptr() : nullptr;
  parallel_items(work_items(args),
                 [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_scan_backward, args, begin, end); });
  return {du,
          ddelta,
          sum_first(dA, s.A),
          sum_first(dB, s.B),
          sum_first(dC, s.C),
          s.D ? sum_first(dD, *s.D) : none,
          dz,
          s.delta_bias ? sum_first(ddelta_bias, *s.delta_bias) : none,
          dinitial};
}

Tensor bi_scan_cpu(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D, OptionalTensor z,
                   OptionalTensor delta_bias, bool delta_softplus, OptionalTensor lengths) {
  return std::get<0>(forward(
      check_scan("bi_scan", true, false, delta_softplus, u, delta, A, B, C, D, z, delta_bias, std::nullopt, lengths)));
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> bi_scan_backward_cpu(
    Tensor dout, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D, OptionalTensor z,
    OptionalTensor delta_bias, bool delta_softplus, OptionalTensor lengths) {
  const ScanGradients g = backward(check_scan("bi_scan_backward", true, false, delta_softplus, u, delta, A, B, C, D, z,
                                              delta_bias, std::nullopt, lengths),
                                   dout, std::nullopt);
  return {g.du, g.ddelta, g.dA, g.dB, g.dC, g.dD, g.dz, g.ddelta_bias};
}

std::tuple<Tensor, Tensor> selective_scan_cpu(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D,
                                              OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus,
                                              OptionalTensor initial_state, bool reverse, OptionalTensor lengths) {
  return forward(check_scan("selective_scan", false, reverse, delta_softplus, u, delta, A, B, C, D, z, delta_bias,
                            initial_state, lengths));
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> selective_scan_backward_cpu(
    Tensor dout, Tensor dlast_state, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D,
    OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus, OptionalTensor initial_state, bool reverse,
    OptionalTensor lengths) {
  const ScanTensors s = check_scan("selective_scan_backward", false, reverse, delta_softplus, u, delta, A, B, C, D, z,
                                   delta_bias, initial_state, lengths);
  check_parameter(s, "dlast_state", dlast_state, "(B, D, N)", {s.batch, s.channels, s.state});
  const ScanGradients g = backward(s, dout, dlast_state);
  return {g.du, g.ddelta, g.dA, g.dB, g.dC, g.dD, g.dz, g.ddelta_bias, g.dinitial_state};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(ssamba, CPU, m) {
  m.impl("bi_scan", TORCH_BOX(&bi_scan_cpu));
  m.impl("bi_scan_backward", TORCH_BOX(&bi_scan_backward_cpu));
  m.impl("selective_scan", TORCH_BOX(&selective_scan_cpu));
  m.impl("selective_scan_backward", TORCH_BOX(&selective_scan_backward_cpu));
}

}  // namespace ssamba
