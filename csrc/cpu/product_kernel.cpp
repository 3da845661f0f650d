// Products of a few rows with a packed matrix.
//
// A block of rows and two vectors of outputs stay in registers while the inner axis is walked: for each of its steps
// two loads of the matrix and one broadcast a row serve two multiply-adds a row. What is read of the matrix stays in
// the nearest caches while the rows go by: a line for each step of the inner axis.

#include "../product.h"
#include "isa.h"
#include "kernels.h"
#include "simd.h"

namespace ssamba {
namespace {

constexpr int kVectors = 2;
constexpr int kRowBlock = kVectorRegisters == 32 ? 12 : 6;
static_assert(kPanel % (kVectors * kLanes<float>) == 0);

// Rows x[0..kRows) times the outputs from `output` on.
template <int kRows>
inline void multiply_block(const ProductArgs& args, int64_t row, int64_t output) {
  constexpr int lanes = kLanes<float>;
  const float* weight = args.weight + output / kPanel * kPanel * args.inner + output % kPanel;
  const float* x[kRows];
  Vec<float> sum[kRows][kVectors] = {};
  SSAMBA_LANES
  for (int r = 0; r < kRows; ++r) x[r] = args.x + (row + r) * args.x_stride;
  for (int64_t k = 0; k < args.inner; ++k, weight += kPanel) {
    Vec<float> w[kVectors];
    SSAMBA_LANES
    for (int v = 0; v < kVectors; ++v) w[v] = load(weight + v * lanes);
    SSAMBA_LANES
    for (int r = 0; r < kRows; ++r) {
      const Vec<float> value = broadcast(x[r][k]);
      SSAMBA_LANES
      for (int v = 0; v < kVectors; ++v) sum[r][v] += value * w[v];
    }
  }
  SSAMBA_LANES
  for (int v = 0; v < kVectors; ++v) {
    const int64_t first = output + v * lanes, left = args.outputs - first;
    if (left <= 0) return;
    const int count = int(left < lanes ? left : lanes);
    const Vec<float> bias = args.bias ? load_first<Vec<float>>(args.bias + first, count) : Vec<float>{};
    SSAMBA_LANES
    for (int r = 0; r < kRows; ++r) {
      float* out = args.out + (row + r) * args.out_stride + first;
      Vec<float> value = sum[r][v] + bias;
      if (args.add) value = args.keep * load_first<Vec<float>>(out, count) + args.scale * value;
      store_first(out, value, count);
    }
  }
}

// The rows that are left behind the last whole block.
template <int kRows>
inline void multiply_rest(const ProductArgs& args, int64_t row, int64_t rows, int64_t output) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return multiply_block<kRows>(args, row, output);
    multiply_rest<kRows - 1>(args, row, rows, output);
  }
}

}  // namespace

template <>
void launch_product<kIsa>(const ProductArgs& args, int64_t begin, int64_t end) {
  for (int64_t output = 0; output < args.outputs; output += kVectors * kLanes<float>) {
    int64_t row = begin;
    for (; end - row >= kRowBlock; row += kRowBlock) multiply_block<kRowBlock>(args, row, output);
    multiply_rest<kRowBlock - 1>(args, row, end - row, output);
  }
}

}  // namespace ssamba
