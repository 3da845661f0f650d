// What this card can do at most: bytes copied, exponentials and fused multiply-adds, each a nanosecond. The scan's
// floors are counted in these. Prints the three rates, best of several attempts.

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

namespace {

constexpr int kChains = 16, kRounds = 512, kThreads = 256, kAttempts = 20;

void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(error));
  std::exit(1);
}

__device__ float exponential(float x) {
  float y;
  asm volatile("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Independent chains keep the unit busy; the sum keeps the compiler from dropping them.
template <bool kExponentials>
__global__ void chains(float* out, float factor, float term) {
  float x[kChains];
  for (int k = 0; k < kChains; ++k) x[k] = 0.01f * float(k + threadIdx.x);
  for (int round = 0; round < kRounds; ++round) {
#pragma unroll
    for (int k = 0; k < kChains; ++k) x[k] = kExponentials ? exponential(x[k]) : fmaf(x[k], factor, term);
  }
  float sum = 0;
  for (int k = 0; k < kChains; ++k) sum += x[k];
  if (sum == 12345.0f) *out = sum;
}

__global__ void copy(const uint4* from, uint4* to, size_t count) {
  const size_t stride = size_t(gridDim.x) * blockDim.x;
  for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) to[i] = from[i];
}

template <typename Launch>
double best_ns(const Launch& launch) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  double best = 1e30;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    check(cudaEventRecord(begin));
    launch();
    check(cudaEventRecord(end));
    check(cudaEventSynchronize(end));
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end));
    if (milliseconds * 1e6 < best) best = milliseconds * 1e6;
  }
  return best;
}

}  // namespace

int main() {
  int device = 0, multiprocessors = 0;
  check(cudaGetDevice(&device));
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  const size_t bytes = size_t(1) << 30;
  uint4 *from, *to;
  check(cudaMalloc(&from, bytes));
  check(cudaMalloc(&to, bytes));
  check(cudaMemset(from, 1, bytes));
  const int blocks = 32 * multiprocessors;
  const double operations = double(blocks) * kThreads * kChains * kRounds;
  // clang-format off
  const double copy_ns = best_ns([&] { copy<<<blocks, kThreads>>>(from, to, bytes / sizeof(uint4)); });
  const double exponential_ns = best_ns([&] { chains<true><<<blocks, kThreads>>>(reinterpret_cast<float*>(to), 0, 0); });
  const double fma_ns = best_ns([&] { chains<false><<<blocks, kThreads>>>(reinterpret_cast<float*>(to), 0.999f, 0.001f); });
  // clang-format on
  check(cudaGetLastError());
  std::printf("%.2f %.2f %.2f\n", 2 * double(bytes) / copy_ns, operations / exponential_ns, operations / fma_ns);
}
