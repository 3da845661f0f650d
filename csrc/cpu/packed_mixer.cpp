// A whole bidirectional mixer on the CPU, in place and on packed matrices: for inference.

#include "../registration.h"
#include "mixer.h"

namespace ssamba {
namespace {

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

void packed_mixer(Tensor s, OptionalTensor memory, Tensor x, Tensor in_proj, OptionalTensor in_bias, Tensor conv,
                  Tensor conv_bias, Tensor x_proj, Tensor dt_proj, Tensor dt_bias, Tensor A, Tensor D, Tensor out_proj,
                  double times, OptionalTensor lengths) {
  const char* op = "packed_mixer";
  Mixer m = mixer_sizes(op, x, conv, dt_proj, A);
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
  m.out.out = mutable_floats(s);
  m.out.add = true, m.out.keep = float(times), m.out.scale = 0.5f;
  run(m);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(SSAMBA_NAMESPACE, CPU, m) { m.impl("packed_mixer", TORCH_BOX(&packed_mixer)); }

}  // namespace ssamba
