#include "races.h"

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

#include <array>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "block.h"
#include "faults.h"

namespace simt {
namespace {

struct Access {
  std::uint32_t epoch = 0;       // of the launch's barriers; 0 is never
  std::uint32_t warp_syncs = 0;  // that the thread had been through
  const void* caller = nullptr;
  int thread = 0;
  unsigned block = 0;
};

// The last write, and of reads those of two threads of the same block, enough to find one that another thread's write
// races with, and one of another block.
struct Byte {
  Access write, read[2], read_elsewhere;
};

constexpr std::size_t kPage = 256;
using Page = std::array<Byte, kPage>;

std::uintptr_t shared_begin = 0, shared_end = 0;
std::vector<Byte> shared;
std::unordered_map<std::uintptr_t, std::size_t> page_numbers;  // of tensors, by address
std::vector<std::unique_ptr<Page>> pages;                      // kept from launch to launch
std::uint32_t epoch = 0, first_epoch_of_block = 0;

// Where the pages of the last addresses are; emptied with the map.
struct Found {
  std::uintptr_t name = 0;
  Page* page = nullptr;
};
std::array<Found, 256> found;

Page& page_of(std::uintptr_t name) {
  Found& last = found[name % found.size()];
  if (last.name != name) {
    const auto [place, is_new] = page_numbers.try_emplace(name, page_numbers.size());
    if (place->second == pages.size()) pages.push_back(std::make_unique<Page>());
    last = {name, pages[place->second].get()};
    if (is_new) last.page->fill(Byte{});
  }
  return *last.page;
}
Byte& byte_at(std::uintptr_t address) { return page_of(address / kPage)[address % kPage]; }

bool of_other_block(const Access& before) { return before.epoch && before.epoch < first_epoch_of_block; }

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

std::string memory_text(std::uintptr_t address) {
  if (address >= shared_begin && address < shared_end)
    return "byte " + std::to_string(address - shared_begin) + " of shared memory";
  char name[64];
  void* begin = nullptr;
  std::size_t bytes = 0;
  __asan_locate_address(reinterpret_cast<void*>(address), name, sizeof name, &begin, &bytes);
  if (!begin) return "a byte of global memory";
  return "byte " + std::to_string(address - reinterpret_cast<std::uintptr_t>(begin)) + " of " + std::to_string(bytes) +
         " in global memory";
}

void report(std::uintptr_t address, const Access& before, bool wrote, const Access& now, bool writes) {
  const bool same_block = before.block == now.block;
  record_fault("race at " + memory_text(address) + ": " + (writes ? "written" : "read") + " at " + place(now) + ", " +
               (wrote ? "written" : "read") + " at " + place(before) + " by thread " + std::to_string(before.thread) +
               (same_block ? ", with no barrier between"
                           : " of block number " + std::to_string(before.block) + ", and nothing orders blocks"));
}

// False after a race.
bool note_byte(Byte& seen, bool in_shared, std::uintptr_t address, const Access& now, bool writes) {
  const auto races = [&](const Access& before) { return of_other_block(before) ? !in_shared : !ordered(before, now); };
  if (races(seen.write)) {
    report(address, seen.write, true, now, writes);
    return false;
  }
  if (writes) {
    for (const Access& read : {seen.read_elsewhere, seen.read[0], seen.read[1]})
      if (races(read)) {
        report(address, read, false, now, writes);
        return false;
      }
    seen.write = now;
    return true;
  }
  if (of_other_block(seen.read[0]))
    seen.read_elsewhere = seen.read[0], seen.read[1] = {};
  else if (seen.read[0].thread != now.thread)
    seen.read[1] = seen.read[0];
  seen.read[0] = now;
  return true;
}

}  // namespace

void watch_launch(const char* begin, std::size_t bytes) {
  shared_begin = reinterpret_cast<std::uintptr_t>(begin), shared_end = shared_begin + bytes;
  shared.assign(bytes, Byte{});
  page_numbers.clear();
  found.fill({});
  epoch = 0;
  watching = true;
}
void watch_nothing() { watching = false; }

void begin_block() { first_epoch_of_block = ++epoch; }
void order_block() { ++epoch; }

void note_access(std::uintptr_t address, std::size_t bytes, bool writes, const void* caller) {
  if (!watching || !thread_runs() || faulty()) return;
  const Access now{epoch, warp_syncs(), caller, thread_number(), block_number()};
  const bool in_shared = address >= shared_begin && address < shared_end;
  for (std::uintptr_t at = address; at < address + bytes; ++at) {
    if (in_shared && at >= shared_end) return;  // the address sanitizer's to report
    if (!note_byte(in_shared ? shared[at - shared_begin] : byte_at(at), in_shared, at, now, writes)) return;
  }
}

}  // namespace simt
