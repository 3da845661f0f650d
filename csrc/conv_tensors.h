// causal_conv1d, bi_conv1d and their gradients, from tensors to launches, for every device: both are the same kernel
// with one or two directions. A Device is made from the tensor whose place it works in; it chooses chunks, launches
// kernels and adds partial sums.
#pragma once

#include <tuple>

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
  check(c.width >= 1, op, ": weight has shape ", shape_of(weight), "; expected at least one tap (W >= 1)");
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
  c.weight = dense(taps, c.acc());
  if (bias) c.bias = dense(*bias, c.acc());
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

template <typename Device>
Tensor convolve(const ConvTensors& c) {
  const Device device(c.x);
  Tensor out = c.bidirectional ? empty({2, c.batch, c.length, c.channels}, c.x.scalar_type(), c.x)
                               : empty({c.batch, c.length, c.channels}, c.x.scalar_type(), c.x);
  ConvForwardArgs args{};
  fill_conv_args(args, c);
  device.split(args);
  args.out = output_rows(out);
  if (out.numel()) device.forward(args);
  return out;
}

struct ConvGradients {
  Tensor dx, dweight, dbias, dinitial_state;
};

template <typename Device>
ConvGradients convolve_backward(const ConvTensors& c, const Tensor& dout_given) {
  if (c.bidirectional)
    check_shape(c.op, "dout", dout_given, {2, c.batch, c.length, c.channels}, "(2, B, L, D)");
  else
    check_shape(c.op, "dout", dout_given, {c.batch, c.length, c.channels}, "(B, L, D)");
  check_dtype(c.op, "dout", dout_given, c.x.scalar_type(), "as x");
  check_device(c.op, "dout", dout_given, c.x, "x");
  const Device device(c.x);
  const Tensor dout = with_dense_rows(dout_given);
  const int64_t R = c.directions(), D = c.channels, W = c.width;

  ConvBackwardArgs args{};
  fill_conv_args(args, c);
  device.split(args);
  Tensor dx = empty({c.batch, c.length, D}, c.x.scalar_type(), c.x);
  Tensor dinitial_state = empty({c.initial_state ? c.batch : 0, W - 1, D}, c.x.scalar_type(), c.x);
  Tensor dweight = empty({c.batch * args.chunks, R, W, D}, c.acc(), c.x);
  Tensor dbias = empty({c.bias ? c.batch * args.chunks : 0, R, D}, c.acc(), c.x);
  args.dout = rows(dout);
  args.dx = output_rows(dx);
  args.dinitial_state = c.initial_state ? output_rows(dinitial_state) : RowsOut{};
  args.dweight = dweight.mutable_data_ptr();
  args.dbias = c.bias ? dbias.mutable_data_ptr() : nullptr;
  if (c.batch && D) device.backward(args, c.x);

  const Tensor taps = torch::stable::transpose(device.sum(dweight, {R, W, D}), 1, 2);
  dweight = dense(taps, c.weight_type);
  dbias = dense(device.sum(dbias, {R, D}), c.bias_type);
  if (!c.bias) dbias = empty({0}, c.acc(), c.x);
  if (!c.initial_state) dinitial_state = empty({0}, c.x.scalar_type(), c.x);
  if (c.bidirectional) return {dx, dweight, dbias, dinitial_state};
  return {dx, torch::stable::reshape(dweight, {D, W}), c.bias ? torch::stable::reshape(dbias, {D}) : dbias,
          dinitial_state};
}

template <typename Device>
Tensor causal_conv1d(Tensor x, Tensor weight, OptionalTensor bias, bool silu, OptionalTensor initial_state,
                     bool reverse, OptionalTensor lengths) {
  return convolve<Device>(check_conv("causal_conv1d", false, silu, x, weight, bias, initial_state, reverse, lengths));
}

template <typename Device>
std::tuple<Tensor, Tensor, Tensor, Tensor> causal_conv1d_backward(Tensor dout, Tensor x, Tensor weight,
                                                                  OptionalTensor bias, bool silu,
                                                                  OptionalTensor initial_state, bool reverse,
                                                                  OptionalTensor lengths) {
  const ConvGradients g = convolve_backward<Device>(
      check_conv("causal_conv1d_backward", false, silu, x, weight, bias, initial_state, reverse, lengths), dout);
  return {g.dx, g.dweight, g.dbias, g.dinitial_state};
}

template <typename Device>
Tensor bi_conv1d(Tensor x, Tensor weight, OptionalTensor bias, bool silu, OptionalTensor lengths) {
  return convolve<Device>(check_conv("bi_conv1d", true, silu, x, weight, bias, std::nullopt, false, lengths));
}

template <typename Device>
std::tuple<Tensor, Tensor, Tensor> bi_conv1d_backward(Tensor dout, Tensor x, Tensor weight, OptionalTensor bias,
                                                      bool silu, OptionalTensor lengths) {
  const ConvGradients g = convolve_backward<Device>(
      check_conv("bi_conv1d_backward", true, silu, x, weight, bias, std::nullopt, false, lengths), dout);
  return {g.dx, g.dweight, g.dbias};
}

}  // namespace ssamba
