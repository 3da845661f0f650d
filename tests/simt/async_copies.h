// Copies of 16 bytes from global to shared memory that go on beside their thread (cp.async). What they bring is there
// only when the thread has waited for it; until then the place holds NaN, as on a GPU it may hold anything.
#pragma once

#include <vector>

#include "block.h"
#include "vector_types.h"

namespace simt {

struct Copy {
  uint4* to;
  uint4 value;
};

// Of the running thread, which wants `copy` to arrive with the group that is open.
void begin_copy(const Copy& copy, const SourceLine& where);
void close_group();
// Copies of all but the last `pending` groups, which are under way no longer.
std::vector<Copy> arrived(int pending);
void forget_copies();

// Here, and not in the emulator, so that what they read and write is seen as the kernel's.
inline void copy_async_16(void* shared, const void* global, SourceLine where = SourceLine::current()) {
  auto* to = static_cast<uint4*>(shared);
  begin_copy({to, *static_cast<const uint4*>(global)}, where);
  *to = {~0u, ~0u, ~0u, ~0u};
}
inline void copy_async_wait(int pending) {
  for (const Copy& copy : arrived(pending)) *copy.to = copy.value;
}

}  // namespace simt
