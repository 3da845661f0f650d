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

struct ScanResult {
  Tensor out, last_state, checkpoints;
};

int64_t checkpoint_count(const ScanTensors& s) { return (s.length + kCpuCheckpointTokens - 1) / kCpuCheckpointTokens; }

ScanResult forward(const ScanTensors& s, bool keep_checkpoints) {
  Tensor out = empty({s.batch, s.length, s.channels}, s.u.scalar_type(), s.u);
  Tensor last_state = s.bidirectional ? empty({0}, s.acc(), s.u) : empty({s.batch, s.channels, s.state}, s.acc(), s.u);
  const int64_t kept = keep_checkpoints ? checkpoint_count(s) : 0;
  Tensor checkpoints = empty({s.directions(), s.batch, kept, s.state, s.channels}, s.acc(), s.u);
  ScanForwardArgs args{};
  fill_scan_args(args, s);
  split_for_threads(args);
  args.out = output(out, false);
  args.last_state = s.bidirectional ? nullptr : last_state.mutable_data_ptr();
  args.checkpoints = keep_checkpoints ? checkpoints.mutable_data_ptr() : nullptr;
  parallel_items(work_items(args), [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_scan, args, begin, end); });
  return {out, last_state, checkpoints};
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

ScanGradients backward(const ScanTensors& s, const Tensor& dout_given, const OptionalTensor& dlast_state,
                       const Tensor& checkpoints_given) {
  const char* op = s.op;
  check_shape(op, "checkpoints", checkpoints_given, {s.directions(), s.batch, checkpoint_count(s), s.state, s.channels},
              "(R, B, K, N, D)");
  check_dtype(op, "checkpoints", checkpoints_given, s.acc(), "as the states");
  check_device(op, "checkpoints", checkpoints_given, s.u, "u");
  check_shape(op, "dout", dout_given, {s.batch, s.length, s.channels}, "(B, L, D)");
  check_dtype(op, "dout", dout_given, s.u.scalar_type(), "as u");
  const Tensor dout = with_dense_rows(dout_given);
  const OptionalTensor dlast = dense(dlast_state);
  const Tensor checkpoints = torch::stable::contiguous(checkpoints_given);
  const int64_t R = s.directions();
  const auto none = [&] { return empty({0}, s.acc(), s.u); };  // for each input not given, a tensor of its own

  ScanBackwardArgs args{};
  fill_scan_args(args, s);
  split_for_shape(args);
  const int64_t S = splits(args);
  Tensor du = empty_like_shape(s.u, s.u.scalar_type()), ddelta = empty_like_shape(s.delta, s.u.scalar_type());
  Tensor dz = s.z ? empty_like_shape(*s.z, s.u.scalar_type()) : none();
  Tensor dA = empty({s.batch, R, s.channels, s.state}, s.acc(), s.u);
  Tensor dB = empty({S, R, s.batch, s.length, s.groups, s.state}, s.acc(), s.u);
  Tensor dC = empty({S, R, s.batch, s.length, s.groups, s.state}, s.acc(), s.u);
  Tensor dD = s.D ? empty({s.batch, R, s.channels}, s.acc(), s.u) : none();
  Tensor ddelta_bias = s.delta_bias ? empty({s.batch, R, s.channels}, s.acc(), s.u) : none();
  Tensor dinitial = s.initial_state ? empty_like_shape(*s.initial_state, s.acc()) : none();
  args.dout = input(dout, false);
  args.checkpoints = checkpoints.const_data_ptr();
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
          s.D ? sum_first(dD, *s.D) : none(),
          dz,
          s.delta_bias ? sum_first(ddelta_bias, *s.delta_bias) : none(),
          dinitial};
}

ScanTensors check_bi_scan(const char* op, const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B,
                          const Tensor& C, const OptionalTensor& D, const OptionalTensor& z,
                          const OptionalTensor& delta_bias, bool delta_softplus, const OptionalTensor& lengths) {
  return check_scan(op, true, false, delta_softplus, u, delta, A, B, C, D, z, delta_bias, std::nullopt, lengths);
}

Tensor bi_scan_cpu(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D, OptionalTensor z,
                   OptionalTensor delta_bias, bool delta_softplus, OptionalTensor lengths) {
  return forward(check_bi_scan("bi_scan", u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths), false).out;
}

std::tuple<Tensor, Tensor> bi_scan_forward_cpu(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D,
                                               OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus,
                                               OptionalTensor lengths) {
  const ScanResult result =
      forward(check_bi_scan("bi_scan", u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths), true);
  return {result.out, result.checkpoints};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> bi_scan_backward_cpu(
    Tensor dout, Tensor checkpoints, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D,
    OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus, OptionalTensor lengths) {
  const ScanGradients g =
      backward(check_bi_scan("bi_scan_backward", u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths), dout,
               std::nullopt, checkpoints);
  return {g.du, g.ddelta, g.dA, g.dB, g.dC, g.dD, g.dz, g.ddelta_bias};
}

std::tuple<Tensor, Tensor> selective_scan_cpu(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D,
                                              OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus,
                                              OptionalTensor initial_state, bool reverse, OptionalTensor lengths) {
  const ScanResult result = forward(check_scan("selective_scan", false, reverse, delta_softplus, u, delta, A, B, C, D,
                                               z, delta_bias, initial_state, lengths),
                                    false);
  return {result.out, result.last_state};
}

std::tuple<Tensor, Tensor, Tensor> selective_scan_forward_cpu(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C,
                                                              OptionalTensor D, OptionalTensor z,
                                                              OptionalTensor delta_bias, bool delta_softplus,
                                                              OptionalTensor initial_state, bool reverse,
                                                              OptionalTensor lengths) {
  const ScanResult result = forward(check_scan("selective_scan", false, reverse, delta_softplus, u, delta, A, B, C, D,
                                               z, delta_bias, initial_state, lengths),
                                    true);
  return {result.out, result.last_state, result.checkpoints};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> selective_scan_backward_cpu(
    Tensor dout, Tensor dlast_state, Tensor checkpoints, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C,
    OptionalTensor D, OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus, OptionalTensor initial_state,
    bool reverse, OptionalTensor lengths) {
  const ScanTensors s = check_scan("selective_scan_backward", false, reverse, delta_softplus, u, delta, A, B, C, D, z,
                                   delta_bias, initial_state, lengths);
  check_parameter(s, "dlast_state", dlast_state, "(B, D, N)", {s.batch, s.channels, s.state});
  const ScanGradients g = backward(s, dout, dlast_state, checkpoints);
  return {g.du, g.ddelta, g.dA, g.dB, g.dC, g.dD, g.dz, g.ddelta_bias, g.dinitial_state};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(ssamba, CPU, m) {
  m.impl("bi_scan", TORCH_BOX(&bi_scan_cpu));
  m.impl("bi_scan_forward", TORCH_BOX(&bi_scan_forward_cpu));
  m.impl("bi_scan_backward", TORCH_BOX(&bi_scan_backward_cpu));
  m.impl("selective_scan", TORCH_BOX(&selective_scan_cpu));
  m.impl("selective_scan_forward", TORCH_BOX(&selective_scan_forward_cpu));
  m.impl("selective_scan_backward", TORCH_BOX(&selective_scan_backward_cpu));
}

}  // namespace ssamba
