// One block of threads: each a fiber, taken in an order that a seed shuffles, until all have left the kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>

#include "vector_types.h"

using SourceLine = std::source_location;

inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// Waits for all threads of the block, all at the same place.
void __syncthreads(SourceLine where = SourceLine::current());

namespace simt {

// What this GPU grants: grids as few blocks high and deep as that, so that small batches already go beyond them, and
// the shared memory of the smallest that is built for.
constexpr unsigned kMostBlocksYZ = 3;
constexpr std::size_t kMostSharedBytes = 99 << 10;

// torch's current stream, the only one that a launch may name; a default one is not it.
struct Stream {
  bool current = false;
};
// How many guards make the device current in this thread. Without one a launch would go to another device.
inline thread_local int guards = 0;

// Runs a kernel, or throws with its name and what it did wrong. `kernel` is its address, from which its name is found.
void launch(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            const std::function<void()>& body);

// The block's shared memory. Fails if it is smaller than what is asked for, or less aligned.
void* shared_bytes(std::size_t bytes, std::size_t alignment);
bool is_shared(const void* address);

// Ends the launch with a report on the running thread.
[[noreturn]] void fail(const std::string& what, const SourceLine& where);

// What a warp's threads do together.
enum class Meeting { sync, shuffle, ballot };
const char* meeting_name(Meeting meeting);

// Waits until all lanes of `mask` have come to the same meeting; the last to come calls finish(), which sees what every
// lane brought.
struct Brought {
  std::uint64_t value = 0;
  int source = 0;  // the lane whose value is asked for
};
std::uint64_t meet(Meeting meeting, unsigned mask, Brought brought, const SourceLine& where);

// Lanes of the running thread's warp that have not left the kernel.
unsigned active_lanes();
int lane();
int thread_number();
unsigned block_number();
// Grows with every __syncwarp that the running thread has been through.
unsigned warp_syncs();

}  // namespace simt
