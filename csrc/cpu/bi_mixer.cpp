// bi_mixer and its gradient on the CPU: a mixer whose products with the large matrices are torch's.
//
// Of the forward walk only x and z, the projections and the scan's checkpoints are kept. The backward pass makes u
// again by the convolution, the step sizes in the scan, and takes y from the scan's own replay.

#include <algorithm>
#include <array>
#include <tuple>

#include "../registration.h"
#include "conv_split.h"
#include "mixer.h"
#include "sum_partials.h"

namespace ssamba {
namespace {

// The inputs, checked and dense, and the sizes that they make.
struct Inputs {
  Mixer m;
  MixerTensors tensors;
  Tensor in_proj, x_proj, out_proj;
  OptionalTensor in_bias;

  Inputs(const char* op, const Tensor& x, const Tensor& in_proj_, const OptionalTensor& in_bias_, const Tensor& conv,
         const Tensor& conv_bias, const Tensor& x_proj_, const Tensor& dt_proj, const Tensor& dt_bias, const Tensor& A,
         const Tensor& D, const Tensor& out_proj_, const OptionalTensor& lengths)
      : m(mixer_sizes(op, x, conv, dt_proj, A)),
        tensors(op, m, x, conv, conv_bias, dt_proj, dt_bias, A, D, lengths),
        in_proj(in_proj_),
        x_proj(dense(x_proj_)),
        out_proj(out_proj_),
        in_bias(in_bias_) {
    check_floats(op, "in_proj", in_proj, {2 * m.inner, m.width}, "(2 E, D)");
    check_floats(op, "x_proj", x_proj, {2, m.projections(), m.inner}, "(2, r + 2 N, E)");
    check_floats(op, "out_proj", out_proj, {m.width, m.inner}, "(D, E)");
    if (in_bias) check_floats(op, "in_bias", *in_bias, {2 * m.inner}, "(2 E,)");
  }

  Tensor make(std::initializer_list<int64_t> shape) const { return empty(shape, ScalarType::Float, tensors.x); }
};

// x W^T + b of any number of rows.
Tensor linear(const Tensor& x, const Tensor& weight, const OptionalTensor& bias) {
  using torch::stable::detail::from;
  std::array<StableIValue, 3> stack{from(x), from(weight), from(bias)};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::linear", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}
using torch::stable::matmul;
Tensor transpose(const Tensor& x) { return torch::stable::transpose(x, -2, -1); }
Tensor as_rows(const Tensor& x) { return torch::stable::reshape(x, {-1, x.size(x.dim() - 1)}); }
Tensor sum_of_rows(const Tensor& x) {
  const int64_t rows = 0;
  return torch::stable::sum(x, torch::headeronly::IntHeaderOnlyArrayRef(&rows, 1));
}
Tensor zeros_like(const Tensor& x) {
  Tensor zeros = empty_like(x, ScalarType::Float);
  return torch::stable::zero_(zeros);
}

int64_t checkpoint_count(const Mixer& m) { return (m.length + kCpuCheckpointTokens - 1) / kCpuCheckpointTokens; }

// The first r numbers of each row of the projections: (2, B L, r).
Tensor time_steps(const Mixer& m, const Tensor& projected) {
  Tensor rows = torch::stable::reshape(projected, {2, m.rows(), m.projections()});
  return torch::stable::narrow(rows, 2, 0, m.rank);
}

// Both directions' matrices packed, (2, panels, inner, kPanel): output o of input k is at
// matrices[o * output_stride + k * input_stride], the other direction's behind them.
Tensor pack_both(const Inputs& in, const float* matrices, int64_t outputs, int64_t inner, int64_t output_stride,
                 int64_t input_stride) {
  constexpr int64_t kInputs = 16;  // at once, so that a line that was read is still at hand when its next number is
  const int64_t panels = panels_of(outputs);
  Tensor packed = in.make({2, panels, inner, kPanel});
  parallel_items(2 * panels, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item % panels * kPanel, count = std::min(outputs - first, kPanel);
      const float* matrix = matrices + item / panels * outputs * inner + first * output_stride;
      float* panel = mutable_floats(packed) + item * inner * kPanel;
      if (count < kPanel) std::fill_n(panel, inner * kPanel, 0.0f);
      for (int64_t k0 = 0; k0 < inner; k0 += kInputs)
        for (int64_t o = 0; o < count; ++o)
          for (int64_t k = k0; k < std::min(k0 + kInputs, inner); ++k)
            panel[k * kPanel + o] = matrix[o * output_stride + k * input_stride];
    }
  });
  return packed;
}

struct Kept {
  Tensor out, xz, projected, checkpoints;
};

Kept forward(Inputs&& in, bool keep) {
  Mixer& m = in.m;
  const int64_t E = m.inner, P = m.projections();
  Tensor xz = linear(in.tensors.x, in.in_proj, in.in_bias), projected = in.make({2, m.batch, m.length, P});
  Tensor checkpoints = in.make({2, m.batch, keep ? checkpoint_count(m) : 0, m.state, E});
  Tensor u = in.make({2, m.rows(), E}), y = in.make({m.batch, m.length, E}), filters = in.make({m.filter_elements()});
  if (m.rows() > 0) {
    const Tensor x_proj = pack_both(in, floats(in.x_proj), P, E, E, 1);
    m.x_proj = floats(x_proj), m.xz = mutable_floats(xz), m.projected = mutable_floats(projected);
    m.u = mutable_floats(u), m.y = mutable_floats(y), m.filters = mutable_floats(filters);
    m.checkpoints = keep ? mutable_floats(checkpoints) : nullptr;
    convolve(m);
    scan(m);
  }
  return {linear(y, in.out_proj, std::nullopt), xz, projected, checkpoints};
}

// Gradients of a mixer's arrays and of its small parameters; the latter in parts, of clips or of chunks of them.
struct Gradients {
  Tensor xz, u, delta, projected;  // (B, L, 2 E), (2, B L, E) twice, (2, B L, r + 2 N)
  Tensor B, C;                     // parts (S, 2, B L, N)
  Tensor A, D, dt_bias;            // (B, 2, E, N), (B, 2, E) twice
  Tensor conv, conv_bias;          // (chunks, 2, W, E), (chunks, 2, E)
};

void scan_backward(const Inputs& in, const Tensor& dy, Gradients& g) {
  const Mixer& m = in.m;
  const int64_t E = m.inner, N = m.state, rows = m.rows();
  ScanBackwardArgs args{};
  fill_scan_args(args, m);
  split_backward(args);
  g.B = in.make({splits(args), 2, rows, N}), g.C = in.make({splits(args), 2, rows, N});
  g.A = in.make({m.batch, 2, E, N}), g.D = in.make({m.batch, 2, E}), g.dt_bias = in.make({m.batch, 2, E});
  args.dout = {dy.const_data_ptr(), 0, m.length * E, E, 0};
  args.checkpoints = m.checkpoints;
  args.du = {mutable_floats(g.u), rows * E, m.length * E, E, 0};
  args.ddelta = {mutable_floats(g.delta), rows * E, m.length * E, E, 0};
  args.dz = {mutable_floats(g.xz) + E, 0, m.length * 2 * E, 2 * E, 0};
  args.out = {m.y, 0, m.length * E, E, 0};
  args.dA = mutable_floats(g.A), args.dB = mutable_floats(g.B), args.dC = mutable_floats(g.C);
  args.dD = mutable_floats(g.D), args.ddelta_bias = mutable_floats(g.dt_bias);
  scan_backward_in_parallel(args);
}

// From the gradients of the step sizes and the parts of dB and dC to those of the projections, and from there to u.
void project_backward(const Inputs& in, Gradients& g) {
  const Mixer& m = in.m;
  const int64_t E = m.inner, N = m.state, P = m.projections(), r = m.rank, rows = m.rows(), parts = g.B.size(0);
  const Tensor dt_proj = pack_both(in, m.dt_proj, r, E, 1, r), x_proj = pack_both(in, floats(in.x_proj), E, P, 1, E);
  const auto sum = [&](float* out, const float* part) {
    std::copy_n(part, N, out);
    for (int64_t i = 1; i < parts; ++i)
      for (int64_t n = 0; n < N; ++n) out[n] += part[i * 2 * rows * N + n];
  };
  parallel_rows(rows, [&](int64_t begin, int64_t end) {
    for (int64_t direction = 0; direction < 2; ++direction) {
      const int64_t first = direction * rows;
      float *projected = mutable_floats(g.projected) + first * P, *u = mutable_floats(g.u) + first * E;
      const float* delta = floats(g.delta) + first * E;
      const float* to_step = floats(dt_proj) + direction * panels_of(r) * kPanel * E;
      const float* to_u = floats(x_proj) + direction * panels_of(E) * kPanel * P;
      multiply({E, r, delta, E, to_step, nullptr, projected, P}, begin, end);
      for (int64_t row = begin; row < end; ++row) {
        sum(projected + row * P + r, floats(g.B) + (first + row) * N);
        sum(projected + row * P + r + N, floats(g.C) + (first + row) * N);
      }
      multiply({P, E, projected, P, to_u, nullptr, u, E, true, 1}, begin, end);
    }
  });
}

void convolve_backward(const Inputs& in, Gradients& g) {
  const Mixer& m = in.m;
  const int64_t E = m.inner;
  ConvBackwardArgs args{};
  fill_conv_args(args, m);
  split_tokens(args);
  g.conv = in.make({m.batch * args.chunks, 2, m.taps, E}), g.conv_bias = in.make({m.batch * args.chunks, 2, E});
  args.dout = {g.u.const_data_ptr(), m.rows() * E, m.length * E, E};
  args.dx = {mutable_floats(g.xz), 0, m.length * 2 * E, 2 * E};
  args.dweight = mutable_floats(g.conv), args.dbias = mutable_floats(g.conv_bias);
  convolve_backward_in_parallel(args);
}

Tensor bi_mixer(Tensor x, Tensor in_proj, OptionalTensor in_bias, Tensor conv, Tensor conv_bias, Tensor x_proj,
                Tensor dt_proj, Tensor dt_bias, Tensor A, Tensor D, Tensor out_proj, OptionalTensor lengths) {
  return forward(Inputs("bi_mixer", x, in_proj, in_bias, conv, conv_bias, x_proj, dt_proj, dt_bias, A, D, out_proj,
                        lengths),
                 false)
      .out;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> bi_mixer_forward(Tensor x, Tensor in_proj, OptionalTensor in_bias,
                                                            Tensor conv, Tensor conv_bias, Tensor x_proj,
                                                            Tensor dt_proj, Tensor dt_bias, Tensor A, Tensor D,
                                                            Tensor out_proj, OptionalTensor lengths) {
  const Kept kept = forward(
      Inputs("bi_mixer", x, in_proj, in_bias, conv, conv_bias, x_proj, dt_proj, dt_bias, A, D, out_proj, lengths),
      true);
  return {kept.out, kept.xz, kept.projected, kept.checkpoints};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> bi_mixer_backward(
    Tensor dout, Tensor xz, Tensor projected, Tensor checkpoints, Tensor x, Tensor in_proj, OptionalTensor in_bias,
    Tensor conv, Tensor conv_bias, Tensor x_proj, Tensor dt_proj, Tensor dt_bias, Tensor A, Tensor D, Tensor out_proj,
    OptionalTensor lengths) {
  const char* op = "bi_mixer_backward";
  Inputs in(op, x, in_proj, in_bias, conv, conv_bias, x_proj, dt_proj, dt_bias, A, D, out_proj, lengths);
  Mixer& m = in.m;
  const int64_t E = m.inner, N = m.state, P = m.projections(), rows = m.rows();
  check_floats(op, "dout", dout, {m.batch, m.length, m.width}, "(B, L, D)");
  check_floats(op, "xz", xz, {m.batch, m.length, 2 * E}, "(B, L, 2 E)");
  check_floats(op, "projected", projected, {2, m.batch, m.length, P}, "(2, B, L, r + 2 N)");
  check_floats(op, "checkpoints", checkpoints, {2, m.batch, checkpoint_count(m), N, E}, "(2, B, K, N, E)");
  if (rows == 0)
    return {zeros_like(x),       zeros_like(in_proj),   in_bias ? zeros_like(*in_bias) : in.make({0}),
            zeros_like(conv),    zeros_like(conv_bias), zeros_like(x_proj),
            zeros_like(dt_proj), zeros_like(dt_bias),   zeros_like(A),
            zeros_like(D),       zeros_like(out_proj)};
  Tensor kept[] = {dense(xz), dense(projected), dense(checkpoints)};
  Tensor u = in.make({2, rows, E}), y = in.make({rows, E}), filters = in.make({m.filter_elements()});
  m.xz = const_cast<float*>(floats(kept[0])), m.projected = const_cast<float*>(floats(kept[1]));  // read only
  m.checkpoints = const_cast<float*>(floats(kept[2]));
  m.u = mutable_floats(u), m.y = mutable_floats(y), m.filters = mutable_floats(filters);

  const Tensor dout_rows = as_rows(dout);
  Gradients g;
  g.xz = in.make({m.batch, m.length, 2 * E}), g.projected = in.make({2, rows, P});
  g.u = in.make({2, rows, E}), g.delta = in.make({2, rows, E});
  convolve(m, false);
  scan_backward(in, matmul(dout_rows, out_proj), g);
  project_backward(in, g);
  convolve_backward(in, g);
  return {matmul(g.xz, in_proj),
          matmul(transpose(as_rows(g.xz)), as_rows(in.tensors.x)),
          in_bias ? sum_of_rows(as_rows(g.xz)) : in.make({0}),
          dense(transpose(sum_partials(g.conv, {2, m.taps, E}))),
          sum_partials(g.conv_bias, {2, E}),
          matmul(transpose(g.projected), u),
          matmul(transpose(g.delta), time_steps(m, kept[1])),
          sum_partials(g.dt_bias, {2, E}),
          sum_partials(g.A, {2, E, N}),
          sum_partials(g.D, {2, E}),
          matmul(transpose(dout_rows), y)};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) {
  m.impl("bi_mixer", TORCH_BOX(&bi_mixer));
  m.impl("bi_mixer_forward", TORCH_BOX(&bi_mixer_forward));
  m.impl("bi_mixer_backward", TORCH_BOX(&bi_mixer_backward));
}

}  // namespace ssamba
