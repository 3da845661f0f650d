#include "faults.h"

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace simt {
namespace {

const void* current_kernel = nullptr;
std::string fault;

std::string kernel_name() {
  char name[1024] = "a kernel";
  // Meant for return addresses, it looks one byte before what it is given.
  __sanitizer_symbolize_pc(const_cast<char*>(static_cast<const char*>(current_kernel)) + 1, "%f", name, sizeof name);
  return name;
}

// Of the address sanitizer's report: its kind, the access, and the innermost calls.
std::string summary(const char* report) {
  constexpr int kCalls = 3;
  std::istringstream lines(report);
  std::string text;
  int calls = 0;
  for (std::string line; std::getline(lines, line) && calls < kCalls;) {
    const std::size_t kind = line.find("AddressSanitizer: "), call = line.find(" in ");
    if (kind != std::string::npos && text.empty()) text = line.substr(kind + 18, line.find(' ', kind + 18) - kind - 18);
    if (line.starts_with("READ of size") || line.starts_with("WRITE of size"))
      text += ", " + line.substr(0, line.find(" at "));
    const bool own = line.find("__asan_") != std::string::npos || line.find("access_hooks.cpp") != std::string::npos;
    if (line.starts_with("    #") && call != std::string::npos && !own) {
      text += (calls ? " from " : " in ") + line.substr(call + 4);
      ++calls;
    }
  }
  return text;
}

// An access outside a kernel is none of the emulator's business, but must not pass for a success.
void on_address_error(const char* report) {
  if (!thread_runs()) std::abort();
  record_fault(summary(report));
}

}  // namespace

void begin_launch(const void* kernel) {
  current_kernel = kernel;
  fault.clear();
  __asan_set_error_report_callback(on_address_error);
}

void end_launch() {
  if (faulty()) throw std::runtime_error("emulator: " + kernel_name() + ", " + fault);
}

void record_fault(const std::string& what) {
  if (fault.empty()) fault = thread_text() + ": " + what;
}
bool faulty() { return !fault.empty(); }

std::string line_text(const SourceLine& where) {
  const std::string path = where.file_name();
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(where.line());
}
std::string index_text(uint3 index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}
std::string mask_text(unsigned mask) {
  std::ostringstream text;
  text << "0x" << std::hex << mask;
  return text.str();
}

}  // namespace simt

// What the compiler calls where a pointer is less aligned than its type, and where an index lies outside its array
// (-fsanitize=alignment,bounds): on a GPU the first fails, and the second goes astray in silence. The structs are those
// of the undefined-behaviour sanitizer's runtime, which is not linked.
namespace {

struct Type {
  std::uint16_t kind, info;
  char name[1];
};
struct Place {
  const char* file;
  std::uint32_t line, column;
};
struct TypeMismatch {
  Place place;
  const Type* type;
  unsigned char log_alignment, access;
};
struct OutOfBounds {
  Place place;
  const Type *array, *index;
};

// The access that follows would end the process.
[[noreturn]] void fail_at(const Place& place, const std::string& what) {
  if (!simt::thread_runs()) std::abort();
  const std::string path = place.file;
  simt::record_fault(path.substr(path.rfind('/') + 1) + ":" + std::to_string(place.line) + ": " + what);
  simt::abandon_thread();
}

}  // namespace

extern "C" void __ubsan_handle_type_mismatch_v1(void* what, void* address) {
  const auto* data = static_cast<const TypeMismatch*>(what);
  std::ostringstream text;
  text << "misaligned access: address " << address << " is no multiple of " << (1u << data->log_alignment) << ", as "
       << data->type->name << " needs";
  fail_at(data->place, text.str());
}

extern "C" void __ubsan_handle_out_of_bounds(void* what, void* index) {
  const auto* data = static_cast<const OutOfBounds*>(what);
  fail_at(data->place, "index " + std::to_string(std::intptr_t(index)) + " lies outside " + data->array->name);
}
