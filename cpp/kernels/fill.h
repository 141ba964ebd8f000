// Setting every element to one value.
#pragma once

#include <cstdint>

#include "simd/dispatch.h"

namespace kcore {

struct FillKernels {
  // `bytes` of the pattern of one element (1, 4 or 8 bytes wide), `count` times.
  void (*fill)(void* out, std::int64_t count, std::int64_t element_bytes, const void* element);
};
KCORE_KERNEL_TABLE(FillKernels, fill)

}  // namespace kcore
