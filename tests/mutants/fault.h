// In front of every source file of a build with faults. A fault is there while its number is set.
#pragma once

extern "C" {
__attribute__((weak, visibility("default"))) int ssamba_fault_number = 0;
// Which faults the code has come by, whatever the number.
__attribute__((weak, visibility("default"))) bool ssamba_fault_reached[4096] = {};
}

static inline __attribute__((always_inline)) constexpr bool fault_is(int number) {
  if (__builtin_is_constant_evaluated()) return false;
  // Threads share its line, so it is written once; and by atomics, so that the emulated GPU takes neither for the
  // kernel's.
  bool& reached = ssamba_fault_reached[number];
  if (!__atomic_load_n(&reached, __ATOMIC_RELAXED)) __atomic_store_n(&reached, true, __ATOMIC_RELAXED);
  return __atomic_load_n(&ssamba_fault_number, __ATOMIC_RELAXED) == number;
}
