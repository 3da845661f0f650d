#include "out_of_memory.h"

#include <stdexcept>
#include <string>

namespace ssamba {

void throw_out_of_memory(bool on_cpu, int64_t bytes) {
  const std::string asked = std::to_string(bytes) + " bytes. Use a smaller batch or shorter clips.";
  throw std::runtime_error(on_cpu ? "DefaultCPUAllocator: can't allocate memory: you tried to allocate " + asked
                                  : "CUDA out of memory. Tried to allocate " + asked);
}

}  // namespace ssamba
