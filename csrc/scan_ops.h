// selective_scan, bi_scan and their gradients, from tensors to launches, for every device: both are the same kernel
// with one or two directions. A Device is made from what is to be scanned, and refuses what it cannot count; it knows
// how many tokens lie between two checkpoints, chooses splits, launches kernels and adds partial sums.
#pragma once

#include <tuple>

#include "scan_tensors.h"

namespace ssamba {

struct ScanResult {
  Tensor out, last_state, checkpoints;
};

struct ScanGradients {
  Tensor du, ddelta, dA, dB, dC, dD, dz, ddelta_bias, dinitial_state;
};

template <class Device>
int64_t checkpoint_count(const ScanTensors& s) {
  return (s.length + Device::kCheckpointTokens - 1) / Device::kCheckpointTokens;
}

template <class Device>
ScanResult scan_forward(const ScanTensors& s, bool keep_checkpoints) {
  ScanForwardArgs args{};
  fill_scan_args(args, s);
  const Device device(args, s);
  Tensor out = empty({s.batch, s.length, s.channels}, s.u.scalar_type(), s.u);
  Tensor last_state = s.bidirectional ? empty({0}, s.acc(), s.u) : empty({s.batch, s.channels, s.state}, s.acc(), s.u);
  const int64_t kept = keep_checkpoints ? checkpoint_count<Device>(s) : 0;
  Tensor checkpoints = empty({s.directions(), s.batch, kept, s.state, s.channels}, s.acc(), s.u);
  args.out = output(out, false);
  args.last_state = s.bidirectional ? nullptr : last_state.mutable_data_ptr();
  args.checkpoints = keep_checkpoints ? checkpoints.mutable_data_ptr() : nullptr;
  device.forward(args, s);
  return {out, last_state, checkpoints};
}

// The sum over the first axis, in order, as `like`'s shape and dtype.
template <class Device>
Tensor sum_first(const Device& device, const Tensor& partial, const Tensor& like) {
  const Tensor sum = partial.size(0) == 1 ? partial : device.sum(partial, {like.numel()});
  return dense(torch::stable::reshape(sum, like.sizes()), like.scalar_type());
}

template <class Device>
ScanGradients scan_backward(const ScanTensors& s, const Tensor& dout_given, const OptionalTensor& dlast_state,
                            const Tensor& checkpoints_given) {
  const char* op = s.op;
  check_shape(op, "checkpoints", checkpoints_given,
              {s.directions(), s.batch, checkpoint_count<Device>(s), s.state, s.channels}, "(R, B, K, N, D)");
  check_dtype(op, "checkpoints", checkpoints_given, s.acc(), "as the states");
  check_device(op, "checkpoints", checkpoints_given, s.u, "u");
  check_shape(op, "dout", dout_given, {s.batch, s.length, s.channels}, "(B, L, D)");
  check_dtype(op, "dout", dout_given, s.u.scalar_type(), "as u");
  const Tensor dout = with_dense_rows(dout_given);
  const OptionalTensor dlast = dense(dlast_state);
  const Tensor checkpoints = dense(checkpoints_given);
  const int64_t R = s.directions();
  const auto none = [&] { return empty({0}, s.acc(), s.u); };  // for each input not given, a tensor of its own

  ScanBackwardArgs args{};
  fill_scan_args(args, s);
  const Device device(args, s);
  device.split_backward(args);
  const int64_t S = splits(args);
  const ScalarType type = s.u.scalar_type();
  Tensor du = empty_like(s.u, type), ddelta = empty_like(s.delta, type), dz = s.z ? empty_like(*s.z, type) : none();
  Tensor dA = empty({s.batch, R, s.channels, s.state}, s.acc(), s.u);
  Tensor dB = empty({S, R, s.batch, s.length, s.groups, s.state}, s.acc(), s.u);
  Tensor dC = empty({S, R, s.batch, s.length, s.groups, s.state}, s.acc(), s.u);
  Tensor dD = s.D ? empty({s.batch, R, s.channels}, s.acc(), s.u) : none();
  Tensor ddelta_bias = s.delta_bias ? empty({s.batch, R, s.channels}, s.acc(), s.u) : none();
  Tensor dinitial = s.initial_state ? empty_like(*s.initial_state, s.acc()) : none();
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
  device.backward(args, s);
  return {du,
          ddelta,
          sum_first(device, dA, s.A),
          sum_first(device, dB, s.B),
          sum_first(device, dC, s.C),
          s.D ? sum_first(device, dD, *s.D) : none(),
          dz,
          s.delta_bias ? sum_first(device, ddelta_bias, *s.delta_bias) : none(),
          dinitial};
}

inline ScanTensors check_bi_scan(const char* op, const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B,
                                 const Tensor& C, const OptionalTensor& D, const OptionalTensor& z,
                                 const OptionalTensor& delta_bias, bool delta_softplus, const OptionalTensor& lengths) {
  return check_scan(op, true, false, delta_softplus, u, delta, A, B, C, D, z, delta_bias, std::nullopt, lengths);
}

template <class Device>
Tensor bi_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D, OptionalTensor z,
               OptionalTensor delta_bias, bool delta_softplus, OptionalTensor lengths) {
  return scan_forward<Device>(check_bi_scan("bi_scan", u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths),
                              false)
      .out;
}

template <class Device>
std::tuple<Tensor, Tensor> bi_scan_forward(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D,
                                           OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus,
                                           OptionalTensor lengths) {
  const ScanResult result = scan_forward<Device>(
      check_bi_scan("bi_scan", u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths), true);
  return {result.out, result.checkpoints};
}

template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> bi_scan_backward(
    Tensor dout, Tensor checkpoints, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D,
    OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus, OptionalTensor lengths) {
  const ScanGradients g = scan_backward<Device>(
      check_bi_scan("bi_scan_backward", u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths), dout,
      std::nullopt, checkpoints);
  return {g.du, g.ddelta, g.dA, g.dB, g.dC, g.dD, g.dz, g.ddelta_bias};
}

template <class Device>
std::tuple<Tensor, Tensor> selective_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D,
                                          OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus,
                                          OptionalTensor initial_state, bool reverse, OptionalTensor lengths) {
  const ScanResult result = scan_forward<Device>(check_scan("selective_scan", false, reverse, delta_softplus, u, delta,
                                                            A, B, C, D, z, delta_bias, initial_state, lengths),
                                                 false);
  return {result.out, result.last_state};
}

template <class Device>
std::tuple<Tensor, Tensor, Tensor> selective_scan_forward(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C,
                                                          OptionalTensor D, OptionalTensor z, OptionalTensor delta_bias,
                                                          bool delta_softplus, OptionalTensor initial_state,
                                                          bool reverse, OptionalTensor lengths) {
  const ScanResult result = scan_forward<Device>(check_scan("selective_scan", false, reverse, delta_softplus, u, delta,
                                                            A, B, C, D, z, delta_bias, initial_state, lengths),
                                                 true);
  return {result.out, result.last_state, result.checkpoints};
}

template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> selective_scan_backward(
    Tensor dout, Tensor dlast_state, Tensor checkpoints, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C,
    OptionalTensor D, OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus, OptionalTensor initial_state,
    bool reverse, OptionalTensor lengths) {
  const ScanTensors s = check_scan("selective_scan_backward", false, reverse, delta_softplus, u, delta, A, B, C, D, z,
                                   delta_bias, initial_state, lengths);
  check_parameter(s, "dlast_state", dlast_state, "(B, D, N)", {s.batch, s.channels, s.state});
  const ScanGradients g = scan_backward<Device>(s, dout, dlast_state, checkpoints);
  return {g.du, g.ddelta, g.dA, g.dB, g.dC, g.dD, g.dz, g.ddelta_bias, g.dinitial_state};
}

}  // namespace ssamba
