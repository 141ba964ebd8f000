// Reductions and running sums over the middle extent of a dense (outer, count, inner) array.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/element_type.h"
#include "simd/dispatch.h"

namespace kcore {

enum class Reduction { sum, sum_of_squares, prod, max, min };

struct Extents {
  std::int64_t outer, count, inner;
};

struct Cumulation {
  bool product, reverse, exclusive;
};

struct ReduceKernels {
  // y[o, i] = reduction of x[o, :, i]; sums are divided by `divisor` unless it is 0.
  // Booleans have max (any) and min (all) alone. NaN wins over any maximum and minimum.
  // Blocks are added pairwise, in an order that depends on the extents alone.
  void (*reduce)(Reduction kind, ElementType type, const void* x, void* y, Extents extents,
                 double divisor, std::byte* workspace);
  std::int64_t (*reduce_workspace)(ElementType type, Extents extents);

  // Index of the first largest (smallest) element, the first NaN if there is one; `index` is of
  // int64 or of int32. extents.count > 0.
  void (*arg_reduce)(bool largest, ElementType type, const void* x, void* index, bool wide,
                     Extents extents);

  // y[o, r, i] = sum or product of x[o, :r + 1, i], or of x[o, r:, i] if reversed; without the
  // element r itself if exclusive.
  void (*cumulate)(Cumulation how, ElementType type, const void* x, void* y, Extents extents);
};
KCORE_KERNEL_TABLE(ReduceKernels, reduce)

}  // namespace kcore
