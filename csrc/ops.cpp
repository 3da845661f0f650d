// Every op's schema: the table of contents. Shapes and formulas are in the Python function of the same name.

#include "registration.h"

SSAMBA_LIBRARY(SSAMBA_NAMESPACE, m) {
  m.def(
      "bi_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D=None, Tensor? z=None, "
      "Tensor? delta_bias=None, bool delta_softplus=False, Tensor? lengths=None) -> Tensor");
  m.def(
      "bi_scan_forward(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, "
      "Tensor? delta_bias, bool delta_softplus, Tensor? lengths) -> (Tensor out, Tensor checkpoints)");
  m.def(
      "bi_scan_backward(Tensor dout, Tensor checkpoints, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, "
      "Tensor? D, Tensor? z, Tensor? delta_bias, bool delta_softplus, Tensor? lengths) -> (Tensor du, Tensor ddelta, "
      "Tensor dA, Tensor dB, Tensor dC, Tensor dD, Tensor dz, Tensor ddelta_bias)");

  m.def(
      "selective_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D=None, Tensor? z=None, "
      "Tensor? delta_bias=None, bool delta_softplus=False, Tensor? initial_state=None, bool reverse=False, "
      "Tensor? lengths=None) -> (Tensor out, Tensor last_state)");
  m.def(
      "selective_scan_forward(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, "
      "Tensor? delta_bias, bool delta_softplus, Tensor? initial_state, bool reverse, Tensor? lengths) -> "
      "(Tensor out, Tensor last_state, Tensor checkpoints)");
  m.def(
      "selective_scan_backward(Tensor dout, Tensor dlast_state, Tensor checkpoints, Tensor u, Tensor delta, Tensor A, "
      "Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? delta_bias, bool delta_softplus, Tensor? initial_state, "
      "bool reverse, Tensor? lengths) -> (Tensor du, Tensor ddelta, Tensor dA, Tensor dB, Tensor dC, Tensor dD, "
      "Tensor dz, Tensor ddelta_bias, Tensor dinitial_state)");

  m.def(
      "scan_part(Tensor(a!) y, Tensor(b!) state, Tensor u, Tensor dt, Tensor dt_weight, Tensor A, Tensor B, Tensor C, "
      "Tensor D, Tensor dt_bias, Tensor? z, bool reverse, bool add, Tensor? lengths) -> ()");

  m.def(
      "bi_mixer(Tensor x, Tensor in_proj, Tensor? in_bias, Tensor conv, Tensor conv_bias, Tensor x_proj, "
      "Tensor dt_proj, Tensor dt_bias, Tensor A, Tensor D, Tensor out_proj, Tensor? lengths=None) -> Tensor");
  m.def(
      "bi_mixer_forward(Tensor x, Tensor in_proj, Tensor? in_bias, Tensor conv, Tensor conv_bias, Tensor x_proj, "
      "Tensor dt_proj, Tensor dt_bias, Tensor A, Tensor D, Tensor out_proj, Tensor? lengths) -> (Tensor out, "
      "Tensor xz, Tensor projected, Tensor checkpoints)");
  m.def(
      "bi_mixer_backward(Tensor dout, Tensor xz, Tensor projected, Tensor checkpoints, Tensor x, Tensor in_proj, "
      "Tensor? in_bias, Tensor conv, Tensor conv_bias, Tensor x_proj, Tensor dt_proj, Tensor dt_bias, Tensor A, "
      "Tensor D, Tensor out_proj, Tensor? lengths) -> (Tensor dx, Tensor din_proj, Tensor din_bias, Tensor dconv, "
      "Tensor dconv_bias, Tensor dx_proj, Tensor ddt_proj, Tensor ddt_bias, Tensor dA, Tensor dD, Tensor dout_proj)");
  m.def(
      "packed_mixer(Tensor(a!) s, Tensor(b!)? memory, Tensor x, Tensor in_proj, Tensor? in_bias, Tensor conv, "
      "Tensor conv_bias, Tensor x_proj, Tensor dt_proj, Tensor dt_bias, Tensor A, Tensor D, Tensor out_proj, "
      "float times, Tensor? lengths) -> ()");
  m.def("packed_linear(Tensor x, Tensor weight, Tensor? bias, SymInt outputs) -> Tensor");

  m.def(
      "causal_conv1d(Tensor x, Tensor weight, Tensor? bias=None, bool silu=False, Tensor? initial_state=None, "
      "bool reverse=False, Tensor? lengths=None) -> Tensor");
  m.def(
      "causal_conv1d_backward(Tensor dout, Tensor x, Tensor weight, Tensor? bias, bool silu, Tensor? initial_state, "
      "bool reverse, Tensor? lengths) -> (Tensor dx, Tensor dweight, Tensor dbias, Tensor dinitial_state)");

  m.def("bi_conv1d(Tensor x, Tensor weight, Tensor? bias=None, bool silu=False, Tensor? lengths=None) -> Tensor");
  m.def(
      "bi_conv1d_backward(Tensor dout, Tensor x, Tensor weight, Tensor? bias, bool silu, Tensor? lengths) -> "
      "(Tensor dx, Tensor dweight, Tensor dbias)");

  m.def("patch_mask(Tensor x, Tensor mask, Tensor mask_token, Tensor? pos=None) -> Tensor");
  m.def("patch_mask_backward(Tensor dout, Tensor mask, bool pos) -> (Tensor dx, Tensor dmask_token, Tensor dpos)");

  // SymInt, or a compiled call would draw the mask of the first clips' length for good.
  m.def(
      "sample_patch_mask(SymInt batch, SymInt rows, SymInt cols, SymInt masked, SymInt min_cluster, "
      "SymInt max_cluster, SymInt seed) -> Tensor");
  m.def(
      "sample_patch_mask.like(Tensor like, SymInt batch, SymInt rows, SymInt cols, SymInt masked, SymInt min_cluster, "
      "SymInt max_cluster, SymInt seed) -> Tensor");
}
