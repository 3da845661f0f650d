// What is found while a function is compared with its value in double.
#pragma once

#include <bit>
#include <cstdint>

#include "contracts.h"

namespace ssamba {

// The largest error, and where.
struct Worst {
  double error = 0;
  float x = 0;

  void take(double off, double unit, float at) {
    if (off > error * unit) error = off / unit, x = at;
  }
  void take(const Worst& other) { take(other.error, 1, other.x); }
};

struct Findings {
  Worst relative, last_place;                // the latter in units of it
  Worst decay_last_place, decay_complement;  // of decays close to 1: likewise, and the relative error of 1 - 2^x
  const char* expected = nullptr;  // if a promise is broken: what should have been, where y is the result of x
  float x = 0, y = 0;
  double exact = 0;
  int64_t place = 0;  // in the sample; the first is told, whichever thread met it

  void take(const Contract& contract, int64_t number, float at, float found, double value) {
    const char* promise = broken(contract, at, found, value);
    if (promise && !expected) expected = promise, x = at, y = found, exact = value, place = number;
    if (!(value >= FLT_MIN && value <= FLT_MAX)) return;
    const double off = std::fabs(found - value);
    relative.take(off, value, at);
    last_place.take(off, unit_in_last_place(value), at);
    if (contract.also != decay || !is_close_to_one(at)) return;
    decay_last_place.take(off, 0x1p-24, at);
    if (value <= 1 - 0x1p-24) decay_complement.take(off, 1 - value, at);  // less is a rounding away from nothing
  }

  void take(const Findings& other) {
    relative.take(other.relative);
    last_place.take(other.last_place);
    decay_last_place.take(other.decay_last_place);
    decay_complement.take(other.decay_complement);
    if (!other.expected || (expected && place < other.place)) return;
    expected = other.expected, x = other.x, y = other.y, exact = other.exact, place = other.place;
  }

 private:
  // From the float at or below `value` to the next.
  static double unit_in_last_place(double value) {
    return std::bit_cast<double>(std::bit_cast<uint64_t>(value) & 0x7ff0000000000000) * 0x1p-23;
  }
};

}  // namespace ssamba
