// packed_linear on the CPU.

#include <vector>

#include "../registration.h"
#include "products.h"

namespace ssamba {
namespace {

Tensor packed_linear(Tensor x, Tensor weight, OptionalTensor bias, int64_t outputs) {
  const char* op = "packed_linear";
  check(x.dim() >= 1 && x.scalar_type() == ScalarType::Float, op, ": x is ", dtype_text(x.scalar_type()), " of shape ",
        shape_of(x), "; expected float32 of shape (..., K)");
  const int64_t inner = x.size(x.dim() - 1);
  check(outputs >= 0, op, ": outputs is ", outputs, "; expected 0 or more");
  check_packed(op, "weight", weight, {panels_of(outputs), inner, kPanel}, "(ceil(outputs / 32), K, 32)");
  if (bias) check_floats(op, "bias", *bias, {outputs}, "(outputs,)");
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  shape.back() = outputs;
  Tensor out = empty({shape.data(), shape.size()}, ScalarType::Float, x.device());
  if (out.numel() == 0) return out;
  const Tensor rows = dense(x);
  const OptionalTensor dense_bias = dense(bias);
  ProductArgs args{};
  args.inner = inner, args.outputs = outputs;
  args.x = floats(rows), args.x_stride = inner;
  args.weight = floats(weight);
  args.bias = dense_bias ? floats(*dense_bias) : nullptr;
  args.out = mutable_floats(out), args.out_stride = outputs;
  parallel_rows(out.numel() / outputs, [&](int64_t begin, int64_t end) { multiply(args, begin, end); });
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) { m.impl("packed_linear", TORCH_BOX(&packed_linear)); }

}  // namespace ssamba
