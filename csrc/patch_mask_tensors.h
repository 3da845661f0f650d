// patch_mask and its gradient, from tensors to launches, for every device. A Device is made from the tensor whose place
// it works in; it chooses chunks, launches kernels and adds partial sums.
#pragma once

#include <tuple>

#include "patch_mask.h"
#include "row_tensors.h"

namespace ssamba {

inline void check_mask(const char* op, const Tensor& mask, const Tensor& x, const char* x_name) {
  check_shape(op, "mask", mask, {x.size(0), x.size(1)}, "(B, P)");
  check_dtype(op, "mask", mask, ScalarType::Bool, "true where the mask token stands");
  check_device(op, "mask", mask, x, x_name);
}

inline void fill_patch_mask_args(PatchMaskArgs& args, const Tensor& x, const Tensor& mask) {
  args.batch = x.size(0), args.patches = x.size(1), args.channels = x.size(2);
  args.mask = static_cast<const uint8_t*>(mask.const_data_ptr());
  args.mask_batch = mask.stride(0), args.mask_patch = mask.stride(1);
}

template <typename Device>
Tensor patch_mask(Tensor x, Tensor mask, Tensor mask_token, OptionalTensor pos) {
  const char* op = "patch_mask";
  PatchMaskForwardArgs args{};
  args.dtype = activation_dtype(op, "x", x);
  check_rank(op, "x", x, 3, "(B, P, D)");
  check_mask(op, mask, x, "x");
  check_shape(op, "mask_token", mask_token, {x.size(2)}, "(D,)");
  check_parameter(op, "mask_token", mask_token, x, "x");
  if (pos) {
    check_shape(op, "pos", *pos, {x.size(1), x.size(2)}, "(P, D)");
    check_parameter(op, "pos", *pos, x, "x");
  }
  const Device device(x);
  const ScalarType acc = accumulation_type(args.dtype);
  const Tensor source = with_dense_rows(x);
  const Tensor token = dense(mask_token, acc);
  if (pos) pos = with_dense_rows(*pos);
  Tensor out = empty({x.size(0), x.size(1), x.size(2)}, x.scalar_type(), x);
  fill_patch_mask_args(args, x, mask);
  args.x = rows(source);
  args.mask_token = token.const_data_ptr();
  args.pos = pos ? rows(*pos) : RowsIn{};
  args.pos_is_acc = pos && pos->scalar_type() == acc;
  args.out = output_rows(out);
  if (out.numel()) device.forward(args);
  return out;
}

template <typename Device>
std::tuple<Tensor, Tensor, Tensor> patch_mask_backward(Tensor dout_given, Tensor mask, bool pos) {
  const char* op = "patch_mask_backward";
  PatchMaskBackwardArgs args{};
  args.dtype = activation_dtype(op, "dout", dout_given);
  check_rank(op, "dout", dout_given, 3, "(B, P, D)");
  check_mask(op, mask, dout_given, "dout");
  const Device device(dout_given);
  const ScalarType acc = accumulation_type(args.dtype);
  const Tensor dout = with_dense_rows(dout_given);
  const int64_t B = dout.size(0), P = dout.size(1), D = dout.size(2);
  fill_patch_mask_args(args, dout, mask);
  device.split(args);
  Tensor dx = empty({B, P, D}, dout.scalar_type(), dout);
  Tensor dtoken = empty({args.clip_splits * args.chunks, D}, acc, dout);
  Tensor dpos = pos ? empty({args.clip_splits, P, D}, acc, dout) : empty({0}, acc, dout);
  args.dout = rows(dout);
  args.dx = output_rows(dx);
  args.dmask_token = dtoken.mutable_data_ptr();
  args.dpos = pos ? dpos.mutable_data_ptr() : nullptr;
  if (dx.numel()) device.backward(args);
  if (pos) dpos = args.clip_splits == 1 ? torch::stable::reshape(dpos, {P, D}) : device.sum(dpos, {P, D});
  return {dx, device.sum(dtoken, {D}), dpos};
}

}  // namespace ssamba
