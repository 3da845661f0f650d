// From tensors to rows, and the check of the parameters that go with them.
#pragma once

#include "rows.h"
#include "tensor.h"

namespace ssamba {

// A tensor (R, B, L, D), (B, L, D) or (L, D) whose last axis is dense, as rows.
inline RowsIn rows(const Tensor& x) {
  const int64_t rank = x.dim();
  return {x.const_data_ptr(), rank == 4 ? x.stride(0) : 0, rank >= 3 ? x.stride(rank - 3) : 0, x.stride(rank - 2)};
}

inline RowsOut output_rows(Tensor& x) {
  const RowsIn in = rows(x);
  return {x.mutable_data_ptr(), in.direction, in.batch, in.time};
}

// Parameters are in the dtype of the activations, or wider: in that of the sums.
inline void check_parameter(const char* op, const char* name, const Tensor& parameter, const Tensor& activation,
                            const char* activation_name) {
  const ScalarType own = activation.scalar_type(), wide = own == ScalarType::Double ? own : ScalarType::Float;
  const ScalarType found = parameter.scalar_type();
  check(found == own || found == wide, op, ": ", name, " is ", dtype_text(found), " and ", activation_name, " is ",
        dtype_text(own), "; expected ", name, " as ", dtype_text(own), own == wide ? "" : " or float32");
  check_device(op, name, parameter, activation, activation_name);
}

}  // namespace ssamba
