// A whole bidirectional mixer on the CPU, in place and on packed matrices, for inference: the passes of mixer.h between
// two more, project_in and project_out, each over rows in any order.
//
// Op by op the same takes a dozen regions, as many tensors, and for a short clip more time around the kernels than in
// them.

#include "../registration.h"
#include "mixer.h"

namespace ssamba {
namespace {

struct PackedMixer : Mixer {
  const float *in_proj, *in_bias, *out_proj;
  float* s;
  float times;
};

int64_t memory_of(const Mixer& m) {
  return m.rows() * (5 * m.inner + 2 * m.projections()) + m.filter_elements();  // mixer_memory in Python
}

void lay_out(Mixer& m, float* p) {
  m.xz = p;
  m.u = m.xz + 2 * m.rows() * m.inner;
  m.projected = m.u + m.rows() * 2 * m.inner;
  m.y = m.projected + m.rows() * 2 * m.projections();
  m.filters = m.y + m.rows() * m.inner;
}

void project_in(const PackedMixer& m) {
  ProductArgs x{m.width, m.inner, m.x, m.width, m.in_proj, m.in_bias, m.xz, 2 * m.inner};
  ProductArgs z = x;
  z.weight += panels_of(m.inner) * kPanel * m.width, z.out += m.inner;
  if (m.in_bias) z.bias += m.inner;
  parallel_rows(m.rows(), [&](int64_t begin, int64_t end) {
    multiply(x, begin, end);
    multiply(z, begin, end);
  });
}

void project_out(const PackedMixer& m) {
  ProductArgs args{m.inner, m.width, m.y, m.inner, m.out_proj, nullptr, m.s, m.width};
  args.add = true, args.keep = m.times, args.scale = 0.5f;
  parallel_rows(m.rows(), [&](int64_t begin, int64_t end) { multiply(args, begin, end); });
}

void packed_mixer(Tensor s, OptionalTensor memory, Tensor x, Tensor in_proj, OptionalTensor in_bias, Tensor conv,
                  Tensor conv_bias, Tensor x_proj, Tensor dt_proj, Tensor dt_bias, Tensor A, Tensor D, Tensor out_proj,
                  double times, OptionalTensor lengths) {
  const char* op = "packed_mixer";
  PackedMixer m{mixer_sizes(op, x, conv, dt_proj, A)};
  const MixerTensors tensors(op, m, x, conv, conv_bias, dt_proj, dt_bias, A, D, lengths);
  check_floats(op, "s", s, {m.batch, m.length, m.width}, "(B, L, D)");
  check(s.is_contiguous(), op, ": s has strides ", Shape{s.strides().data(), 3},
        "; expected a contiguous tensor, as it is written in place");
  const int64_t panels = panels_of(m.inner), width_panels = panels_of(m.width), P = panels_of(m.projections());
  check_packed(op, "in_proj", in_proj, {2, panels, m.width, kPanel}, "(2, ceil(E / 32), D, 32)");
  check_packed(op, "x_proj", x_proj, {2, P, m.inner, kPanel}, "(2, ceil((r + 2 N) / 32), E, 32)");
  check_packed(op, "out_proj", out_proj, {width_panels, m.inner, kPanel}, "(ceil(D / 32), E, 32)");
  if (in_bias) check_floats(op, "in_bias", *in_bias, {2, m.inner}, "(2, E)");
  if (memory) {
    check(memory->dim() == 1 && memory->numel() >= memory_of(m), op, ": memory has shape ", shape_of(*memory),
          "; expected at least ", memory_of(m), " numbers (mixer_memory)");
    check_floats(op, "memory", *memory, {memory->numel()}, "(n,)");
    check(memory->is_contiguous(), op, ": memory is not contiguous");
  }
  if (s.numel() == 0) return;
  const Tensor own = memory ? *memory : empty({memory_of(m)}, ScalarType::Float, x);
  lay_out(m, static_cast<float*>(own.mutable_data_ptr()));
  const OptionalTensor bias = dense(in_bias);
  m.in_bias = bias ? floats(*bias) : nullptr;
  m.in_proj = floats(in_proj), m.x_proj = floats(x_proj), m.out_proj = floats(out_proj);
  m.s = mutable_floats(s), m.times = float(times);
  project_in(m);
  convolve(m);
  scan(m);
  project_out(m);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) { m.impl("packed_mixer", TORCH_BOX(&packed_mixer)); }

}  // namespace ssamba
