// What the ops need of tensors beyond torch's stable headers: checks whose messages name the argument, and views of
// strided and dense tensors. The only header here that knows both torch and the kernels' structs.
#pragma once

#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>

#include "dtype.h"
#include "out_of_memory.h"
#include "torch_calls.h"

namespace ssamba {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

// A shape as messages write it.
struct Shape {
  const int64_t* sizes;
  int64_t rank;
};
inline Shape shape_of(const Tensor& x) { return {x.sizes().data(), x.dim()}; }

// Messages are made without streams: their locales go wrong where two copies of the standard library meet in a process,
// as when this library was linked with one of its own.
inline void append(std::string& message, const char* text) { message += text; }
inline void append(std::string& message, int64_t number) { message += std::to_string(number); }
inline void append(std::string& message, const Shape& shape) {
  message += "(";
  for (int64_t i = 0; i < shape.rank; ++i) {
    if (i) message += ", ";
    append(message, shape.sizes[i]);
  }
  message += shape.rank == 1 ? ",)" : ")";
}

// Throws with the parts joined, unless the condition holds.
template <typename... Parts>
void check(bool holds, const Parts&... parts) {
  if (holds) return;
  std::string message;
  (append(message, parts), ...);
  throw std::runtime_error(message);
}

inline const char* dtype_text(ScalarType type) {
  switch (type) {
    case ScalarType::Float: return "float32";
    case ScalarType::Double: return "float64";
    case ScalarType::Half: return "float16";
    case ScalarType::BFloat16: return "bfloat16";
    case ScalarType::Bool: return "bool";
    case ScalarType::Int: return "int32";
    case ScalarType::Long: return "int64";
    case ScalarType::Short: return "int16";
    case ScalarType::Char: return "int8";
    case ScalarType::Byte: return "uint8";
    case ScalarType::ComplexFloat: return "complex64";
    case ScalarType::ComplexDouble: return "complex128";
    default: return "another dtype";
  }
}

// The dtype of an activation.
inline Dtype activation_dtype(const char* op, const char* name, const Tensor& x) {
  switch (x.scalar_type()) {
    case ScalarType::Float: return Dtype::float32;
    case ScalarType::Double: return Dtype::float64;
    case ScalarType::Half: return Dtype::float16;
    case ScalarType::BFloat16: return Dtype::bfloat16;
    default:
      check(false, op, ": ", name, " is ", dtype_text(x.scalar_type()),
            "; expected float32, float64, float16 or bfloat16");
      return Dtype::float32;
  }
}

// The dtype of sums, states and parameters beside activations of the given dtype.
inline ScalarType accumulation_type(Dtype dtype) {
  return dtype == Dtype::float64 ? ScalarType::Double : ScalarType::Float;
}

inline void check_rank(const char* op, const char* name, const Tensor& x, int64_t rank, const char* letters) {
  check(x.dim() == rank, op, ": ", name, " has shape ", shape_of(x), "; expected ", rank, " dimensions ", letters);
}

// Checks a shape against numbers; `letters` says what they mean, e.g. "(B, L, D)".
inline void check_shape(const char* op, const char* name, const Tensor& x, std::initializer_list<int64_t> shape,
                        const char* letters) {
  bool same = x.dim() == int64_t(shape.size());
  for (int64_t i = 0; same && i < x.dim(); ++i) same = x.size(i) == shape.begin()[i];
  check(same, op, ": ", name, " has shape ", shape_of(x), "; expected ", letters, " = ",
        Shape{shape.begin(), int64_t(shape.size())});
}

inline void check_dtype(const char* op, const char* name, const Tensor& x, ScalarType type, const char* why) {
  check(x.scalar_type() == type, op, ": ", name, " is ", dtype_text(x.scalar_type()), "; expected ", dtype_text(type),
        ", ", why);
}

inline void check_device(const char* op, const char* name, const Tensor& x, const Tensor& like, const char* like_name) {
  check(x.device() == like.device(), op, ": ", name, " is on another device than ", like_name,
        "; expected all tensors on one device");
}

inline int64_t bytes_of(ScalarType type) {
  switch (type) {
    case ScalarType::Double:
    case ScalarType::Long: return 8;
    case ScalarType::Float:
    case ScalarType::Int: return 4;
    case ScalarType::Half:
    case ScalarType::BFloat16: return 2;
    default: return 1;
  }
}

// Every tensor that an op makes is made here. For sizes that were checked, torch refuses only for want of memory.
inline Tensor empty(torch::headeronly::IntHeaderOnlyArrayRef shape, ScalarType type,
                    const torch::stable::Device& device) {
  try {
    return torch::stable::empty(shape, type, std::nullopt, device);
  } catch (const std::runtime_error&) {
    if (!torch_reason().empty()) throw;
    int64_t bytes = bytes_of(type);
    for (const int64_t size : shape) bytes *= size;
    throw_out_of_memory(device.is_cpu(), bytes);
  }
}
inline Tensor empty(std::initializer_list<int64_t> shape, ScalarType type, const Tensor& like) {
  return empty({shape.begin(), shape.size()}, type, like.device());
}
inline Tensor empty_like(const Tensor& x, ScalarType type) { return empty(x.sizes(), type, x.device()); }

// The tensor itself if it is dense and of this dtype, else a copy that is.
inline Tensor dense(const Tensor& x, ScalarType type) {
  if (x.scalar_type() == type && x.is_contiguous()) return x;
  Tensor copy = empty_like(x, type);
  torch::stable::copy_(copy, x);
  return copy;
}
inline Tensor dense(const Tensor& x) { return dense(x, x.scalar_type()); }
inline OptionalTensor dense(const OptionalTensor& x) { return x ? OptionalTensor(dense(*x)) : std::nullopt; }

// The tensor itself if rows along its last axis are dense, else a dense copy.
inline Tensor with_dense_rows(const Tensor& x) {
  return x.size(x.dim() - 1) <= 1 || x.stride(x.dim() - 1) == 1 ? x : dense(x);
}

inline const void* data(const OptionalTensor& x) { return x ? x->const_data_ptr() : nullptr; }

// Whether the host may read a tensor without waiting for a GPU. The emulated one's tensors are taken for a GPU's.
inline bool is_readable(const Tensor& x) {
#if defined(SSAMBA_SIMT)
  return false;
#else
  return x.is_cpu();
#endif
}

// Lengths as dense int64, each in [0, L]. Those of a GPU are not read: its kernels bound them.
inline OptionalTensor check_lengths(const char* op, const OptionalTensor& given, const Tensor& like, int64_t batch,
                                    int64_t length) {
  if (!given) return std::nullopt;
  check_shape(op, "lengths", *given, {batch}, "(B,)");
  check_device(op, "lengths", *given, like, "the activations");
  const ScalarType type = given->scalar_type();
  check(type == ScalarType::Long || type == ScalarType::Int, op, ": lengths is ", dtype_text(type),
        "; expected int64 or int32");
  const Tensor lengths = dense(*given, ScalarType::Long);
  const auto* values = static_cast<const int64_t*>(lengths.const_data_ptr());
  for (int64_t b = 0; is_readable(lengths) && b < batch; ++b)
    check(values[b] >= 0 && values[b] <= length, op, ": lengths[", b, "] is ", values[b],
          "; expected 0 to L = ", length);
  return lengths;
}

}  // namespace ssamba
