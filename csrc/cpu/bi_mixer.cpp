// A whole bidirectional mixer on the CPU, for inference, in four passes of one parallel region each.
//
// * project_in: [x, z] = W_in s, rows in any order.
//
// * convolve: u = silu(conv(x)) and [dt, B, C] = W_x u of both directions, a chunk of a clip at a time, while it is in
//   the nearest caches.
//
// * scan: y = (scan + scan) silu(z), split by channels.
//
// * project_out: s = times s + W_out y / 2, rows again.
//
// Op by op the same takes a dozen regions, as many tensors, and for a short clip more time around the kernels than in
// them.

#include "../registration.h"
#include "products.h"
#include "scan_split.h"

namespace ssamba {
namespace {

// The sizes, the inputs, and what the passes leave each other in `memory`.
struct Mixer {
  int64_t batch, length, width, inner, state, rank, taps;  // B, L, D, E, N, r, W
  const int64_t* lengths;
  const float *x, *in_proj, *in_bias, *conv, *conv_bias, *x_proj, *dt_proj, *dt_bias, *A, *D, *out_proj;
  float* s;
  float times;
  float *xz, *u, *projected, *y, *filters;

  int64_t rows() const { return batch * length; }
  int64_t half() const { return panels_of(inner) * kPanel; }  // from x to z
  int64_t projections() const { return rank + 2 * state; }
  int64_t memory() const {
    return rows() * (2 * half() + 3 * inner + 2 * projections()) + 2 * taps * inner;  // as mixer_memory in Python
  }
  void lay_out(float* p) {
    xz = p;
    u = xz + rows() * 2 * half();
    projected = u + rows() * 2 * inner;
    y = projected + rows() * 2 * projections();
    filters = y + rows() * inner;
  }
};

void project_in(const Mixer& m) {
  ProductArgs args{m.width, m.inner, m.x, m.width, m.in_proj, m.in_bias, m.xz, 2 * m.half()};
  ProductArgs gate = args;
  gate.weight += m.half() * m.width, gate.out += m.half();
  if (m.in_bias) gate.bias += m.inner;
  parallel_rows(m.rows(), [&](int64_t begin, int64_t end) {
    multiply(args, begin, end);
    multiply(gate, begin, end);
  });
}

// The filters (2, E, W) as the convolution reads them: (2, W, E).
void transpose_filters(const Mixer& m) {
  for (int64_t r = 0; r < 2; ++r)
    for (int64_t c = 0; c < m.inner; ++c)
      for (int64_t k = 0; k < m.taps; ++k)
        m.filters[(r * m.taps + k) * m.inner + c] = m.conv[(r * m.inner + c) * m.taps + k];
}

void convolve(const Mixer& m) {
  transpose_filters(m);
  const int64_t chunk = std::min(m.length, rows_of_item(m.rows())), P = m.projections();
  ConvForwardArgs args{};
  args.dtype = Dtype::float32;
  args.directions = 2, args.batch = m.batch, args.length = m.length, args.channels = m.inner, args.width = m.taps;
  args.chunk_tokens = chunk, args.chunks = (m.length + chunk - 1) / chunk;
  args.split_channels = m.inner, args.splits = 1;
  args.reverse[1] = true, args.silu = true, args.lengths = m.lengths;
  args.x = {m.xz, 0, m.length * 2 * m.half(), 2 * m.half()};
  args.weight = m.filters, args.bias = m.conv_bias;
  args.out = {m.u, m.rows() * m.inner, m.length * m.inner, m.inner};
  const ProductArgs forward{m.inner, P, m.u, m.inner, m.x_proj, nullptr, m.projected, P};
  ProductArgs backward = forward;
  backward.x += m.rows() * m.inner, backward.out += m.rows() * P;
  backward.weight += panels_of(P) * kPanel * m.inner;
  parallel_items(m.batch * args.chunks, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      SSAMBA_LAUNCH(launch_causal_conv1d, args, item, item + 1);
      const int64_t first = item % args.chunks * chunk, row = item / args.chunks * m.length + first;
      const int64_t last = row + std::min(chunk, m.length - first);
      multiply(forward, row, last);
      multiply(backward, row, last);
    }
  });
}

void scan(const Mixer& m) {
  const int64_t P = m.projections(), direction = m.rows() * P;
  ScanForwardArgs args{};
  args.dtype = Dtype::float32;
  args.directions = 2, args.batch = m.batch, args.length = m.length, args.channels = m.inner, args.groups = 1;
  args.state = m.state, args.rank = m.rank;
  args.reverse[1] = true, args.delta_softplus = true, args.lengths = m.lengths;
  args.u = {m.u, m.rows() * m.inner, m.length * m.inner, m.inner, 0};
  args.delta = {m.projected, direction, m.length * P, P, 0};
  args.B = {m.projected + m.rank, direction, m.length * P, P, 0};
  args.C = {m.projected + m.rank + m.state, direction, m.length * P, P, 0};
  args.z = {m.xz + m.half(), 0, m.length * 2 * m.half(), 2 * m.half(), 0};
  args.A = m.A, args.D = m.D, args.delta_bias = m.dt_bias, args.delta_weight = m.dt_proj;
  args.out = {m.y, 0, m.length * m.inner, m.inner, 0};
  scan_in_parallel(args);
}

void project_out(const Mixer& m) {
  ProductArgs args{m.inner, m.width, m.y, m.inner, m.out_proj, nullptr, m.s, m.width};
  args.add = true, args.keep = m.times, args.scale = 0.5f;
  parallel_rows(m.rows(), [&](int64_t begin, int64_t end) { multiply(args, begin, end); });
}

void bi_mixer(Tensor s, OptionalTensor memory, Tensor x, Tensor in_proj, OptionalTensor in_bias, Tensor conv,
              Tensor conv_bias, Tensor x_proj, Tensor dt_proj, Tensor dt_bias, Tensor A, Tensor D, Tensor out_proj,
              double times, OptionalTensor lengths) {
  const char* op = "bi_mixer";
  check_rank(op, "x", x, 3, "(B, L, D)");
  check_rank(op, "A", A, 3, "(2, E, N)");
  check_rank(op, "dt_proj", dt_proj, 3, "(2, E, r)");
  check_rank(op, "conv", conv, 3, "(2, E, W)");
  Mixer m{x.size(0), x.size(1), x.size(2), A.size(1), A.size(2), dt_proj.size(2), conv.size(2)};
  check(m.state >= 1 && m.rank >= 1 && m.taps >= 1, op, ": A has shape ", shape_of(A), ", dt_proj ", shape_of(dt_proj),
        " and conv ", shape_of(conv), "; expected at least one state, one number a token and one tap");
  check_floats(op, "x", x, {m.batch, m.length, m.width}, "(B, L, D)");
  check_floats(op, "s", s, {m.batch, m.length, m.width}, "(B, L, D)");
  check(s.is_contiguous(), op, ": s has strides ", Shape{s.strides().data(), 3},
        "; expected a contiguous tensor, as it is written in place");
  const int64_t panels = panels_of(m.inner), width_panels = panels_of(m.width), P = panels_of(m.projections());
  check_packed(op, "in_proj", in_proj, {2, panels, m.width, kPanel}, "(2, ceil(E / 32), D, 32)");
  check_packed(op, "x_proj", x_proj, {2, P, m.inner, kPanel}, "(2, ceil((r + 2 N) / 32), E, 32)");
  check_packed(op, "out_proj", out_proj, {width_panels, m.inner, kPanel}, "(ceil(D / 32), E, 32)");
  if (in_bias) check_floats(op, "in_bias", *in_bias, {2, m.inner}, "(2, E)");
  check_floats(op, "conv", conv, {2, m.inner, m.taps}, "(2, E, W)");
  check_floats(op, "conv_bias", conv_bias, {2, m.inner}, "(2, E)");
  check_floats(op, "dt_proj", dt_proj, {2, m.inner, m.rank}, "(2, E, r)");
  check_floats(op, "dt_bias", dt_bias, {2, m.inner}, "(2, E)");
  check_floats(op, "A", A, {2, m.inner, m.state}, "(2, E, N)");
  check_floats(op, "D", D, {2, m.inner}, "(2, E)");
  const OptionalTensor all_lengths = check_lengths(op, lengths, x, m.batch, m.length);
  if (memory) {
    check(memory->dim() == 1 && memory->numel() >= m.memory(), op, ": memory has shape ", shape_of(*memory),
          "; expected at least ", m.memory(), " numbers (mixer_memory)");
    check_floats(op, "memory", *memory, {memory->numel()}, "(n,)");
    check(memory->is_contiguous(), op, ": memory is not contiguous");
  }
  if (s.numel() == 0) return;
  const Tensor own = memory ? *memory : empty({m.memory()}, ScalarType::Float, x);
  m.lay_out(static_cast<float*>(own.mutable_data_ptr()));
  const Tensor all[] = {dense(x), dense(conv), dense(conv_bias), dense(dt_proj), dense(dt_bias), dense(A), dense(D)};
  m.x = floats(all[0]), m.conv = floats(all[1]), m.conv_bias = floats(all[2]), m.dt_proj = floats(all[3]);
  m.dt_bias = floats(all[4]), m.A = floats(all[5]), m.D = floats(all[6]);
  const OptionalTensor bias = dense(in_bias);
  m.in_bias = bias ? floats(*bias) : nullptr;
  m.in_proj = floats(in_proj), m.x_proj = floats(x_proj), m.out_proj = floats(out_proj);
  m.lengths = static_cast<const int64_t*>(data(all_lengths));
  m.s = mutable_floats(s), m.times = float(times);
  project_in(m);
  convolve(m);
  scan(m);
  project_out(m);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) { m.impl("bi_mixer", TORCH_BOX(&bi_mixer)); }

}  // namespace ssamba
