// The sampler of patch masks: a counter-based generator, and the drawing of one clip's mask. Plain C++, the same bits
// on every platform. ssamba_ops/reference.py states the same in Python.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace ssamba {

struct PatchGrid {
  int64_t rows, cols, masked, min_cluster, max_cluster;
};

// Stream number `stream` of a seed; value i is the SplitMix64 hash of its counter. (Steele, Lea and Flood, OOPSLA
// 2014.)
class RandomStream {
 public:
  SSAMBA_HOST_DEVICE RandomStream(uint64_t seed, uint64_t stream) : counter_(hash(hash(seed) + stream)) {}

  // Uniform in [0, n), by the high half of a 128-bit product; its bias is below n / 2^64.
  SSAMBA_HOST_DEVICE int64_t below(int64_t n) {
    counter_ += 0x9e3779b97f4a7c15u;
    return int64_t((static_cast<unsigned __int128>(hash(counter_)) * uint64_t(n)) >> 64);
  }

 private:
  SSAMBA_HOST_DEVICE static uint64_t hash(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t counter_;
};

// Writes the mask of clip `clip`: rows * cols bytes, row by row. `fresh` is scratch for rows * cols indices.
//
// Squares may begin outside the grid, as far as one row or column still falls inside: so every patch, border or not, is
// covered by the same number of possible squares. Of the last square, patches drawn at random are given back.
template <typename Index>
SSAMBA_HOST_DEVICE void sample_clip_mask(const PatchGrid& grid, uint64_t seed, int64_t clip, uint8_t* mask,
                                         Index* fresh) {
  const int64_t cells = grid.rows * grid.cols;
  for (int64_t i = 0; i < cells; ++i) mask[i] = 0;
  RandomStream random(seed, uint64_t(clip));
  const int64_t side = grid.min_cluster + random.below(grid.max_cluster - grid.min_cluster + 1);
  int64_t covered = 0;
  while (covered < grid.masked) {  // every draw hits any given patch with a chance of at least 1 / cells
    const int64_t top = random.below(grid.rows + side - 1) - (side - 1);
    const int64_t left = random.below(grid.cols + side - 1) - (side - 1);
    const int64_t bottom = top + side < grid.rows ? top + side : grid.rows;
    const int64_t right = left + side < grid.cols ? left + side : grid.cols;
    int64_t found = 0;
    for (int64_t row = top > 0 ? top : 0; row < bottom; ++row)
      for (int64_t col = left > 0 ? left : 0; col < right; ++col) {
        const int64_t cell = row * grid.cols + col;
        fresh[found] = Index(cell);
        found += !mask[cell];
        mask[cell] = 1;
      }
    covered += found;
    for (int64_t i = 0; covered > grid.masked; ++i, --covered) {
      const int64_t j = i + random.below(found - i), cell = int64_t(fresh[j]);
      fresh[j] = fresh[i];
      mask[cell] = 0;
    }
  }
}

}  // namespace ssamba
