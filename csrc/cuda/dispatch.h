// From sizes and dtypes known when running to kernels known when compiling.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "../rows.h"
#include "numbers.cuh"

namespace ssamba {

template <typename T>
struct Type {};
template <int kValue>
struct Number {};

// Calls body(Type<in_t>) with the element type.
template <typename Body>
void dispatch_dtype(Dtype dtype, const Body& body) {
  switch (dtype) {
    case Dtype::float32: return body(Type<float>{});
    case Dtype::float64: return body(Type<double>{});
    case Dtype::float16: return body(Type<__half>{});
    case Dtype::bfloat16: return body(Type<__nv_bfloat16>{});
  }
}

inline int64_t element_bytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::float32: return 4;
    case Dtype::float64: return 8;
    default: return 2;
  }
}

// Whether packs of `count` elements can be read from every row: its address and its strides are multiples of the pack,
// or of 16 bytes if the pack is longer. A null pointer asks for nothing.
template <typename Pointer>
bool packs_fit(const Rows<Pointer>& rows, int64_t bytes, int64_t count) {
  const int64_t unit = bytes * count < 16 ? bytes * count : 16;
  const auto fits = [&](int64_t offset) { return offset * bytes % unit == 0; };
  return reinterpret_cast<std::uintptr_t>(rows.data) % std::uintptr_t(unit) == 0 &&
         (!rows.data || (fits(rows.direction) && fits(rows.batch) && fits(rows.time)));
}

inline bool aligned_to_16(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % 16 == 0; }

SSAMBA_HOST_DEVICE constexpr int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace ssamba
