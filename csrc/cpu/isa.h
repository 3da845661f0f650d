// Which instruction set the kernels run on. Kernel files are compiled once per level; callers pick a level's launcher
// here.
#pragma once

#include <cstdint>

namespace ssamba {

enum class Isa { baseline, avx2, avx512 };

// The level in use: the best one this processor runs, unless a test has asked for a lower one.
Isa current_isa();

#if defined(SSAMBA_KERNEL_ISA)
constexpr Isa kIsa = Isa::SSAMBA_KERNEL_ISA;
#endif

// Calls `launch<level>` for the level in use. Levels that the target architecture lacks are never referred to.
#if defined(__x86_64__)
#define SSAMBA_LAUNCH(launch, ...)                                                               \
  (::ssamba::current_isa() == ::ssamba::Isa::avx512 ? launch<::ssamba::Isa::avx512>(__VA_ARGS__) \
   : ::ssamba::current_isa() == ::ssamba::Isa::avx2 ? launch<::ssamba::Isa::avx2>(__VA_ARGS__)   \
                                                    : launch<::ssamba::Isa::baseline>(__VA_ARGS__))
#else
#define SSAMBA_LAUNCH(launch, ...) (launch<::ssamba::Isa::baseline>(__VA_ARGS__))
#endif

}  // namespace ssamba
