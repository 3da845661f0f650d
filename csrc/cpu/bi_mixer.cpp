// A whole bidirectional mixer on the CPU, for inference: four passes, each of them one parallel region.
//
//   [x, z] = W_in s          rows, any thread
//   u = silu(conv(x)), [dt, B, C] = W_x u      of both directions, a chunk of a clip at a time, while it is in the
//   caches y = (scan + scan) silu(z)                 split by channels s = times s + W_out y / 2                 rows
//
// Called op by op, the same takes a dozen regions, as many tensors, and for a short clip more time around the kernels
// than in them.

#include "../registration.h"
#include "packed_matrix.h"
#include "scan_split.h"

namespace ssamba {
namespace {

// What the passes leave each other, one after the other in one tensor.
struct Passes {
  int64_t rows, half, inner, projected;  // clips times tokens; stride from x to z; E; r + 2 N
  float *xz = nullptr, *u = nullptr, *projection = nullptr, *y = nullptr, *taps = nullptr;

  int64_t elements(int64_t width) const {
    return rows * (2 * half + 2 * inner + 2 * projected + inner) + 2 * width * inner;
  }
  void lay_out(float* p) {
    for (auto [piece, size] : {std::pair{&xz, 2 * half}, {&u, 2 * inner}, {&projection, 2 * projected}, {&y, inner}}) {
      *piece = p;
      p += rows * size;
    }
    taps = p;
  }
};

// The filters (2, E, W) as the convolution reads them: (2, W, E).
void transpose_taps(float* taps, const float* conv, int64_t inner, int64_t width) {
  for (int64_t r = 0; r < 2; ++r)
    for (int64_t c = 0; c < inner; ++c)
      for (int64_t k = 0; k < width; ++k) taps[(r * width + k) * inner + c] = conv[(r * inner + c) * width + k];
}

void bi_mixer(Tensor s, Tensor x, Tensor in_proj, OptionalTensor in_bias, Tensor conv, Tensor conv_bias, Tensor x_proj,
              Tensor dt_proj, Tensor dt_bias, Tensor A, Tensor D, Tensor out_proj, double times,
              OptionalTensor lengths) {
  const char* op = "bi_mixer";
  check_rank(op, "x", x, 3, "(B, L, D)");
  check_rank(op, "A", A, 3, "(2, E, N)");
  check_rank(op, "dt_proj", dt_proj, 3, "(2, E, r)");
  check_rank(op, "conv", conv, 3, "(2, E, W)");
  const int64_t batch = x.size(0), length = x.size(1), width = x.size(2), inner = A.size(1), state = A.size(2);
  const int64_t rank = dt_proj.size(2), taps = conv.size(2), panels = panels_of(inner);
  check(state >= 1 && rank >= 1 && taps >= 1, op, ": A has shape ", shape_of(A), ", dt_proj ", shape_of(dt_proj),
        " and conv ", shape_of(conv), "; expected at least one state, one number a token and one tap");
  Passes passes{batch * length, panels * kPanel, inner, rank + 2 * state};
  check_floats(op, "x", x, {batch, length, width}, "(B, L, D)");
  check_floats(op, "s", s, {batch, length, width}, "(B, L, D)");
  check(s.is_contiguous(), op, ": s has strides ", Shape{s.strides().data(), 3},
        "; expected a contiguous tensor, as it is written in place");
  check_packed(op, "in_proj", in_proj, {2, panels, width, kPanel}, "(2, ceil(E / 32), D, 32)");
  check_packed(op, "x_proj", x_proj, {2, panels_of(passes.projected), inner, kPanel},
               "(2, ceil((r + 2 N) / 32), E, 32)");
  check_packed(op, "out_proj", out_proj, {panels_of(width), inner, kPanel}, "(ceil(D / 32), E, 32)");
  if (in_bias) check_floats(op, "in_bias", *in_bias, {2, inner}, "(2, E)");
  check_floats(op, "conv", conv, {2, inner, taps}, "(2, E, W)");
  check_floats(op, "conv_bias", conv_bias, {2, inner}, "(2, E)");
  check_floats(op, "dt_proj", dt_proj, {2, inner, rank}, "(2, E, r)");
  check_floats(op, "dt_bias", dt_bias, {2, inner}, "(2, E)");
  check_floats(op, "A", A, {2, inner, state}, "(2, E, N)");
  check_floats(op, "D", D, {2, inner}, "(2, E)");
  const OptionalTensor all_lengths = check_lengths(op, lengths, x, batch, length);
  if (s.numel() == 0) return;
  const Tensor read = dense(x), conv_weight = dense(conv), bias = dense(conv_bias), dt_weight = dense(dt_proj);
  const Tensor step_bias = dense(dt_bias), decay = dense(A), skip = dense(D);
  const OptionalTensor input_bias = dense(in_bias);
  Tensor memory = empty({passes.elements(taps)}, ScalarType::Float, x);
  passes.lay_out(mutable_floats(memory));
  const int64_t rows = passes.rows, half = passes.half, projected = passes.projected;
  const auto* valid = static_cast<const int64_t*>(data(all_lengths));

  ProductArgs in{width, inner, floats(read), width, floats(in_proj), nullptr, passes.xz, 2 * half};
  parallel_rows(rows, [&](int64_t begin, int64_t end) {
    ProductArgs part = in;
    for (int64_t r = 0; r < 2; ++r) {
      part.bias = input_bias ? floats(*input_bias) + r * inner : nullptr;
      part.out = in.out + r * half;
      multiply(part, begin, end);
      part.weight += panels * width * kPanel;
    }
  });

  transpose_taps(passes.taps, floats(conv_weight), inner, taps);
  ConvForwardArgs convolution{};
  convolution.dtype = Dtype::float32;
  convolution.directions = 2, convolution.batch = batch, convolution.length = length, convolution.channels = inner;
  convolution.width = taps;
  const int64_t chunk = std::min(length, rows_of_item(rows));
  convolution.chunk_tokens = chunk, convolution.chunks = (length + chunk - 1) / chunk;
  convolution.split_channels = inner, convolution.splits = 1;
  convolution.reverse[1] = true, convolution.silu = true, convolution.lengths = valid;
  convolution.x = {passes.xz, 0, length * 2 * half, 2 * half};
  convolution.weight = passes.taps, convolution.bias = floats(bias);
  convolution.out = {passes.u, rows * inner, length * inner, inner};
  ProductArgs project{inner, projected, passes.u, inner, floats(x_proj), nullptr, passes.projection, projected};
  parallel_items(batch * convolution.chunks, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      SSAMBA_LAUNCH(launch_causal_conv1d, convolution, item, item + 1);
      const int64_t first = item % convolution.chunks * chunk, row = item / convolution.chunks * length + first;
      ProductArgs part = project;
      for (int64_t r = 0; r < 2; ++r) {
        multiply(part, row, row + std::min(chunk, length - first));
        part.x += rows * inner, part.out += rows * projected;
        part.weight += panels_of(projected) * inner * kPanel;
      }
    }
  });

  ScanForwardArgs scan{};
  scan.dtype = Dtype::float32;
  scan.directions = 2, scan.batch = batch, scan.length = length, scan.channels = inner, scan.groups = 1;
  scan.state = state, scan.rank = rank;
  scan.reverse[1] = true, scan.delta_softplus = true, scan.lengths = valid;
  const auto projected_from = [&](int64_t first) {
    return Input{passes.projection + first, rows * projected, length * projected, projected, 0};
  };
  scan.u = {passes.u, rows * inner, length * inner, inner};
  scan.delta = projected_from(0), scan.B = projected_from(rank), scan.C = projected_from(rank + state);
  scan.z = {passes.xz + half, 0, length * 2 * half, 2 * half};
  scan.A = floats(decay), scan.D = floats(skip), scan.delta_bias = floats(step_bias);
  scan.delta_weight = floats(dt_weight);
  scan.out = {passes.y, 0, length * inner, inner};
  scan_in_parallel(scan);

  ProductArgs out{inner, width, passes.y, inner, floats(out_proj), nullptr, mutable_floats(s), width};
  out.add = true, out.keep = float(times), out.scale = 0.5f;
  parallel_rows(rows, [&](int64_t begin, int64_t end) { multiply(out, begin, end); });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) { m.impl("bi_mixer", TORCH_BOX(&bi_mixer)); }

}  // namespace ssamba
