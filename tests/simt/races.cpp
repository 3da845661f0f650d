#include "races.h"

#include <sanitizer/common_interface_defs.h>

#include <cstdint>
#include <string>
#include <vector>

#include "block.h"
#include "faults.h"

namespace simt {
namespace {

struct Access {
  std::uint64_t epoch = 0;  // of the block's barriers; 0 is before any
  int thread = 0;
  unsigned warp_syncs = 0;  // that the thread had been through
  const void* caller = nullptr;
};

// The last write, and the last reads of two threads: enough to find one that another thread's write races with.
struct Byte {
  Access write, read[2];
};

std::vector<Byte> bytes_seen;
std::uint64_t epoch = 0;

// A lane's access is ordered after another's if it has been through a __syncwarp since. Shuffles and votes do not order
// memory.
bool ordered(const Access& before, const Access& now) {
  if (before.epoch != now.epoch || before.thread == now.thread) return true;
  return before.thread / 32 == now.thread / 32 && now.warp_syncs > before.warp_syncs;
}

std::string place(const Access& access) {
  char text[512] = "";
  __sanitizer_symbolize_pc(const_cast<void*>(access.caller), "%s:%l", text, sizeof text);
  const std::string path = text;
  return path.substr(path.rfind('/') + 1);
}

void report(std::size_t offset, const Access& before, bool wrote, const Access& now, bool writes) {
  record_fault("race at byte " + std::to_string(offset) + " of shared memory: " + (writes ? "written" : "read") +
               " at " + place(now) + ", " + (wrote ? "written" : "read") + " at " + place(before) + " by thread " +
               std::to_string(before.thread) + ", with no barrier between");
}

}  // namespace

void watch_shared(const char* begin, std::size_t bytes) {
  watched_begin = reinterpret_cast<std::uintptr_t>(begin);
  watched_end = watched_begin + bytes;
  bytes_seen.assign(bytes, Byte{});
}

void order_block() { ++epoch; }

void note_access(std::uintptr_t address, std::size_t bytes, bool writes, const void* caller) {
  if (!thread_runs() || faulty()) return;
  const Access now{epoch, thread_number(), warp_syncs(), caller};
  const std::size_t begin = address - watched_begin;
  const std::size_t end = begin + bytes < bytes_seen.size() ? begin + bytes : bytes_seen.size();
  for (std::size_t offset = begin; offset < end; ++offset) {
    Byte& seen = bytes_seen[offset];
    if (!ordered(seen.write, now)) return report(offset, seen.write, true, now, writes);
    if (writes) {
      for (const Access& read : seen.read)
        if (!ordered(read, now)) return report(offset, read, false, now, writes);
      seen.write = now;
    } else {
      if (seen.read[0].thread != now.thread) seen.read[1] = seen.read[0];
      seen.read[0] = now;
    }
  }
}

}  // namespace simt
