// Matrix products.
#pragma once

#include <cstdint>

#include "kernels/epilogue.h"
#include "simd/dispatch.h"
#include "simd/scratch.h"

namespace kcore {

// Takes a product piece by piece, each while it is in the cache of the thread that made it: rows
// [row, row + rows) and columns [col, col + cols), which lie at `piece` one row behind the other.
// Threads call it at once.
template <class T>
struct PieceTaker {
  void (*take)(const void* self, const T* piece, std::int64_t row, std::int64_t rows,
               std::int64_t col, std::int64_t cols);
  const void* self;
};

// c = activation(addend + a @ b + bias).
// a is m x k (k x m in memory if transposed), b is k x n (n x k in memory if transposed), c is
// m x n, not overlapping the others except that it may be the addend; strides are elements from one
// row in memory to the next.
template <class T>
struct Gemm {
  std::int64_t m = 0, n = 0, k = 0;
  const T* a = nullptr;
  std::int64_t a_stride = 0;
  bool transpose_a = false;
  const T* b = nullptr;
  std::int64_t b_stride = 0;
  bool transpose_b = false;
  const T* prepared = nullptr;  // what prepare() made of b, or null
  T* c = nullptr;
  std::int64_t c_stride = 0;
  const PieceTaker<T>* taker = nullptr;  // of c, which is then null, or null; see in_pieces()
  const T* addend = nullptr;             // laid out as c, or null
  const T* bias = nullptr;               // n elements, or null
  Activation activation = Activation::none;
};

template <class T>
struct GemmKernels {
  // From b or, unless null, from what prepare() made of it: of the same bits.
  void (*gemm)(const Gemm<T>& gemm);
  // Whether this product can be taken piece by piece.
  bool (*in_pieces)(const Gemm<T>& gemm);
  // The elements that prepare() writes; 0 if this product is computed from b itself.
  std::int64_t (*prepared_elements)(const Gemm<T>& gemm);
  void (*prepare)(const Gemm<T>& gemm, T* prepared);
  // `count` products of one form; offsets are elements from the start of a, b and c (and of the
  // addend).
  void (*batched)(const Gemm<T>& gemm, std::int64_t count, const std::int64_t* a_offsets,
                  const std::int64_t* b_offsets, std::int64_t c_step);
  // What `count` products of one form take.
  ScratchNeed (*scratch)(const Gemm<T>& gemm, std::int64_t count);
};
KCORE_KERNEL_TABLE(GemmKernels<float>, gemm_float32)
KCORE_KERNEL_TABLE(GemmKernels<double>, gemm_float64)
KCORE_KERNEL_TABLE(GemmKernels<std::int32_t>, gemm_int32)
KCORE_KERNEL_TABLE(GemmKernels<std::int64_t>, gemm_int64)

template <class T>
const GemmKernels<T>& gemm_kernels();
template <>
inline const GemmKernels<float>& gemm_kernels() {
  return gemm_float32_kernels();
}
template <>
inline const GemmKernels<double>& gemm_kernels() {
  return gemm_float64_kernels();
}
template <>
inline const GemmKernels<std::int32_t>& gemm_kernels() {
  return gemm_int32_kernels();
}
template <>
inline const GemmKernels<std::int64_t>& gemm_kernels() {
  return gemm_int64_kernels();
}

}  // namespace kcore
