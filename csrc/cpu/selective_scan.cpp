// selective_scan and bi_scan on the CPU: both are the same kernel with one or two directions.

#include "../registration.h"
#include "../scan_ops.h"
#include "scan_split.h"
#include "sum_partials.h"

namespace ssamba {
namespace {

struct CpuScan {
  static constexpr int kCheckpointTokens = kCpuCheckpointTokens;

  CpuScan(const ScanArgs&, const ScanTensors&) {}

  void forward(ScanForwardArgs& args, const ScanTensors&) const { scan_in_parallel(args); }

  void split_backward(ScanBackwardArgs& args) const { ssamba::split_backward(args); }
  void backward(const ScanBackwardArgs& args, const ScanTensors&) const { scan_backward_in_parallel(args); }

  Tensor sum(const Tensor& partials, std::initializer_list<int64_t> shape) const {
    return sum_partials(partials, shape);
  }
};

// A part of time of a mixer in inference: see ssamba_ops/scan_part.py.
void scan_part(Tensor y, Tensor state, Tensor u, Tensor dt, Tensor dt_weight, Tensor A, Tensor B, Tensor C, Tensor D,
               Tensor dt_bias, OptionalTensor z, bool reverse, bool add, OptionalTensor lengths) {
  const char* op = "scan_part";
  // u stands in for the step sizes, which are of its shape and never made.
  ScanTensors s = check_scan(op, false, reverse, true, u, u, A, B, C, D, z, dt_bias, std::nullopt, lengths);
  check_rank(op, "dt_weight", dt_weight, 2, "(D, r)");
  const int64_t rank = dt_weight.size(1);
  check(rank >= 1, op, ": dt_weight has shape ", shape_of(dt_weight), "; expected at least one number a token");
  check_parameter(s, "dt_weight", dt_weight, "(D, r)", {s.channels, rank});
  check_shape(op, "dt", dt, {s.batch, s.length, rank}, "(B, L, r)");
  check_shape(op, "y", y, {s.batch, s.length, s.channels}, "(B, L, D)");
  check_activation(s, "dt", dt);
  check_activation(s, "y", y);
  check_parameter(s, "state", state, "(B, D, N)", {s.batch, s.channels, s.state});
  check(s.channels <= 1 || y.stride(2) == 1, op, ": y has strides ", Shape{y.strides().data(), 3},
        "; expected a last axis of stride 1, as it is written in place");
  check(state.is_contiguous(), op, ": state has strides ", Shape{state.strides().data(), 3},
        "; expected a contiguous tensor, as it is written in place");
  s.delta = with_dense_rows(dt);
  s.initial_state = state;
  const Tensor weight = dense(dt_weight);
  ScanForwardArgs args{};
  fill_scan_args(args, s);
  args.delta_weight = weight.const_data_ptr();
  args.rank = rank;
  args.out = output(y, false);
  args.add = add;
  args.last_state = state.mutable_data_ptr();
  CpuScan(args, s).forward(args, s);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) {
  m.impl("bi_scan", TORCH_BOX(&bi_scan<CpuScan>));
  m.impl("bi_scan_forward", TORCH_BOX(&bi_scan_forward<CpuScan>));
  m.impl("bi_scan_backward", TORCH_BOX(&bi_scan_backward<CpuScan>));
  m.impl("selective_scan", TORCH_BOX(&selective_scan<CpuScan>));
  m.impl("selective_scan_forward", TORCH_BOX(&selective_scan_forward<CpuScan>));
  m.impl("selective_scan_backward", TORCH_BOX(&selective_scan_backward<CpuScan>));
  m.impl("scan_part", TORCH_BOX(&scan_part));
}

}  // namespace ssamba
