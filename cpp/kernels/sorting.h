// Order along the last axis. NaN is greater than every number; zeros of either sign are equal;
// equal elements keep their order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/dispatch.h"

namespace kcore {

// Arrays' entries stand for uint8 (and bool), int32, int64, float32 and float64.
struct SortingKernels {
  // Either output may be null. `index_bytes`: 4 or 8, the width of an element of `indices`.
  // `workspace`: sorting_workspace_bytes(rows, n).
  void (*sort[5])(std::int64_t rows, std::int64_t n, bool descending, const void* x,
                  std::byte* workspace, void* values, void* indices, std::int64_t index_bytes);
  // The k greatest, greatest first. `workspace` as above.
  void (*top_k[5])(std::int64_t rows, std::int64_t n, std::int64_t k, const void* x,
                   std::byte* workspace, void* values, void* indices, std::int64_t index_bytes);
  // out[j]: how many of the n sorted elements are less than values[j] (or, with `right`, at most).
  void (*searchsorted[5])(std::int64_t n, const void* sorted, std::int64_t count,
                          const void* values, bool right, void* out, std::int64_t index_bytes);
  // Whether fewer than k of a row's predictions are greater than the target's; false if the target
  // is out of range or a prediction is not finite. Entries: float32 and float64.
  void (*in_top_k[2])(std::int64_t rows, std::int64_t n, std::int64_t k, const void* predictions,
                      const void* targets, std::int64_t target_bytes, bool* out);
};
KCORE_KERNEL_TABLE(SortingKernels, sorting)

// Rows are sorted by at most this many tasks, each with its own part of the workspace.
constexpr std::int64_t kSortingTasks = 16;

inline std::int64_t sorting_workspace_bytes(std::int64_t rows, std::int64_t n) {
  return (rows < kSortingTasks ? rows : kSortingTasks) * n * 2 * 16;
}

}  // namespace kcore
