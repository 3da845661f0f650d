// Chooses the instruction set once, and lets tests ask for a lower one.

#include "isa.h"

#include <atomic>

namespace ssamba {
namespace {

Isa best_isa() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return Isa::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
    return Isa::avx2;
#endif
  return Isa::baseline;
}

std::atomic<int> limit{int(Isa::avx512)};

}  // namespace

Isa current_isa() {
  static const int best = int(best_isa());
  const int asked = limit.load(std::memory_order_relaxed);
  return Isa(asked < best ? asked : best);
}

}  // namespace ssamba

// The level in use, after lowering the limit to `level` if that is 0 (baseline), 1 (AVX2) or 2 (AVX-512).
extern "C" __attribute__((visibility("default"))) int ssamba_cpu_isa(int level) {
  if (level >= 0 && level <= int(ssamba::Isa::avx512)) ssamba::limit.store(level, std::memory_order_relaxed);
  return int(ssamba::current_isa());
}
