// ssamba_ops._C says what was built, and nothing else: the ops are in a library of their own, which needs no Python.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace {

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "What was built: file names, instruction sets, compiler, torch headers.";
  m.attr("cpu_library") = SSAMBA_CPU_LIBRARY;
  m.attr("cpu_isa_levels") = split(SSAMBA_ISA_LEVELS);
  m.attr("cuda_library") = SSAMBA_CUDA_LIBRARY;  // empty where no CUDA kernels were built
  m.attr("cuda_archs") = split(SSAMBA_CUDA_ARCHS);
  m.attr("sources") = SSAMBA_SOURCES;  // a digest: ssamba_ops/sources.py
  m.attr("compiler") = compiler();
  m.attr("torch_headers") = SSAMBA_TORCH_HEADERS;
  m.attr("torch_target") = "2.11";
  m.attr("sanitized") = bool(SSAMBA_SANITIZED);
}
