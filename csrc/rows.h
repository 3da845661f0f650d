// A tensor as rows of channels, without torch: what the convolution and the patch mask read and write.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace ssamba {

// Shape (R, B, L, D), or (B, L, D) with a direction stride of 0. Strides count elements and may be 0; channels are
// dense.
template <typename Pointer>
struct Rows {
  Pointer data = nullptr;
  int64_t direction = 0, batch = 0, time = 0;
};
using RowsIn = Rows<const void*>;
using RowsOut = Rows<void*>;

namespace {  // compiled anew for every instruction set

template <typename T>
SSAMBA_HOST_DEVICE inline const T* row_at(const RowsIn& x, int64_t direction, int64_t batch, int64_t time) {
  return static_cast<const T*>(x.data) + direction * x.direction + batch * x.batch + time * x.time;
}
template <typename T>
SSAMBA_HOST_DEVICE inline T* row_at(const RowsOut& x, int64_t direction, int64_t batch, int64_t time) {
  return static_cast<T*>(x.data) + direction * x.direction + batch * x.batch + time * x.time;
}

}  // namespace
}  // namespace ssamba
