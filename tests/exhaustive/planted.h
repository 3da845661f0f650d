// Errors to plant into results, one for each promise: a check that misses one is no check.
#pragma once

#include "contracts.h"

namespace ssamba {

struct Planted {
  const char* name;
  float (*spoiled)(float x, float y);
};

constexpr Planted kPlanted[] = {
    {"coefficient", [](float x, float y) { return x > -1 && x < 0 ? y * (1 + 0x1p-20f * x) : y; }},
    {"nan", [](float, float y) { return y != y ? 0 : y; }},
    {"infinity", [](float, float y) { return y == kInfinity ? FLT_MAX : y; }},
    {"underflow", [](float x, float y) { return x < -126 ? -FLT_MIN : y; }},
    {"rounded-decay", [](float x, float y) { return x < 0 && x > -0x1p-24f ? 1 : y; }},
    {"slow-decay", [](float x, float y) { return is_close_to_one(x) ? y - 0x1p-24f : y; }},
    {"identity", [](float x, float y) { return x > 20 ? y * (1 - 0x1p-23f) : y; }},
};

}  // namespace ssamba
