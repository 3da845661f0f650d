#include "fiber.h"

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>

#include <cstdint>
#include <new>

// Saves the registers that a function must preserve, on the stack that it leaves, and takes them from the other.
// swapcontext would do, but makes a system call at every switch.
extern "C" void simt_switch_stack(void** from, void* to);

#if defined(__x86_64__)
asm(R"(
.text
.type simt_switch_stack, @function
.hidden simt_switch_stack
simt_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch_stack, .-simt_switch_stack
)");
constexpr int kSavedWords = 6, kReturnWord = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.type simt_switch_stack, @function
.hidden simt_switch_stack
simt_switch_stack:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size simt_switch_stack, .-simt_switch_stack
)");
constexpr int kSavedWords = 20, kReturnWord = 11;
#else
#error "The emulator switches stacks on x86-64 and 64-bit ARM only"
#endif

namespace simt {
namespace {

constexpr std::size_t kGuard = 64 << 10, kStack = 256 << 10;  // a multiple of every page size in use

}  // namespace

void switch_fiber(Fiber& from, Fiber& to, bool from_ends) {
  __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.fake_stack, to.stack_begin, to.stack_bytes);
  simt_switch_stack(&from.stack_pointer, to.stack_pointer);
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
}

void begin_fiber(Fiber& from) { __sanitizer_finish_switch_fiber(nullptr, &from.stack_begin, &from.stack_bytes); }

FiberPool::~FiberPool() {
  for (char* stack : stacks_) munmap(stack, kGuard + kStack);
}

void FiberPool::prepare(std::size_t index, Fiber& fiber, void (*entry)()) {
  while (stacks_.size() <= index) {
    void* memory =
        mmap(nullptr, kGuard + kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, kGuard, PROT_NONE);
    stacks_.push_back(static_cast<char*>(memory));
  }
  fiber = Fiber{};
  fiber.stack_begin = stacks_[index] + kGuard;
  fiber.stack_bytes = kStack;
  // Tops at different places of a page: the stacks of a block would else compete for the same sets of the cache.
  char* top = stacks_[index] + kGuard + kStack - index % 32 * 128;
  void** frame = reinterpret_cast<void**>(top) - kSavedWords - 4;
  for (int i = 0; i < kSavedWords + 4; ++i) frame[i] = nullptr;
  // On x86-64 the entry function finds the stack as if it had been called: 8 bytes below a multiple of 16.
  if (kSavedWords == kReturnWord && (reinterpret_cast<std::uintptr_t>(frame + kReturnWord) & 15)) ++frame;
  frame[kReturnWord] = reinterpret_cast<void*>(entry);
  fiber.stack_pointer = frame;
}

void FiberPool::clear() {
  for (char* stack : stacks_) __asan_unpoison_memory_region(stack + kGuard, kStack);
}

}  // namespace simt
