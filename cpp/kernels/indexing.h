// Elements and rows chosen by index. A negative index counts from the end; one that is still out of
// range reads a `missing` value and writes nothing.
#pragma once

#include <cstdint>

#include "simd/dispatch.h"

namespace kcore {

// 32- or 64-bit integers.
struct Indices {
  const void* data;
  std::int64_t bytes;  // of one index: 4 or 8
};

// How a tensor is seen around the indexed axis: (outer, extent, inner) with `count` indices.
struct IndexedAxis {
  std::int64_t outer, extent, inner, count;
};

// Entries of the arrays below stand for int32, int64, float32 and float64.
struct IndexingKernels {
  // out[o, j, :] = x[o, indices[j], :]; `missing` is the pattern of one element.
  void (*gather)(const IndexedAxis& axis, const void* x, Indices indices, const void* missing,
                 std::int64_t element_bytes, void* out);
  // out[o, r, :] = sum of updates[o, j, :] over indices[j] == r, in the order of j.
  // `workspace`: extent + 1 + count integers.
  void (*scatter_add[4])(const IndexedAxis& axis, const void* updates, Indices indices,
                         std::int64_t* workspace, void* out);
  // out[indices[j], :] = updates[j, :], the last of equal indices winning. Widths in bytes.
  void (*scatter_rows)(std::int64_t rows, std::int64_t row_bytes, std::int64_t count,
                       const void* updates, Indices indices, void* out);
  // out[o, j, i] = x[o, indices[o, j, i], i].
  void (*take_along_axis)(const IndexedAxis& axis, const void* x, Indices indices,
                          const void* missing, std::int64_t element_bytes, void* out);
  // out[o, r, i] = sum of updates[o, j, i] over indices[o, j, i] == r, in the order of j.
  void (*scatter_add_along_axis[4])(const IndexedAxis& axis, const void* updates, Indices indices,
                                    void* out);
  // out[j, :] is `off` but for `on` at indices[j]; no index is negative or too large for that.
  void (*one_hot)(std::int64_t count, std::int64_t depth, Indices indices, const void* on,
                  const void* off, std::int64_t element_bytes, void* out);
};
KCORE_KERNEL_TABLE(IndexingKernels, indexing)

}  // namespace kcore
