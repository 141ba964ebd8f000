// Arithmetic of extents.
#pragma once

#include <cstdint>

#include "simd/vec.h"

namespace kcore::KCORE_ISA_NAMESPACE {

KCORE_INLINE constexpr std::int64_t min(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
KCORE_INLINE constexpr std::int64_t max(std::int64_t a, std::int64_t b) { return a > b ? a : b; }
KCORE_INLINE constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}
KCORE_INLINE constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) {
  return ceil_div(a, b) * b;
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
