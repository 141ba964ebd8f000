// Normalisation over the rows (batch) or over the columns (layer) of a matrix.
//
// Statistics are those of blocks of rows, each taken in two passes while the block is in cache and
// then combined in float64, in order (Chan, Golub, LeVeque: Updating formulae and a pairwise
// algorithm for computing sample variances, 1979).
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/dispatch.h"
#include "simd/scratch.h"

namespace kcore {

// Arrays' entries stand for float32 and float64; every pointer but `workspace` is to that type.
struct NormalizationKernels {
  // y = (x - mean) / sqrt(variance + epsilon) * gamma + beta with every column's own mean and
  // (biased) variance; negative elements of y become 0 with `relu`.
  void (*batch_norm_training[2])(std::int64_t rows, std::int64_t columns, double epsilon, bool relu,
                                 const void* x, const void* gamma, const void* beta, void* y,
                                 void* mean, void* variance, std::byte* workspace);
  void (*batch_norm_gradient[2])(std::int64_t rows, std::int64_t columns, double epsilon,
                                 const void* dy, const void* x, const void* gamma, const void* mean,
                                 const void* variance, void* dx, void* dgamma, void* dbeta,
                                 std::byte* workspace);
  void (*batch_norm_inference[2])(std::int64_t rows, std::int64_t columns, double epsilon,
                                  const void* x, const void* gamma, const void* beta,
                                  const void* mean, const void* variance, void* y,
                                  std::byte* workspace);
  // The same with every row's mean and variance; `inverse` is 1 / sqrt(variance + epsilon).
  void (*layer_norm[2])(std::int64_t rows, std::int64_t columns, double epsilon, const void* x,
                        const void* gamma, const void* beta, void* y, void* mean, void* inverse);
  void (*layer_norm_gradient[2])(std::int64_t rows, std::int64_t columns, const void* dy,
                                 const void* x, const void* gamma, const void* mean,
                                 const void* inverse, void* dx, void* dgamma, void* dbeta,
                                 std::byte* workspace);
  // What any of them takes of its threads' scratch memory.
  ScratchNeed (*scratch[2])(std::int64_t rows, std::int64_t columns);
};
KCORE_KERNEL_TABLE(NormalizationKernels, normalization)

// Rows of one block, which is the grain of tasks: it fits into the second-level cache, and is many
// rows compared with its statistics.
inline std::int64_t normalization_block(std::int64_t columns) {
  const std::int64_t rows = 16384 / (columns < 1 ? 1 : columns);
  return rows < 32 ? 32 : rows;
}

inline std::int64_t normalization_workspace_bytes(std::int64_t rows, std::int64_t columns) {
  const std::int64_t block = normalization_block(columns);
  return ((rows + block - 1) / block + 2) * 2 * columns * 8;
}

}  // namespace kcore
