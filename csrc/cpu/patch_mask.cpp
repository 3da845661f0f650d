// patch_mask on the CPU, from tensors to launches.

#include "../patch_mask.h"

#include <algorithm>
#include <tuple>

#include "../row_tensors.h"
#include "kernels.h"
#include "parallel.h"
#include "sum_partials.h"

namespace ssamba {
namespace {

void check_mask(const char* op, const Tensor& mask, const Tensor& x, const char* x_name) {
  check_shape(op, "mask", mask, {x.size(0), x.size(1)}, "(B, P)");
  check_dtype(op, "mask", mask, ScalarType::Bool, "true where the mask token stands");
  check_device(op, "mask", mask, x, x_name);
}

// Chosen by shape alone, as the order in which the mask token's gradient is summed follows from it.
void fill_patch_mask_args(PatchMaskArgs& args, const Tensor& x, const Tensor& mask, int64_t clips_of_item) {
  constexpr int64_t kElements = 48 * 1024, kLeastPatches = 4;
  args.batch = x.size(0), args.patches = x.size(1), args.channels = x.size(2);
  const int64_t elements = std::max<int64_t>(1, args.channels * clips_of_item);
  args.chunk_patches = std::max(kLeastPatches, kElements / elements);
  args.chunks = (args.patches + args.chunk_patches - 1) / args.chunk_patches;
  args.mask = static_cast<const uint8_t*>(mask.const_data_ptr());
  args.mask_batch = mask.stride(0), args.mask_patch = mask.stride(1);
}

Tensor patch_mask_cpu(Tensor x, Tensor mask, Tensor mask_token, OptionalTensor pos) {
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
  const ScalarType acc = accumulation_type(args.dtype);
  const Tensor source = with_dense_rows(x);
  const Tensor token = torch::stable::contiguous(torch::stable::to(mask_token, acc));
  if (pos) pos = with_dense_rows(*pos);
  Tensor out = empty({x.size(0), x.size(1), x.size(2)}, x.scalar_type(), x);
  fill_patch_mask_args(args, x, mask, 1);
  args.x = rows(source);
  args.mask_token = token.const_data_ptr();
  args.pos = pos ? rows(*pos) : RowsIn{};
  args.pos_is_acc = pos && pos->scalar_type() == acc;
  args.out = output_rows(out);
  const int64_t items = args.channels ? args.batch * args.chunks : 0;
  parallel_items(items, [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_patch_mask, args, begin, end); });
  return out;
}

std::tuple<Tensor, Tensor, Tensor> patch_mask_backward_cpu(Tensor dout_given, Tensor mask, bool pos) {
  const char* op = "patch_mask_backward";
  PatchMaskBackwardArgs args{};
  args.dtype = activation_dtype(op, "dout", dout_given);
  check_rank(op, "dout", dout_given, 3, "(B, P, D)");
  check_mask(op, mask, dout_given, "dout");
  const ScalarType acc = accumulation_type(args.dtype);
  const Tensor dout = with_dense_rows(dout_given);
  const int64_t B = dout.size(0), P = dout.size(1), D = dout.size(2);
  fill_patch_mask_args(args, dout, mask, B);
  Tensor dx = empty({B, P, D}, dout.scalar_type(), dout);
  Tensor dtoken = empty({args.chunks, D}, acc, dout);
  Tensor dpos = pos ? empty({P, D}, acc, dout) : empty({0}, acc, dout);
  if (pos && B == 0) torch::stable::zero_(dpos);
  args.dout = rows(dout);
  args.dx = output_rows(dx);
  args.dmask_token = dtoken.mutable_data_ptr();
  args.dpos = pos ? dpos.mutable_data_ptr() : nullptr;
  const int64_t items = D ? args.chunks : 0;
  parallel_items(items,
                 [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_patch_mask_backward, args, begin, end); });
  return {dx, sum_partials(dtoken, args.chunks, {D}), dpos};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(ssamba, CPU, m) {
  m.impl("patch_mask", TORCH_BOX(&patch_mask_cpu));
  m.impl("patch_mask_backward", TORCH_BOX(&patch_mask_backward_cpu));
}

}  // namespace ssamba
