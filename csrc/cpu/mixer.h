// What the ops over a whole bidirectional mixer share: its sizes and arrays, and the passes between its first and its
// last product, one parallel region each.
//
// * convolve: u = silu(conv(x)) and [dt, B, C] = W_x u of both directions, a chunk of a clip at a time, while it is in
//   the nearest caches.
//
// * scan: y = (scan + scan) silu(z), split by channels.
#pragma once

#include "products.h"
#include "scan_split.h"

namespace ssamba {

// Float32 and dense all, directions first. What the passes leave each other: xz (rows, 2 E), u (2, rows, E), projected
// (2, rows, r + 2 N), y (rows, E).
struct Mixer {
  int64_t batch, length, width, inner, state, rank, taps;  // B, L, D, E, N, r, W
  const int64_t* lengths;
  const float *x, *conv, *conv_bias, *dt_proj, *dt_bias, *A, *D;
  const float* x_proj;  // packed
  float *xz, *u, *projected, *y;
  float* filters;      // (2, W, E)
  float* checkpoints;  // of the scan, or null

  int64_t rows() const { return batch * length; }
  int64_t projections() const { return rank + 2 * state; }
  int64_t filter_elements() const { return 2 * taps * inner; }
};

inline Mixer mixer_sizes(const char* op, const Tensor& x, const Tensor& conv, const Tensor& dt_proj, const Tensor& A) {
  check_rank(op, "x", x, 3, "(B, L, D)");
  check_rank(op, "A", A, 3, "(2, E, N)");
  check_rank(op, "dt_proj", dt_proj, 3, "(2, E, r)");
  check_rank(op, "conv", conv, 3, "(2, E, W)");
  Mixer m{x.size(0), x.size(1), x.size(2), A.size(1), A.size(2), dt_proj.size(2), conv.size(2)};
  check(m.width >= 1 && m.inner >= 1 && m.state >= 1 && m.rank >= 1 && m.taps >= 1, op, ": x has shape ", shape_of(x),
        ", A ", shape_of(A), ", dt_proj ", shape_of(dt_proj), " and conv ", shape_of(conv),
        "; expected at least one channel, state, number a token and tap");
  return m;
}

// The tensors that are the same in every such op, checked and dense; they keep alive what a Mixer points to.
struct MixerTensors {
  Tensor x, conv, conv_bias, dt_proj, dt_bias, A, D;
  OptionalTensor lengths;

  MixerTensors(const char* op, Mixer& m, const Tensor& x_, const Tensor& conv_, const Tensor& conv_bias_,
               const Tensor& dt_proj_, const Tensor& dt_bias_, const Tensor& A_, const Tensor& D_,
               const OptionalTensor& lengths_)
      : x(x_), conv(conv_), conv_bias(conv_bias_), dt_proj(dt_proj_), dt_bias(dt_bias_), A(A_), D(D_) {
    check_floats(op, "x", x, {m.batch, m.length, m.width}, "(B, L, D)");
    check_floats(op, "conv", conv, {2, m.inner, m.taps}, "(2, E, W)");
    check_floats(op, "conv_bias", conv_bias, {2, m.inner}, "(2, E)");
    check_floats(op, "dt_proj", dt_proj, {2, m.inner, m.rank}, "(2, E, r)");
    check_floats(op, "dt_bias", dt_bias, {2, m.inner}, "(2, E)");
    check_floats(op, "A", A, {2, m.inner, m.state}, "(2, E, N)");
    check_floats(op, "D", D, {2, m.inner}, "(2, E)");
    lengths = check_lengths(op, lengths_, x, m.batch, m.length);
    for (Tensor* one : {&x, &conv, &conv_bias, &dt_proj, &dt_bias, &A, &D}) *one = dense(*one);
    m.x = floats(x), m.conv = floats(conv), m.conv_bias = floats(conv_bias), m.dt_proj = floats(dt_proj);
    m.dt_bias = floats(dt_bias), m.A = floats(A), m.D = floats(D);
    m.lengths = static_cast<const int64_t*>(data(lengths));
  }
};

// The filters (2, E, W) as the convolution reads them: (2, W, E).
inline void transpose_filters(const Mixer& m) {
  for (int64_t r = 0; r < 2; ++r)
    for (int64_t c = 0; c < m.inner; ++c)
      for (int64_t k = 0; k < m.taps; ++k)
        m.filters[(r * m.taps + k) * m.inner + c] = m.conv[(r * m.inner + c) * m.taps + k];
}

inline void fill_conv_args(ConvArgs& args, const Mixer& m) {
  args.dtype = Dtype::float32;
  args.directions = 2, args.batch = m.batch, args.length = m.length, args.channels = m.inner, args.width = m.taps;
  args.reverse[1] = true, args.silu = true, args.lengths = m.lengths;
  args.x = {m.xz, 0, m.length * 2 * m.inner, 2 * m.inner};
  args.weight = m.filters, args.bias = m.conv_bias;
}

inline void convolve(const Mixer& m, bool project = true) {
  transpose_filters(m);
  const int64_t chunk = std::min(m.length, rows_of_item(m.rows())), P = m.projections();
  ConvForwardArgs args{};
  fill_conv_args(args, m);
  args.chunk_tokens = chunk, args.chunks = (m.length + chunk - 1) / chunk;
  args.split_channels = m.inner, args.splits = 1;
  args.out = {m.u, m.rows() * m.inner, m.length * m.inner, m.inner};
  const ProductArgs forward{m.inner, P, m.u, m.inner, m.x_proj, nullptr, m.projected, P};
  ProductArgs backward = forward;
  backward.x += m.rows() * m.inner, backward.out += m.rows() * P;
  backward.weight += panels_of(P) * kPanel * m.inner;
  parallel_items(m.batch * args.chunks, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      SSAMBA_LAUNCH(launch_causal_conv1d, args, item, item + 1);
      if (!project) continue;
      const int64_t first = item % args.chunks * chunk, row = item / args.chunks * m.length + first;
      const int64_t last = row + std::min(chunk, m.length - first);
      multiply(forward, row, last);
      multiply(backward, row, last);
    }
  });
}

inline void fill_scan_args(ScanArgs& args, const Mixer& m) {
  const int64_t P = m.projections(), direction = m.rows() * P;
  args.dtype = Dtype::float32;
  args.directions = 2, args.batch = m.batch, args.length = m.length, args.channels = m.inner, args.groups = 1;
  args.state = m.state, args.rank = m.rank;
  args.reverse[1] = true, args.delta_softplus = true, args.lengths = m.lengths;
  args.u = {m.u, m.rows() * m.inner, m.length * m.inner, m.inner, 0};
  args.delta = {m.projected, direction, m.length * P, P, 0};
  args.B = {m.projected + m.rank, direction, m.length * P, P, 0};
  args.C = {m.projected + m.rank + m.state, direction, m.length * P, P, 0};
  args.z = {m.xz + m.inner, 0, m.length * 2 * m.inner, 2 * m.inner, 0};
  args.A = m.A, args.D = m.D, args.delta_bias = m.dt_bias, args.delta_weight = m.dt_proj;
}

inline void scan(const Mixer& m) {
  ScanForwardArgs args{};
  fill_scan_args(args, m);
  args.out = {m.y, 0, m.length * m.inner, m.inner, 0};
  args.checkpoints = m.checkpoints;
  scan_in_parallel(args);
}

}  // namespace ssamba
