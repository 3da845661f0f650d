// torch's stable headers, and what is thrown when a call into torch fails: torch's own reason. By themselves the
// headers throw the call's text, with the path of the header on the machine that compiled it; so they are included from
// here only, behind the macro that they throw by.
#pragma once

#include <dlfcn.h>
#include <torch/headeronly/util/shim_utils.h>

#include <stdexcept>
#include <string>

namespace ssamba {

// torch has told the reason since 2.13, so that the function is looked up, not linked. Empty where torch does not tell.
inline std::string torch_reason() {
  using Reason = const char* (*)();
  static const auto reason =
      reinterpret_cast<Reason>(dlsym(RTLD_DEFAULT, "torch_exception_get_what_without_backtrace"));
  const char* text = reason ? reason() : nullptr;
  return text ? text : "";
}

// `call` is the source of the call, such as torch_call_dispatcher("aten::copy_", ...); what it calls is named there
// first.
[[noreturn]] inline void throw_torch_failure(const std::string& call) {
  if (const std::string reason = torch_reason(); !reason.empty()) throw std::runtime_error(reason);
  const std::size_t quote = call.find('"');
  const std::string name = quote == std::string::npos ? call.substr(0, call.find('('))
                                                      : call.substr(quote + 1, call.find('"', quote + 1) - quote - 1);
  throw std::runtime_error("ssamba: torch failed in " + name + " and tells why only from version 2.13 on");
}

}  // namespace ssamba

#undef TORCH_ERROR_CODE_CHECK
#define TORCH_ERROR_CODE_CHECK(call) \
  if ((call) != TORCH_SUCCESS) ::ssamba::throw_torch_failure(#call);

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
