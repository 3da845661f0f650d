// The element types of the ops' activations, and of their sums.
#pragma once

namespace ssamba {

enum class Dtype { float32, float64, float16, bfloat16 };

template <typename in_t>
struct AccOf {
  using type = float;
};
template <>
struct AccOf<double> {
  using type = double;
};
// The type that sums and states are kept in.
template <typename in_t>
using Acc = typename AccOf<in_t>::type;

}  // namespace ssamba
