// The tensor functions of selective_scan and bi_scan, the same for every device: checks, outputs, a launch, and the sums
// that gradients of shared inputs need. A device is a type with
//   kCheckpointTokens                       tokens between two checkpoints
//   forward(ScanForwardArgs&, const ScanTensors&)
//   split_backward(ScanBackwardArgs&, const ScanTensors&)    sets split_channels
//   backward(ScanBackwardArgs&, const ScanTensors&)
//   sum_first(const Tensor& partial, const Tensor& like)    the sum over the first axis, in order, as `like`'s shape and
//                                                           dtype
#pragma once

#include <tuple>

#include "scan_tensors.h"

namespace ssamba {

inline int64_t splits(const ScanArgs& args) {
  return (args.channels / args.groups + args.split_channels - 1) / args.split_channels;
}

struct ScanResult {
  Tensor out, last_state, checkpoints;
};

struct ScanGradients {
  Tensor du, ddelta, dA, dB, dC, dD, dz, ddelta_bias, dinitial_state;
};

template <class Device>
class ScanOps {
  static int64_t checkpoint_count(const ScanTensors& s) {
    return (s.length + Device::kCheckpointTokens - 1) / Device::kCheckpointTokens;
  }

  static ScanResult forward(const ScanTensors& s, bool keep_checkpoints) {
    Tensor out = empty({s.batch, s.length, s.channels}, s.u.scalar_type(), s.u);
    Tensor last_state =
        s.bidirectional ? empty({0}, s.acc(), s.u) : empty({s.batch, s.channels, s.state}, s.acc(), s.u);
    const int64_t kept = keep_checkpoints ? checkpoint_count(s) : 0;
    Tensor checkpoints = empty({s.directions(), s.batch, kept, s.state, s.channels}, s.acc(), s.u);
    ScanForwardArgs args{};
    fill_scan_args(args, s);
    args.out = output(out, false);
    args.last_state = s.bidirectional ? nullptr : last_state.mutable_data_ptr();
    args.checkpoints = keep_checkpoints ? checkpoints.mutable_data_ptr() : nullptr;
    Device::forward(args, s);
    return {out, last_state, checkpoints};
  }

  static ScanGradients backward(const ScanTensors& s, const Tensor& dout_given, const OptionalTensor& dlast_state,
                                const Tensor& checkpoints_given) {
    const char* op = s.op;
    check_shape(op, "checkpoints", checkpoints_given,
                {s.directions(), s.batch, checkpoint_count(s), s.state, s.channels}, "(R, B, K, N, D)");
    check_dtype(op, "checkpoints", checkpoints_given, s.acc(), "as the states");
    check_device(op, "checkpoints", checkpoints_given, s.u, "u");
    check_shape(op, "dout", dout_given, {s.batch, s.length, s.channels}, "(B, L, D)");
    check_dtype(op, "dout", dout_given, s.u.scalar_type(), "as u");
    const Tensor dout = with_dense_rows(dout_given);
    const OptionalTensor dlast = dense(dlast_state);
    const Tensor checkpoints = torch::stable::contiguous(checkpoints_given);
    const int64_t R = s.directions();
    const auto none = [&] { return empty({0}, s.acc(), s.u); };  // for each input not given, a tensor of its own
    const auto like = [](const Tensor& x, ScalarType type) {
      return torch::stable::empty(x.sizes(), type, std::nullopt, x.device());
    };

    ScanBackwardArgs args{};
    fill_scan_args(args, s);
    Device::split_backward(args, s);
    const int64_t S = splits(args);
    const ScalarType type = s.u.scalar_type();
    Tensor du = like(s.u, type), ddelta = like(s.delta, type), dz = s.z ? like(*s.z, type) : none();
    Tensor dA = empty({s.batch, R, s.channels, s.state}, s.acc(), s.u);
    Tensor dB = empty({S, R, s.batch, s.length, s.groups, s.state}, s.acc(), s.u);
    Tensor dC = empty({S, R, s.batch, s.length, s.groups, s.state}, s.acc(), s.u);
    Tensor dD = s.D ? empty({s.batch, R, s.channels}, s.acc(), s.u) : none();
    Tensor ddelta_bias = s.delta_bias ? empty({s.batch, R, s.channels}, s.acc(), s.u) : none();
    Tensor dinitial = s.initial_state ? like(*s.initial_state, s.acc()) : none();
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
    Device::backward(args, s);
    return {du,
            ddelta,
            Device::sum_first(dA, s.A),
            Device::sum_first(dB, s.B),
            Device::sum_first(dC, s.C),
            s.D ? Device::sum_first(dD, *s.D) : none(),
            dz,
            s.delta_bias ? Device::sum_first(ddelta_bias, *s.delta_bias) : none(),
            dinitial};
  }

  static ScanTensors check_bi_scan(const char* op, const Tensor& u, const Tensor& delta, const Tensor& A,
                                   const Tensor& B, const Tensor& C, const OptionalTensor& D, const OptionalTensor& z,
                                   const OptionalTensor& delta_bias, bool delta_softplus,
                                   const OptionalTensor& lengths) {
    return check_scan(op, true, false, delta_softplus, u, delta, A, B, C, D, z, delta_bias, std::nullopt, lengths);
  }

 public:
  static Tensor bi_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D, OptionalTensor z,
                        OptionalTensor delta_bias, bool delta_softplus, OptionalTensor lengths) {
    return forward(check_bi_scan("bi_scan", u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths), false).out;
  }

  static std::tuple<Tensor, Tensor> bi_scan_forward(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C,
                                                    OptionalTensor D, OptionalTensor z, OptionalTensor delta_bias,
                                                    bool delta_softplus, OptionalTensor lengths) {
    const ScanResult result =
        forward(check_bi_scan("bi_scan", u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths), true);
    return {result.out, result.checkpoints};
  }

  static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> bi_scan_backward(
      Tensor dout, Tensor checkpoints, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D,
      OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus, OptionalTensor lengths) {
    const ScanGradients g =
        backward(check_bi_scan("bi_scan_backward", u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths), dout,
                 std::nullopt, checkpoints);
    return {g.du, g.ddelta, g.dA, g.dB, g.dC, g.dD, g.dz, g.ddelta_bias};
  }

  static std::tuple<Tensor, Tensor> selective_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C,
                                                   OptionalTensor D, OptionalTensor z, OptionalTensor delta_bias,
                                                   bool delta_softplus, OptionalTensor initial_state, bool reverse,
                                                   OptionalTensor lengths) {
    const ScanResult result = forward(check_scan("selective_scan", false, reverse, delta_softplus, u, delta, A, B, C, D,
                                                 z, delta_bias, initial_state, lengths),
                                      false);
    return {result.out, result.last_state};
  }

  static std::tuple<Tensor, Tensor, Tensor> selective_scan_forward(
      Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, OptionalTensor D, OptionalTensor z,
      OptionalTensor delta_bias, bool delta_softplus, OptionalTensor initial_state, bool reverse,
      OptionalTensor lengths) {
    const ScanResult result = forward(check_scan("selective_scan", false, reverse, delta_softplus, u, delta, A, B, C, D,
                                                 z, delta_bias, initial_state, lengths),
                                      true);
    return {result.out, result.last_state, result.checkpoints};
  }

  static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> selective_scan_backward(
      Tensor dout, Tensor dlast_state, Tensor checkpoints, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C,
      OptionalTensor D, OptionalTensor z, OptionalTensor delta_bias, bool delta_softplus, OptionalTensor initial_state,
      bool reverse, OptionalTensor lengths) {
    const ScanTensors s = check_scan("selective_scan_backward", false, reverse, delta_softplus, u, delta, A, B, C, D, z,
                                     delta_bias, initial_state, lengths);
    check_parameter(s, "dlast_state", dlast_state, "(B, D, N)", {s.batch, s.channels, s.state});
    const ScanGradients g = backward(s, dout, dlast_state, checkpoints);
    return {g.du, g.ddelta, g.dA, g.dB, g.dC, g.dD, g.dz, g.ddelta_bias, g.dinitial_state};
  }
};

template <class Device>
void register_scan_ops(torch::stable::detail::StableLibrary& m) {
  m.impl("bi_scan", TORCH_BOX(&ScanOps<Device>::bi_scan));
  m.impl("bi_scan_forward", TORCH_BOX(&ScanOps<Device>::bi_scan_forward));
  m.impl("bi_scan_backward", TORCH_BOX(&ScanOps<Device>::bi_scan_backward));
  m.impl("selective_scan", TORCH_BOX(&ScanOps<Device>::selective_scan));
  m.impl("selective_scan_forward", TORCH_BOX(&ScanOps<Device>::selective_scan_forward));
  m.impl("selective_scan_backward", TORCH_BOX(&ScanOps<Device>::selective_scan_backward));
}

}  // namespace ssamba
