// Softmax over the rows of a dense (rows, columns) array, and the cross-entropies that go with it.
// Types: float32 and float64. An output may be the memory of an input of the same shape.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "simd/dispatch.h"

namespace kcore {

// The target distribution of each row: probabilities of the type of the logits, or the index of
// the one class (int32 or int64).
struct Labels {
  const void* data;
  ElementType type;
};

struct SoftmaxKernels {
  void (*softmax)(ElementType type, const void* x, void* y, std::int64_t rows,
                  std::int64_t columns);
  void (*log_softmax)(ElementType type, const void* x, void* y, std::int64_t rows,
                      std::int64_t columns);
  // From the result y of the function and the gradient dy of the result.
  void (*softmax_gradient)(ElementType type, const void* y, const void* dy, void* dx,
                           std::int64_t rows, std::int64_t columns);
  void (*log_softmax_gradient)(ElementType type, const void* y, const void* dy, void* dx,
                               std::int64_t rows, std::int64_t columns);

  // losses[r] = -sum(labels[r] * log_softmax(logits[r])); log_sums[r] = log(sum(exp(logits[r]))).
  // A class index outside [0, columns) gives NaN.
  void (*cross_entropy)(ElementType type, const void* logits, Labels labels, void* losses,
                        void* log_sums, std::int64_t rows, std::int64_t columns);
  // dlogits = dlosses * (sum(labels) * softmax(logits) - labels).
  void (*cross_entropy_gradient)(ElementType type, const void* logits, Labels labels,
                                 const void* log_sums, const void* dlosses, void* dlogits,
                                 std::int64_t rows, std::int64_t columns);
};
KCORE_KERNEL_TABLE(SoftmaxKernels, softmax)

}  // namespace kcore
