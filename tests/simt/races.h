// Races in shared memory: two threads at the same byte, one of them writing, with no barrier between.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

// Shared memory of the launch; nothing is watched outside it.
void watch_shared(const char* begin, std::size_t bytes);
inline std::uintptr_t watched_begin = 0, watched_end = 0;
inline bool is_watched(std::uintptr_t address) { return address >= watched_begin && address < watched_end; }

// What came before is ordered before what follows, for all threads of the block.
void order_block();

// Notes a watched access of the running thread, and records a fault if it races with one before. `caller` is the
// address that the access returns to.
void note_access(std::uintptr_t address, std::size_t bytes, bool writes, const void* caller);

}  // namespace simt
