#include "block.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "async_copies.h"
#include "faults.h"
#include "fiber.h"
#include "order.h"
#include "races.h"

namespace simt {
namespace {

enum class State { ready, at_barrier, in_meeting, left };

struct Thread {
  Fiber fiber;
  uint3 index{};
  int number = 0;
  State state = State::ready;
  SourceLine where;  // of the barrier or meeting it waits at
  Meeting meeting = Meeting::sync;
  unsigned mask = 0, warp_syncs = 0;
  Brought brought;
  std::uint64_t result = 0;
};

struct Warp {
  unsigned lanes = 0, waiting = 0, left = 0;
  unsigned syncs = 0;  // counts meetings, so that a later one has a higher number
};

// The block that runs. Blocks follow each other, so there is one.
struct Block {
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<int> ready;
  int at_barrier = 0, left = 0;
  std::unique_ptr<char[], void (*)(char*)> shared{nullptr, [](char*) {}};
  std::size_t shared_bytes = 0;
  Order order{0};
  const std::function<void()>* body = nullptr;
} block;

Fiber scheduler;
Thread* running = nullptr;
FiberPool pool;
std::mutex one_launch;
std::uint64_t seed = 0;
std::size_t most_blocks = SIZE_MAX;

Warp& warp_of(const Thread& thread) { return block.warps[std::size_t(thread.number) / 32]; }
Thread& lane_of(const Thread& thread, int lane) { return block.threads[std::size_t(thread.number / 32 * 32 + lane)]; }
unsigned bit(const Thread& thread) { return 1u << thread.number % 32; }

void make_ready(Thread& thread) {
  thread.state = State::ready;
  block.ready.push_back(thread.number);
}

// Gives the turn to another thread; comes back when this one is ready again.
void yield(bool ends = false) { switch_fiber(running->fiber, scheduler, ends); }

[[noreturn]] void run_thread() {
  begin_fiber(scheduler);
  (*block.body)();
  running->state = State::left;
  warp_of(*running).left |= bit(*running);
  ++block.left;
  yield(true);
  __builtin_unreachable();
}

bool same_line(const SourceLine& a, const SourceLine& b) {
  return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

void release_barrier() {
  for (Thread& thread : block.threads)
    if (!same_line(thread.where, block.threads[0].where))
      fail("the threads of the block wait at different barriers; the first thread waits at " +
               line_text(block.threads[0].where),
           thread.where);
  block.at_barrier = 0;
  order_block();
  for (Thread& thread : block.threads) make_ready(thread);
  block.order.shuffle(block.ready);
}

void finish_meeting(const Thread& last) {
  unsigned vote = 0;
  const unsigned syncs = ++warp_of(last).syncs;
  for (int i = 0; i < 32; ++i)
    if (last.mask >> i & 1 && lane_of(last, i).brought.value) vote |= 1u << i;
  for (int i = 0; i < 32; ++i) {
    if (!(last.mask >> i & 1)) continue;
    Thread& thread = lane_of(last, i);
    if (thread.meeting != last.meeting || thread.mask != last.mask)
      fail(std::string("lanes of a warp meet in different calls: ") + meeting_name(last.meeting) + " over mask " +
               mask_text(last.mask) + ", but lane " + std::to_string(i) + " is in " + meeting_name(thread.meeting) +
               " over mask " + mask_text(thread.mask) + " in " + line_text(thread.where),
           last.where);
    const bool there = last.mask >> thread.brought.source & 1;
    if (last.meeting == Meeting::sync) thread.warp_syncs = syncs;
    if (last.meeting == Meeting::ballot) thread.result = vote;
    if (last.meeting == Meeting::shuffle)
      thread.result = there ? lane_of(last, thread.brought.source).brought.value : ~std::uint64_t(0);
  }
  warp_of(last).waiting &= ~last.mask;
  for (int i = 0; i < 32; ++i)
    if (last.mask >> i & 1) make_ready(lane_of(last, i));
}

std::string threads_text(State state) {
  std::string text;
  for (const Thread& thread : block.threads) {
    if (thread.state != state) continue;
    const Thread* before = thread.number ? &block.threads[std::size_t(thread.number) - 1] : nullptr;
    const bool follows = before && before->state == state && same_line(before->where, thread.where);
    if (follows) continue;
    int last = thread.number;
    while (std::size_t(last) + 1 < block.threads.size() && block.threads[std::size_t(last) + 1].state == state &&
           same_line(block.threads[std::size_t(last) + 1].where, thread.where))
      ++last;
    text += text.empty() ? "" : ", ";
    text += std::to_string(thread.number) + (last > thread.number ? " to " + std::to_string(last) : "");
    if (state != State::left) text += " at " + line_text(thread.where);
  }
  return text.empty() ? "none" : text;
}

void run_block() {
  block.ready.clear();
  block.at_barrier = block.left = 0;
  begin_block();
  forget_copies();
  std::fill_n(block.shared.get(), block.shared_bytes, char(0xff));  // NaN in every float type
  for (Warp& warp : block.warps) warp.waiting = warp.left = 0;
  for (Thread& thread : block.threads) {
    pool.prepare(std::size_t(thread.number), thread.fiber, run_thread);
    make_ready(thread);
  }
  block.order.shuffle(block.ready);
  while (!block.ready.empty() && !faulty()) {
    running = &block.threads[std::size_t(block.order.take(block.ready))];
    threadIdx = running->index;
    stack_begin = reinterpret_cast<std::uintptr_t>(running->fiber.stack_begin);
    stack_end = stack_begin + running->fiber.stack_bytes;
    switch_fiber(scheduler, running->fiber);
  }
  running = nullptr;
  if (!faulty() && std::size_t(block.left) < block.threads.size())
    record_fault("deadlock. Threads at a barrier: " + threads_text(State::at_barrier) +
                 "; in a warp's meeting: " + threads_text(State::in_meeting) + "; left: " + threads_text(State::left));
}

void check_configuration(dim3 grid, dim3 threads, std::size_t shared_bytes) {
  constexpr std::size_t kThreads = 1024, kGridX = (1u << 31) - 1;
  const std::size_t count = std::size_t(threads.x) * threads.y * threads.z;
  const auto within = [](std::size_t value, std::size_t most) { return value >= 1 && value <= most; };
  if (!within(count, kThreads) || threads.z > 64 || !within(grid.x, kGridX) || !within(grid.y, kMostBlocksYZ) ||
      !within(grid.z, kMostBlocksYZ) || shared_bytes > kMostSharedBytes)
    record_fault("invalid launch: grid " + index_text({grid.x, grid.y, grid.z}) + ", block " +
                 index_text({threads.x, threads.y, threads.z}) + ", " + std::to_string(shared_bytes) +
                 " bytes of shared memory");
}

void prepare_threads(dim3 threads, std::size_t shared_bytes) {
  const std::size_t count = std::size_t(threads.x) * threads.y * threads.z;
  block.threads.assign(count, Thread{});
  block.warps.assign((count + 31) / 32, Warp{});
  for (std::size_t i = 0; i < count; ++i) {
    Thread& thread = block.threads[i];
    thread.number = int(i);
    thread.index = {unsigned(i) % threads.x, unsigned(i) / threads.x % threads.y, unsigned(i) / threads.x / threads.y};
    block.warps[i / 32].lanes |= bit(thread);
  }
  // To the byte, so that the address sanitizer sees an access behind the end.
  constexpr std::align_val_t kAlignment{128};
  block.shared = {static_cast<char*>(operator new(shared_bytes, kAlignment)),
                  [](char* bytes) { operator delete(bytes, kAlignment); }};
  block.shared_bytes = shared_bytes;
  // What is too large to go through is too large to watch.
  if (most_blocks == SIZE_MAX) watch_launch(block.shared.get(), shared_bytes);
}

}  // namespace

const char* meeting_name(Meeting meeting) {
  switch (meeting) {
    case Meeting::sync: return "__syncwarp";
    case Meeting::shuffle: return "a shuffle";
    case Meeting::ballot: return "a vote";
  }
  return "";
}

void fail(const std::string& what, const SourceLine& where) {
  record_fault(line_text(where) + ": " + what);
  abandon_thread();
}

void* shared_bytes(std::size_t bytes, std::size_t alignment) {
  if (bytes > block.shared_bytes)
    fail("shared memory of " + std::to_string(bytes) + " bytes is used, but the launch gave " +
             std::to_string(block.shared_bytes),
         SourceLine::current());
  if (alignment > 128) fail("shared memory is aligned to 128 bytes only", SourceLine::current());
  return block.shared.get();
}

bool is_shared(const void* address) {
  const auto* place = static_cast<const char*>(address);
  return place >= block.shared.get() && place < block.shared.get() + block.shared_bytes;
}

int thread_number() { return running->number; }
unsigned block_number() { return blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z); }
unsigned warp_syncs() { return running->warp_syncs; }
int lane() { return running->number % 32; }
unsigned active_lanes() { return warp_of(*running).lanes & ~warp_of(*running).left; }

std::uint64_t meet(Meeting meeting, unsigned mask, Brought brought, const SourceLine& where) {
  Thread& thread = *running;
  Warp& warp = warp_of(thread);
  if (faulty()) abandon_thread();
  if (!(mask & bit(thread)))
    fail(std::string("a lane calls ") + meeting_name(meeting) + " with mask " + mask_text(mask) +
             ", which leaves it out",
         where);
  if (mask & (warp.left | ~warp.lanes))
    fail(std::string("a lane calls ") + meeting_name(meeting) + " with mask " + mask_text(mask) + ", but lanes " +
             mask_text(mask & (warp.left | ~warp.lanes)) + " have left the kernel or never were",
         where);
  thread.state = State::in_meeting;
  thread.meeting = meeting, thread.mask = mask, thread.brought = brought, thread.where = where;
  warp.waiting |= bit(thread);
  if ((warp.waiting & mask) == mask) finish_meeting(thread);
  yield();
  return thread.result;
}

void launch(const void* kernel, dim3 grid, dim3 threads, std::size_t shared_bytes, Stream stream,
            const std::function<void()>& body) {
  const std::lock_guard lock(one_launch);
  begin_launch(kernel);
  if (!stream.current) record_fault("a launch on another stream than torch's current one");
  if (!guards) record_fault("a launch while the tensors' device is not the current one");
  check_configuration(grid, threads, shared_bytes);
  if (!faulty()) {
    gridDim = grid, blockDim = threads;
    prepare_threads(threads, shared_bytes);
    block.body = &body;
    block.order = Order(seed);
    const std::size_t count = std::size_t(grid.x) * grid.y * grid.z, taken = std::min(count, most_blocks);
    std::vector<unsigned> blocks(taken);
    std::iota(blocks.begin(), blocks.end(), unsigned(count - taken));
    block.order.shuffle(blocks);
    for (const unsigned number : blocks) {
      blockIdx = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
      run_block();
      if (faulty()) break;
    }
    watch_nothing();
    block.shared.reset();
    block.shared_bytes = 0;
    if (faulty()) pool.clear();
  }
  end_launch();
}

void abandon_thread() {
  yield(true);
  __builtin_unreachable();
}

bool thread_runs() { return running != nullptr; }
std::string thread_text() {
  return "block " + index_text(blockIdx) + (running ? ", thread " + index_text(running->index) : "");
}

}  // namespace simt

void __syncthreads(SourceLine where) {
  using namespace simt;
  if (faulty()) abandon_thread();
  running->state = State::at_barrier;
  running->where = where;
  if (++block.at_barrier == int(block.threads.size())) release_barrier();
  yield();
}

// Chooses the order in which threads and blocks take their turns.
extern "C" __attribute__((visibility("default"))) void ssamba_simt_seed(std::uint64_t value) { simt::seed = value; }

// Lets a launch run its last blocks only, so many of them; 0 for all. For tensors too large to go through.
extern "C" __attribute__((visibility("default"))) void ssamba_simt_last_blocks(std::uint64_t count) {
  simt::most_blocks = count ? count : SIZE_MAX;
}
