// In front of every source file of a build with faults. A fault is there while its number is set.
#pragma once

extern "C" {
__attribute__((weak, visibility("default"))) int ssamba_fault_number = 0;
// Which faults the code has come by, whatever the number.
__attribute__((weak, visibility("default"))) bool ssamba_fault_reached[4096] = {};
}

static inline __attribute__((always_inline)) constexpr bool fault_is(int number) {
  if (__builtin_is_constant_evaluated()) return false;
  if (!ssamba_fault_reached[number]) ssamba_fault_reached[number] = true;  // threads share its line, written once
  return ssamba_fault_number == number;
}
