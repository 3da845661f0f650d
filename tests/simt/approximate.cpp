#include "approximate.h"

#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdint>

namespace simt {
namespace {

std::uint64_t seed = 0;

// In [-1, 1], by the operands; often at its ends, where a bound is met or missed.
double drawn(float x, float y) {
  std::uint64_t bits = seed * 0x9e3779b97f4a7c15u ^ std::uint64_t(std::bit_cast<std::uint32_t>(x)) << 32 ^
                       std::bit_cast<std::uint32_t>(y);
  for (int i = 0; i < 2; ++i) bits = (bits ^ bits >> 31) * 0xd6e8feb86659fd93u;
  const double uniform = double(bits >> 11) * 0x1p-52 - 1;
  return uniform < -0.5 ? -1 : uniform > 0.5 ? 1 : 2 * uniform;
}

float flushed(float x) { return std::fabs(x) < FLT_MIN ? std::copysign(0.0f, x) : x; }

}  // namespace

float ex2_approx_ftz(float x) {
  x = flushed(x);
  if (x == 0 || std::isnan(x) || std::isinf(x)) return std::exp2(x);
  return flushed(float(std::exp2(double(x)) * (1 + drawn(x, 0) * 0x1p-22)));
}

float div_approx(float x, float y) {
  const float size = std::fabs(y);
  if (size > 0x1p126f && size <= FLT_MAX) return std::isinf(x) ? NAN : std::copysign(0.0f, x) * std::copysign(1.0f, y);
  if (x == 0 || size == 0 || !std::isfinite(x) || !std::isfinite(y)) return x / y;
  const double exact = double(x) / double(y);
  const double unit = std::ldexp(1.0, std::ilogb(exact) - 23);
  return float(exact + drawn(x, y) * 1.5 * unit);  // rounding to a float adds half a unit
}

}  // namespace simt

// Chooses by how much results are off.
extern "C" __attribute__((visibility("default"))) void ssamba_simt_error_seed(std::uint64_t value) {
  simt::seed = value;
}
