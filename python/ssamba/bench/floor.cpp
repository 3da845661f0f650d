// How many vector operations a nanosecond one core does: twelve independent chains of fused multiply-adds, which keep
// every port busy, on the widest vectors that the compiler may use here.

#include <chrono>
#include <cstdio>

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef float Vector __attribute__((vector_size(kBytes)));

int main() {
  constexpr int kChains = 12;
  constexpr long kRounds = 4000000;
  const Vector factor = 0.999f - Vector{}, term = 0.001f - Vector{};
  double best = 0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    Vector chain[kChains];
    for (int k = 0; k < kChains; ++k) chain[k] = 0.01f * float(k) - Vector{};
    const auto begin = std::chrono::steady_clock::now();
    for (long i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
      for (int k = 0; k < kChains; ++k) chain[k] = chain[k] * factor + term;
    }
    const double ns = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
    Vector sum{};
    for (int k = 0; k < kChains; ++k) sum += chain[k];
    if (sum[0] == 12345.0f) std::puts("");  // the compiler must not drop the loop
    const double rate = double(kChains) * double(kRounds) / ns;
    best = rate > best ? rate : best;
  }
  std::printf("%d %.4f\n", int(kBytes / sizeof(float)), best);
}
