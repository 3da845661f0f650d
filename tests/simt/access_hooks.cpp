// What the compiler calls at every access of a kernel (-fsanitize=thread, whose runtime is not linked): accesses are
// noted, but for those to a thread's own stack, and what the address sanitizer has poisoned is left to its runtime to
// judge and report. That sanitizer's own calls would not do: of a load and a store of one place it sees the first.

#include <dlfcn.h>
#include <sanitizer/asan_interface.h>

#include <cstddef>
#include <cstdint>

#include "races.h"

namespace {

using Check = void (*)(std::uintptr_t address, std::size_t bytes);

Check runtime(const char* name) { return reinterpret_cast<Check>(dlsym(RTLD_DEFAULT, name)); }

const Check check_load = runtime("__asan_loadN_noabort"), check_store = runtime("__asan_storeN_noabort");

// Every 8 bytes have a byte of shadow, which is 0 if all of them may be accessed.
const std::size_t shadow_offset = [] {
  std::size_t scale = 0, offset = 0;
  __asan_get_shadow_mapping(&scale, &offset);
  return offset;
}();
bool is_clean(std::uintptr_t address) {
  return *reinterpret_cast<const signed char*>((address >> 3) + shadow_offset) == 0;
}

inline void access(const void* what, std::size_t bytes, bool writes, const void* caller) {
  const auto address = reinterpret_cast<std::uintptr_t>(what);
  if (!simt::is_own(address)) simt::note_access(address, bytes, writes, caller);
  if (bytes <= 16 && is_clean(address) && is_clean(address + bytes - 1)) return;
  (writes ? check_store : check_load)(address, bytes);
}

}  // namespace

#define SIMT_ACCESS(bytes)                                                                                          \
  extern "C" void __tsan_read##bytes(void* address) { access(address, bytes, false, __builtin_return_address(0)); } \
  extern "C" void __tsan_write##bytes(void* address) { access(address, bytes, true, __builtin_return_address(0)); }
SIMT_ACCESS(1)
SIMT_ACCESS(2)
SIMT_ACCESS(4)
SIMT_ACCESS(8)
SIMT_ACCESS(16)

extern "C" void __tsan_read_range(void* address, std::size_t bytes) {
  access(address, bytes, false, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void* address, std::size_t bytes) {
  access(address, bytes, true, __builtin_return_address(0));
}

// The host's part of the ops.
#define SIMT_ATOMIC(bits)                                                                                     \
  extern "C" std::uint##bits##_t __tsan_atomic##bits##_load(const std::uint##bits##_t* address, int) {        \
    return __atomic_load_n(address, __ATOMIC_SEQ_CST);                                                        \
  }                                                                                                           \
  extern "C" void __tsan_atomic##bits##_store(std::uint##bits##_t* address, std::uint##bits##_t value, int) { \
    __atomic_store_n(address, value, __ATOMIC_SEQ_CST);                                                       \
  }                                                                                                           \
  extern "C" std::uint##bits##_t __tsan_atomic##bits##_fetch_add(std::uint##bits##_t* address,                \
                                                                 std::uint##bits##_t value, int) {            \
    return __atomic_fetch_add(address, value, __ATOMIC_SEQ_CST);                                              \
  }
SIMT_ATOMIC(8)
SIMT_ATOMIC(32)
SIMT_ATOMIC(64)

extern "C" void __tsan_init() {}
extern "C" void __tsan_vptr_update(void*, void*) {}
