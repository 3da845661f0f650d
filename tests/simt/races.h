// Races: two threads at the same byte, one of them writing, with nothing that orders them. A barrier orders the threads
// of a block, in shared memory and in tensors; nothing orders the blocks of a launch.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

// Forgets what earlier launches did: they are ordered before. Shared memory of this one lies at `shared`.
void watch_launch(const char* shared, std::size_t bytes);
void watch_nothing();
// Of the host's threads, the one that launches; others go on with what is theirs.
inline thread_local bool watching = false;

// What came before is ordered before what follows, for all threads of the block.
void begin_block();
void order_block();

// The stack of the running thread, which is its own.
inline std::uintptr_t stack_begin = 0, stack_end = 0;
inline bool is_own(std::uintptr_t address) { return address >= stack_begin && address < stack_end; }

// Notes an access of the running thread, and records a fault if it races with one before. `caller` is the address that
// the access returns to.
void note_access(std::uintptr_t address, std::size_t bytes, bool writes, const void* caller);

}  // namespace simt
