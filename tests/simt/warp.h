// What the lanes of a warp do together: shuffles, votes and barriers over a mask.
#pragma once

#include <cstring>
#include <type_traits>

#include "block.h"

namespace simt {

template <typename T>
T shuffle(unsigned mask, T value, int source, const SourceLine& where) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8, "CUDA shuffles integers, float and double");
  Brought brought{0, source};
  std::memcpy(&brought.value, &value, sizeof(T));
  const std::uint64_t bits = meet(Meeting::shuffle, mask, brought, where);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

// The lane to read from, within the segment of `width` lanes; a lane that would reach outside reads itself.
inline int in_segment(int source, int width) {
  const int first = lane() / width * width;
  return source >= first && source < first + width ? source : lane();
}

}  // namespace simt

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SourceLine where = SourceLine::current()) {
  const int first = simt::lane() / width * width;
  return simt::shuffle(mask, value, first + (source & (width - 1)), where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SourceLine where = SourceLine::current()) {
  return simt::shuffle(mask, value, simt::in_segment(simt::lane() - int(delta), width), where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SourceLine where = SourceLine::current()) {
  return simt::shuffle(mask, value, simt::in_segment(simt::lane() + int(delta), width), where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SourceLine where = SourceLine::current()) {
  // CUDA lets a lane read segments before its own, not those after.
  const int source = simt::lane() ^ lanes, end = simt::lane() / width * width + width;
  return simt::shuffle(mask, value, source < end ? source : simt::lane(), where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, SourceLine where = SourceLine::current()) {
  return unsigned(simt::meet(simt::Meeting::ballot, mask, {predicate != 0, 0}, where));
}
inline int __any_sync(unsigned mask, int predicate, SourceLine where = SourceLine::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, SourceLine where = SourceLine::current()) {
  return __ballot_sync(mask, predicate, where) == mask;
}
inline void __syncwarp(unsigned mask = 0xffffffff, SourceLine where = SourceLine::current()) {
  simt::meet(simt::Meeting::sync, mask, {}, where);
}
inline unsigned __activemask() { return simt::active_lanes(); }
