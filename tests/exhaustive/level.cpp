// Compiled once per instruction set, like the kernels.

#include "../../csrc/cpu/isa.h"
#include "../../csrc/cpu/simd.h"
#include "functions.h"

namespace ssamba {
namespace {

template <auto function>
void apply(const float* x, float* y) {
  for (int i = 0; i < kBlock; i += kLanes<float>) store(y + i, function(load(x + i)));
}

static_assert(kBounded == kExp2Bound);

}  // namespace

template <>
Functions functions<kIsa>() {
  return {
      .exp2 = apply<[](Vec<float> x) { return exp2(Vecs<float, 1>{x}).at[0]; }>,
      .exp2_product = apply<[](Vec<float> x) { return exp2_product<false>(broadcast(1.0f), Vecs<float, 1>{x}).at[0]; }>,
      .exp2_bounded = apply<[](Vec<float> x) { return exp2_product<true>(broadcast(1.0f), Vecs<float, 1>{x}).at[0]; }>,
      .softplus = apply<[](Vec<float> x) { return softplus(Vecs<float, 1>{x}).at[0]; }>,
      .slope = apply<[](Vec<float> x) {
        Vecs<float, 1> slope;
        softplus(Vecs<float, 1>{x}, &slope);
        return slope.at[0];
      }>,
  };
}

}  // namespace ssamba
