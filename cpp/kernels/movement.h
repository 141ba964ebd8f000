// Moving elements without computing: strided copies (transpose, slice, reverse, tile, broadcast
// ...), padding and concatenation. Elements are 1, 4 or 8 bytes wide; nothing looks at their value.
#pragma once

#include <cstdint>

#include "simd/dispatch.h"
#include "simd/scratch.h"

namespace kcore {

constexpr int kMaxCopyRank = 16;

// out[sum i_d * out_strides[d]] = in[sum i_d * in_strides[d]] for every index i within the extents.
// Strides and offsets count elements; an input stride may be zero or negative. The output
// addresses must be distinct.
struct StridedCopy {
  int rank = 0;
  std::int64_t extents[kMaxCopyRank] = {};
  std::int64_t in_strides[kMaxCopyRank] = {};
  std::int64_t out_strides[kMaxCopyRank] = {};
  std::int64_t in_offset = 0;
  std::int64_t out_offset = 0;
  std::int64_t element_bytes = 0;
};

// A dense tensor placed at `low` within a larger dense one.
struct Padding {
  int rank = 0;
  std::int64_t in_extents[kMaxCopyRank] = {};
  std::int64_t out_extents[kMaxCopyRank] = {};
  std::int64_t low[kMaxCopyRank] = {};
  std::int64_t element_bytes = 0;
};

struct MovementKernels {
  void (*strided_copy)(const StridedCopy& copy, const void* in, void* out);
  // What it takes of its threads' scratch memory.
  ScratchNeed (*strided_copy_scratch)(const StridedCopy& copy);
  // `value` is the pattern of one element.
  void (*pad)(const Padding& padding, const void* in, const void* value, void* out);
  // Each of `rows` output rows is the inputs' rows, one after the other. Widths in bytes.
  void (*concatenate)(std::int64_t inputs, const void* const* in, const std::int64_t* widths,
                      std::int64_t rows, void* out);
};
KCORE_KERNEL_TABLE(MovementKernels, movement)

}  // namespace kcore
