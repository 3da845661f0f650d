// The device functions that kernels here call, other than those that threads meet in.
#pragma once

#include <algorithm>
#include <cmath>

#include "approximate.h"

using std::max;
using std::min;
inline float __fdividef(float x, float y) { return simt::div_approx(x, y); }

// Threads of a block take turns and blocks follow each other, so plain arithmetic is atomic. It is none of a race.
__attribute__((no_sanitize_thread, noinline)) inline int atomicAdd(int* address, int value) {
  const int before = *address;
  *address += value;
  return before;
}
__attribute__((no_sanitize_thread, noinline)) inline unsigned atomicAdd(unsigned* address, unsigned value) {
  const unsigned before = *address;
  *address += value;
  return before;
}
