// What the compiler calls at every access of a kernel (address sanitizer, outlined): accesses to shared memory are
// noted, and what the sanitizer has poisoned is left to its runtime to judge and report.

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

inline void access(std::uintptr_t address, std::size_t bytes, bool writes, const void* caller) {
  if (simt::is_watched(address)) simt::note_access(address, bytes, writes, caller);
  if (bytes <= 16 && is_clean(address) && is_clean(address + bytes - 1)) return;
  (writes ? check_store : check_load)(address, bytes);
}

}  // namespace

#define SIMT_ACCESS(bytes)                                                \
  extern "C" void __asan_load##bytes##_noabort(std::uintptr_t address) {  \
    access(address, bytes, false, __builtin_return_address(0));           \
  }                                                                       \
  extern "C" void __asan_store##bytes##_noabort(std::uintptr_t address) { \
    access(address, bytes, true, __builtin_return_address(0));            \
  }
SIMT_ACCESS(1)
SIMT_ACCESS(2)
SIMT_ACCESS(4)
SIMT_ACCESS(8)
SIMT_ACCESS(16)

extern "C" void __asan_loadN_noabort(std::uintptr_t address, std::size_t bytes) {
  access(address, bytes, false, __builtin_return_address(0));
}
extern "C" void __asan_storeN_noabort(std::uintptr_t address, std::size_t bytes) {
  access(address, bytes, true, __builtin_return_address(0));
}
