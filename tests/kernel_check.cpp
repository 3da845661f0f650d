// Runs the scan kernel of one instruction set, without torch, against the definition in plain loops: for processors
// that the Python tests do not run on, under an emulator. Prints the largest relative error; exits 1 if it is too
// large.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "../csrc/cpu/kernels.h"

using namespace ssamba;

namespace {

constexpr int64_t B = 2, L = 37, D = 21, N = 19;

std::vector<float> normal(std::size_t count, float shift, float scale) {
  static std::mt19937 generator(0);
  std::normal_distribution<float> distribution(shift, scale);
  std::vector<float> values(count);
  for (float& x : values) x = distribution(generator);
  return values;
}

}  // namespace

int main() {
  const auto u = normal(2 * B * L * D, 0, 1), delta = normal(2 * B * L * D, -1, 1), z = normal(B * L * D, 0, 1);
  const auto Bs = normal(2 * B * L * N, 0, 1), Cs = normal(2 * B * L * N, 0, 1), skip = normal(2 * D, 0, 1);
  auto A = normal(2 * D * N, 0, 2);
  for (float& x : A) x = -std::fabs(x);
  std::vector<float> out(B * L * D);

  ScanForwardArgs args{};
  args.dtype = Dtype::float32;
  args.directions = 2, args.batch = B, args.length = L, args.channels = D, args.groups = 1, args.state = N;
  args.split_channels = D;
  args.reverse[1] = true;
  args.delta_softplus = true;
  args.u = {u.data(), B * L * D, L * D, D, 0};
  args.delta = {delta.data(), B * L * D, L * D, D, 0};
  args.z = {z.data(), 0, L * D, D, 0};
  args.B = {Bs.data(), B * L * N, L * N, N, 0};
  args.C = {Cs.data(), B * L * N, L * N, N, 0};
  args.A = A.data();
  args.D = skip.data();
  args.out = {out.data(), 0, L * D, D, 0};
  launch_scan<Isa::baseline>(args, 0, B);

  double worst = 0, largest = 0;
  for (int64_t b = 0; b < B; ++b)
    for (int64_t d = 0; d < D; ++d) {
      std::vector<double> y(L);
      for (int64_t r = 0; r < 2; ++r) {
        std::vector<double> h(N);
        for (int64_t i = 0; i < L; ++i) {
          const int64_t t = r ? L - 1 - i : i, token = (r * B + b) * L + t;
          const double step = std::log1p(std::exp(double(delta[token * D + d]))), x = u[token * D + d];
          y[t] += skip[r * D + d] * x;
          for (int64_t n = 0; n < N; ++n) {
            h[n] = std::exp(step * A[(r * D + d) * N + n]) * h[n] + step * Bs[token * N + n] * x;
            y[t] += h[n] * Cs[token * N + n];
          }
        }
      }
      for (int64_t t = 0; t < L; ++t) {
        const double gate = z[(b * L + t) * D + d], expected = y[t] * gate / (1 + std::exp(-gate));
        worst = std::max(worst, std::fabs(out[(b * L + t) * D + d] - expected));
        largest = std::max(largest, std::fabs(expected));
      }
    }
  std::printf("scan kernel: largest error %.2g of the largest value\n", worst / largest);
  return worst / largest < 1e-5 ? 0 : 1;
}
