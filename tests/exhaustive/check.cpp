// Compares the functions of one float with their values in double: for all 2^32 floats, at every instruction set that
// this processor runs. Prints the worst errors; exits 1 if a promise of contracts.h is broken.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string_view>
#include <thread>
#include <vector>

#include "findings.h"
#include "planted.h"

using namespace ssamba;

namespace {

constexpr const char* kUsage =
    "usage: check [--every N] [--plant ERROR]\n"
    "  --every N      only every Nth float, and the edges\n"
    "  --plant ERROR  spoil every result by an error of planted.h, which must be found\n";
constexpr float kEdges[] = {0.0f, -0.0f, NAN, kInfinity, -kInfinity, FLT_MAX, -FLT_MAX, 128.0f, -126.0f, 20.0f};
constexpr int64_t kFloats = int64_t(1) << 32;

struct Level {
  const char* name;
  Functions functions;
};

std::vector<Level> levels() {
  std::vector<Level> found{{"baseline", functions<Isa::baseline>()}};
#if defined(__x86_64__)
  if (current_isa() >= Isa::avx2) found.push_back({"avx2", functions<Isa::avx2>()});
  if (current_isa() >= Isa::avx512) found.push_back({"avx512", functions<Isa::avx512>()});
#endif
  return found;
}

// The edges, then every Nth float in the order of their bits.
struct Sample {
  int64_t every = 1;

  int64_t size() const { return int64_t(std::size(kEdges)) + (kFloats + every - 1) / every; }
  float operator[](int64_t i) const {
    const int64_t edges = std::size(kEdges);
    return i < edges ? kEdges[i] : std::bit_cast<float>(uint32_t((i - edges) * every));
  }
};

// A block of arguments, from the `first` of the sample on: the findings of each level.
void check_block(const Contract& contract, const std::vector<Level>& levels, const Planted& planted, int64_t first,
                 const float* x, std::vector<Findings>& findings) {
  float y[kBlock];
  double exact[kBlock];
  for (int i = 0; i < kBlock; ++i) exact[i] = contract.exact(x[i]);
  for (std::size_t level = 0; level < levels.size(); ++level) {
    (levels[level].functions.*contract.function)(x, y);
    for (int i = 0; planted.spoiled && i < kBlock; ++i) y[i] = planted.spoiled(x[i], y[i]);
    for (int i = 0; i < kBlock; ++i) findings[level].take(contract, first + i, x[i], y[i], exact[i]);
  }
}

// The whole sample, on all cores.
std::vector<Findings> check(const Contract& contract, const std::vector<Level>& levels, const Planted& planted,
                            const Sample& sample) {
  std::vector<std::vector<Findings>> parts(std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::thread> threads;
  std::atomic<int64_t> blocks = 0;
  for (std::vector<Findings>& part : parts)
    threads.emplace_back([&] {
      part.resize(levels.size());
      for (int64_t first; (first = kBlock * blocks++) < sample.size();) {
        float x[kBlock];
        for (int i = 0; i < kBlock; ++i) {
          x[i] = sample[std::min(first + i, sample.size() - 1)];
          if (contract.bounded && !(std::fabs(x[i]) < kBounded)) x[i] = 0;
        }
        check_block(contract, levels, planted, first, x, part);
      }
    });
  for (std::thread& thread : threads) thread.join();
  std::vector<Findings> findings(levels.size());
  for (const std::vector<Findings>& part : parts)
    for (std::size_t level = 0; level < levels.size(); ++level) findings[level].take(part[level]);
  return findings;
}

void print(const char* function, const char* level, const Findings& found) {
  std::printf("%-12s  %-8s", function, level);
  for (const Worst& worst : {found.relative, found.last_place, found.decay_last_place, found.decay_complement})
    if (worst.error > 0) std::printf("  %-8.3g at %-15.9g", worst.error, worst.x);
  std::printf("\n");
  std::fflush(stdout);
  if (found.expected)
    std::fprintf(stderr, "%s on %s breaks a promise: of %.9g it is %.9g, exactly %.9g; expected %s.\n", function, level,
                 found.x, found.y, found.exact, found.expected);
}

}  // namespace

int main(int count, char** words) {
  Sample sample;
  Planted planted{};
  for (int i = 1; i < count; i += 2) {
    const std::string_view option = words[i], value = i + 1 < count ? words[i + 1] : "";
    const auto named = [&](const Planted& one) { return value == one.name; };
    const Planted* found = std::find_if(std::begin(kPlanted), std::end(kPlanted), named);
    if (option == "--every" && std::atoll(value.data()) > 0) {
      sample.every = std::atoll(value.data());
    } else if (option == "--plant" && found != std::end(kPlanted)) {
      planted = *found;
    } else {
      std::fputs(kUsage, stderr);
      return 2;
    }
  }
  const std::vector<Level> levels = ::levels();
  std::printf("The largest errors of %lld floats; the last two on [-2^-10, 0):\n", (long long)sample.size());
  std::printf("%-12s  %-8s  %-27s  %-27s  %-27s  %s\n", "function", "level", "relative", "in the last place",
              "in the last place", "of 1 - exp2(x), relative");
  bool right = true;
  for (const Contract& contract : kContracts) {
    const std::vector<Findings> findings = check(contract, levels, planted, sample);
    for (std::size_t level = 0; level < levels.size(); ++level) {
      print(contract.name, levels[level].name, findings[level]);
      right = right && !findings[level].expected;
    }
  }
  return right ? 0 : 1;
}
