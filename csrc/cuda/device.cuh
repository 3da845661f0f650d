// The machine that a kernel runs on: the one header that a kernel includes for it. nvcc compiles kernels for a GPU;
// with SSAMBA_SIMT the host's compiler compiles the same source for the emulator in tests/simt.
#pragma once

#if defined(SSAMBA_SIMT)
#include <simt.h>
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#endif

#include <cstddef>
#include <cstdint>

namespace ssamba {

#if defined(SSAMBA_SIMT)

// The block's shared memory, all of it dynamic, seen as a struct.
template <typename Shared>
inline Shared& shared_memory() {
  return *static_cast<Shared*>(simt::shared_bytes(sizeof(Shared), alignof(Shared)));
}

inline float fast_exp2(float x) { return simt::ex2_approx_ftz(x); }

inline int forgotten(int x) { return x; }

using simt::copy_async_16;
inline void copy_async_commit() { simt::close_group(); }
template <int kPending>
inline void copy_async_wait() {
  simt::copy_async_wait(kPending);
}

#else

template <typename Shared>
__device__ __forceinline__ Shared& shared_memory() {
  extern __shared__ __align__(128) unsigned char ssamba_shared_bytes[];
  return *reinterpret_cast<Shared*>(ssamba_shared_bytes);
}

// 2^x in one instruction, within 2 units in the last place; results below the smallest normal float are 0.
__device__ __forceinline__ float fast_exp2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// The same value, of which the compiler no longer knows that it does not change in a loop: it computes what follows
// from it where it is used, instead of keeping it in registers.
__device__ __forceinline__ int forgotten(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

// Copies 16 bytes from global to shared memory, both 16-byte aligned, past the registers. Copies are committed in
// groups; a thread waits until all but its last kPending groups are there, and a barrier then shows them to the others.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global) {
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(global) : "memory");
}
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

#endif

}  // namespace ssamba
