// What is said when memory runs out: the words of torch's own allocators, by which programs that then try a smaller
// batch know it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ssamba {

[[noreturn]] void throw_out_of_memory(bool on_cpu, int64_t bytes);

}  // namespace ssamba
