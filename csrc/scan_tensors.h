// From tensors to ScanArgs: the checks that every device makes for selective_scan and bi_scan.
#pragma once

#include "selective_scan.h"
#include "tensor.h"

namespace ssamba {

// The inputs of a scan, checked and with dense rows. They keep alive what ScanArgs points to.
struct ScanTensors {
  const char* op;
  bool bidirectional, reverse, delta_softplus;
  Tensor u, delta, A, B, C;
  OptionalTensor D, z, delta_bias, initial_state, lengths;
  Dtype dtype;
  int64_t batch, length, channels, groups, state;

  bool shared_u() const { return bidirectional && u.dim() == 3; }
  int64_t directions() const { return bidirectional ? 2 : 1; }
  ScalarType acc() const { return accumulation_type(dtype); }
};

inline Input input(const Tensor& x, bool has_direction) {
  const int64_t first = has_direction ? 1 : 0;
  Input in;
  in.data = x.const_data_ptr();
  in.direction = has_direction ? x.stride(0) : 0;
  in.batch = x.stride(first);
  in.time = x.stride(first + 1);
  in.group = x.dim() - first == 4 ? x.stride(first + 2) : 0;
  return in;
}

inline Output output(const Tensor& x, bool has_direction) {
  const Input in = input(x, has_direction);
  return {const_cast<void*>(in.data), in.direction, in.batch, in.time, in.group};
}

inline void check_projection(const ScanTensors& s, const char* name, const Tensor& x) {
  const int64_t base = s.bidirectional ? 4 : 3;
  check(x.dim() == base || x.dim() == base + 1, s.op, ": ", name, " has shape ", shape_of(x), "; expected ",
        s.bidirectional ? "(2, B, L, N) or (2, B, L, G, N)" : "(B, L, N) or (B, L, G, N)");
  const int64_t G = x.dim() == base ? 1 : x.size(base - 1);
  const char* letters = s.bidirectional ? (x.dim() == base ? "(2, B, L, N)" : "(2, B, L, G, N)")
                                        : (x.dim() == base ? "(B, L, N)" : "(B, L, G, N)");
  if (s.bidirectional && x.dim() == base) check_shape(s.op, name, x, {2, s.batch, s.length, s.state}, letters);
  if (s.bidirectional && x.dim() > base) check_shape(s.op, name, x, {2, s.batch, s.length, G, s.state}, letters);
  if (!s.bidirectional && x.dim() == base) check_shape(s.op, name, x, {s.batch, s.length, s.state}, letters);
  if (!s.bidirectional && x.dim() > base) check_shape(s.op, name, x, {s.batch, s.length, G, s.state}, letters);
}

inline void check_parameter(const ScanTensors& s, const char* name, const Tensor& x, const char* letters,
                            std::initializer_list<int64_t> shape) {
  check_shape(s.op, name, x, shape, letters);
  check_dtype(s.op, name, x, s.acc(), s.dtype == Dtype::float64 ? "as u is float64" : "whatever the dtype of u");
  check_device(s.op, name, x, s.u, "u");
}

inline void check_activation(const ScanTensors& s, const char* name, const Tensor& x) {
  check_dtype(s.op, name, x, s.u.scalar_type(), "as u");
  check_device(s.op, name, x, s.u, "u");
}

inline ScanTensors check_scan(const char* op, bool bidirectional, bool reverse, bool delta_softplus, const Tensor& u,
                              const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
                              const OptionalTensor& D, const OptionalTensor& z, const OptionalTensor& delta_bias,
                              const OptionalTensor& initial_state, const OptionalTensor& lengths) {
  ScanTensors s{op,
                bidirectional,
                reverse,
                delta_softplus,
                u,
                delta,
                A,
                B,
                C,
                D,
                z,
                delta_bias,
                initial_state,
                lengths,
                activation_dtype(op, "u", u),
                0,
                0,
                0,
                1,
                0};
  const bool two = bidirectional;
  check(u.dim() == 3 || (two && u.dim() == 4), op, ": u has shape ", shape_of(u), "; expected ",
        two ? "(2, B, L, D), or (B, L, D) for both directions alike" : "(B, L, D)");
  const int64_t first = u.dim() - 3;
  s.batch = u.size(first), s.length = u.size(first + 1), s.channels = u.size(first + 2);
  check(first == 0 || u.size(0) == 2, op, ": u has shape ", shape_of(u), "; expected (2, B, L, D): two directions");
  check_rank(op, "A", A, two ? 3 : 2, two ? "(2, D, N)" : "(D, N)");
  s.state = A.size(two ? 2 : 1);
  check(s.state >= 1, op, ": A has shape ", shape_of(A), "; expected at least one state");
  if (two) {
    check_shape(op, "delta", delta, {2, s.batch, s.length, s.channels}, "(2, B, L, D)");
    check_parameter(s, "A", A, "(2, D, N)", {2, s.channels, s.state});
    if (D) check_parameter(s, "D", *D, "(2, D)", {2, s.channels});
    if (delta_bias) check_parameter(s, "delta_bias", *delta_bias, "(2, D)", {2, s.channels});
  } else {
    check_shape(op, "delta", delta, {s.batch, s.length, s.channels}, "(B, L, D)");
    check_parameter(s, "A", A, "(D, N)", {s.channels, s.state});
    if (D) check_parameter(s, "D", *D, "(D,)", {s.channels});
    if (delta_bias) check_parameter(s, "delta_bias", *delta_bias, "(D,)", {s.channels});
    if (initial_state) check_parameter(s, "initial_state", *initial_state, "(B, D, N)", {s.batch, s.channels, s.state});
  }
  check_projection(s, "B", B);
  check_projection(s, "C", C);
  const int64_t base = two ? 4 : 3;
  check(B.dim() == C.dim() && (B.dim() == base || B.size(base - 1) == C.size(base - 1)), op, ": B has shape ",
        shape_of(B), " and C has shape ", shape_of(C), "; expected the same groups");
  s.groups = B.dim() == base ? 1 : B.size(base - 1);
  check(s.groups >= 1 && s.channels % s.groups == 0, op, ": u has ", s.channels, " channels and B has ", s.groups,
        " groups; expected the channels to be a multiple of the groups");
  if (z) check_shape(op, "z", *z, {s.batch, s.length, s.channels}, "(B, L, D)");
  check_activation(s, "delta", delta);
  check_activation(s, "B", B);
  check_activation(s, "C", C);
  if (z) check_activation(s, "z", *z);
  s.lengths = check_lengths(op, lengths, u, s.batch, s.length);

  s.u = with_dense_rows(u), s.delta = with_dense_rows(delta), s.B = with_dense_rows(B), s.C = with_dense_rows(C);
  if (z) s.z = with_dense_rows(*z);
  s.A = dense(A), s.D = dense(D), s.delta_bias = dense(delta_bias);
  s.initial_state = dense(initial_state);
  return s;
}

inline void fill_scan_args(ScanArgs& args, const ScanTensors& s) {
  args.dtype = s.dtype;
  args.directions = s.directions();
  args.batch = s.batch, args.length = s.length, args.channels = s.channels, args.groups = s.groups,
  args.state = s.state;
  args.reverse[0] = s.bidirectional ? false : s.reverse;
  args.reverse[1] = true;
  args.delta_softplus = s.delta_softplus;
  args.lengths = static_cast<const int64_t*>(data(s.lengths));
  args.u = input(s.u, s.u.dim() == 4);
  args.delta = input(s.delta, s.bidirectional);
  args.B = input(s.B, s.bidirectional);
  args.C = input(s.C, s.bidirectional);
  args.z = s.z ? input(*s.z, false) : Input{};
  args.A = s.A.const_data_ptr();
  args.D = data(s.D);
  args.delta_bias = data(s.delta_bias);
  args.initial_state = data(s.initial_state);
}

}  // namespace ssamba
