// From tensors to ConvArgs: the checks that every device makes for causal_conv1d and bi_conv1d.
#pragma once

#include "causal_conv1d.h"
#include "row_tensors.h"

namespace ssamba {

// The inputs of a convolution, checked and with dense rows. They keep alive what ConvArgs points to.
struct ConvTensors {
  const char* op;
  bool bidirectional, reverse, silu;
  Tensor x, weight;  // weight as taps: acc (R, W, D)
  OptionalTensor bias, initial_state, lengths;
  Dtype dtype;
  ScalarType weight_type, bias_type;
  int64_t batch, length, channels, width;

  int64_t directions() const { return bidirectional ? 2 : 1; }
  ScalarType acc() const { return accumulation_type(dtype); }
};

inline ConvTensors check_conv(const char* op, bool bidirectional, bool silu, const Tensor& x, const Tensor& weight,
                              const OptionalTensor& bias, const OptionalTensor& initial_state, bool reverse,
                              const OptionalTensor& lengths) {
  ConvTensors c{op,
                bidirectional,
                reverse,
                silu,
                x,
                weight,
                bias,
                initial_state,
                lengths,
                activation_dtype(op, "x", x),
                weight.scalar_type(),
                bias ? bias->scalar_type() : weight.scalar_type(),
                0,
                0,
                0,
                0};
  check_rank(op, "x", x, 3, "(B, L, D)");
  c.batch = x.size(0), c.length = x.size(1), c.channels = x.size(2);
  const int64_t R = c.directions(), D = c.channels;
  check_rank(op, "weight", weight, bidirectional ? 3 : 2, bidirectional ? "(2, D, W)" : "(D, W)");
  c.width = weight.size(weight.dim() - 1);
  if (bidirectional) check_shape(op, "weight", weight, {2, D, c.width}, "(2, D, W)");
  if (!bidirectional) check_shape(op, "weight", weight, {D, c.width}, "(D, W)");
  check(c.width >= 1, op, ": weight has shape ", shape_text(weight), "; expected at least one tap (W >= 1)");
  check_parameter(op, "weight", weight, x, "x");
  if (bias) {
    if (bidirectional) check_shape(op, "bias", *bias, {2, D}, "(2, D)");
    if (!bidirectional) check_shape(op, "bias", *bias, {D}, "(D,)");
    check_parameter(op, "bias", *bias, x, "x");
  }
  if (initial_state) {
    check_shape(op, "initial_state", *initial_state, {c.batch, c.width - 1, D}, "(B, W-1, D)");
    check_dtype(op, "initial_state", *initial_state, x.scalar_type(), "as x");
    check_device(op, "initial_state", *initial_state, x, "x");
    c.initial_state = with_dense_rows(*initial_state);
  }
  c.lengths = check_lengths(op, lengths, x, c.batch, c.length);

  c.x = with_dense_rows(x);
  const Tensor taps = torch::stable::transpose(torch::stable::reshape(weight, {R, D, c.width}), 1, 2);
  c.weight = torch::stable::contiguous(torch::stable::to(taps, c.acc()));
  if (bias) c.bias = torch::stable::contiguous(torch::stable::to(*bias, c.acc()));
  return c;
}

inline void fill_conv_args(ConvArgs& args, const ConvTensors& c) {
  args.dtype = c.dtype;
  args.directions = c.directions();
  args.batch = c.batch, args.length = c.length, args.channels = c.channels, args.width = c.width;
  args.reverse[0] = c.bidirectional ? false : c.reverse;
  args.reverse[1] = true;
  args.silu = c.silu;
  args.lengths = static_cast<const int64_t*>(data(c.lengths));
  args.x = rows(c.x);
  args.initial_state = c.initial_state ? rows(*c.initial_state) : RowsIn{};
  args.weight = c.weight.const_data_ptr();
  args.bias = data(c.bias);
}

}  // namespace ssamba
