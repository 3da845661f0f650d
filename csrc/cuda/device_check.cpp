// Who answers is set from outside: ssamba_ops/device_check.py, by a self-test. A program without Python sets nobody and
// runs unasked.

#include "device_check.h"

#include <atomic>
#include <stdexcept>

namespace ssamba {
namespace {

enum Answer : int { kRefused, kAllowedThisTime, kRight };

// Called by any thread, with or without Python's lock. Writes why kernels are refused, as a string of ASCII.
using Ask = int (*)(int device, char* reason, int capacity);

constexpr int kMostDevices = 128;  // torch counts them in 8 bits
std::atomic<Ask> ask{nullptr};
std::atomic<bool> right[kMostDevices];

}  // namespace

void check_device_is_right(int device) {
  if (right[device].load(std::memory_order_relaxed)) return;
  const Ask asked = ask.load();
  if (!asked) return;
  char reason[1024] = "ssamba: the check of this GPU was interrupted; call the op again";
  switch (asked(device, reason, sizeof(reason))) {
    case kRight: right[device].store(true, std::memory_order_relaxed); return;
    case kAllowedThisTime: return;
    default: throw std::runtime_error(reason);
  }
}

}  // namespace ssamba

// Sets who is asked, or nobody, and forgets all answers.
extern "C" __attribute__((visibility("default"))) void ssamba_ask_about_devices(ssamba::Ask ask) {
  ssamba::ask.store(ask);
  for (auto& right : ssamba::right) right.store(false);
}
