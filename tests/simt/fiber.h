// A thread of control with a stack of its own that is switched to and from by hand.
#pragma once

#include <cstddef>
#include <vector>

namespace simt {

// What runs is a fiber too: that of the caller has no stack here.
struct Fiber {
  void* stack_pointer = nullptr;
  const void* stack_begin = nullptr;
  std::size_t stack_bytes = 0;
  void* fake_stack = nullptr;  // the address sanitizer's
};

// Leaves `from` where it is and goes on with `to`. `from_ends` says that `from` never runs again.
void switch_fiber(Fiber& from, Fiber& to, bool from_ends = false);

// What a fiber calls first; `from` is the one that switched to it.
void begin_fiber(Fiber& from);

// Stacks are kept from launch to launch. Below each lies a page that may not be touched.
class FiberPool {
 public:
  FiberPool() = default;
  FiberPool(const FiberPool&) = delete;
  ~FiberPool();

  // A fiber that begins with entry(), which must not return.
  void prepare(std::size_t index, Fiber& fiber, void (*entry)());
  // Forgets what abandoned fibers left on their stacks.
  void clear();

 private:
  std::vector<char*> stacks_;
};

}  // namespace simt
