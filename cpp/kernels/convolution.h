// Convolutions of NHWC images with HWIO kernels, and their gradients.
#pragma once

#include <cstdint>

#include "kernels/epilogue.h"
#include "simd/dispatch.h"
#include "simd/scratch.h"

namespace kcore {

// The extents of y = convolution(x, kernel): x is (batch, in_rows, in_cols, in_channels), kernel
// (kernel_rows, kernel_cols, in_channels / groups, out_channels), y (batch, out_rows, out_cols,
// out_channels). y(i, j) reads x from row i * stride_rows - pad_top and column
// j * stride_cols - pad_left on, every dilation-th, zero outside of the image.
// A depthwise kernel is (kernel_rows, kernel_cols, in_channels, out_channels / in_channels).
struct ConvolutionGeometry {
  std::int64_t batch = 0;
  std::int64_t in_rows = 0, in_cols = 0, in_channels = 0;
  std::int64_t out_rows = 0, out_cols = 0, out_channels = 0;
  std::int64_t kernel_rows = 1, kernel_cols = 1;
  std::int64_t stride_rows = 1, stride_cols = 1;
  std::int64_t dilation_rows = 1, dilation_cols = 1;
  std::int64_t pad_top = 0, pad_left = 0;
  std::int64_t groups = 1;
  bool exact = false;  // no Winograd transforms, which round more than sums of products do

  double flops() const {
    if (groups == 0) return 0;
    return 2.0 * static_cast<double>(batch * out_rows * out_cols) *
           static_cast<double>(kernel_rows * kernel_cols) *
           static_cast<double>(in_channels / groups) * static_cast<double>(out_channels);
  }
};

// What a function needs besides its operands, in bytes. `shared` is passed to it as `workspace`;
// `thread` is what each thread takes for itself, `product` what a matrix product that is called
// takes.
struct ConvolutionMemory {
  std::int64_t shared = 0, thread = 0;
  ScratchNeed product = {};
};

template <class T>
struct ConvolutionKernels {
  // y = epilogue(convolution(x, kernel)), from the kernel or, unless null, from what prepare() made
  // of it. The epilogue has no gate.
  void (*forward)(const ConvolutionGeometry& geometry, const T* x, const T* kernel,
                  const T* prepared, const Epilogue<T>& epilogue, T* y, void* workspace);
  ConvolutionMemory (*forward_memory)(const ConvolutionGeometry& geometry);
  // Whether forward() can pool, after no activation or relu; y is then null.
  bool (*pools)(const ConvolutionGeometry& geometry);
  // The kernel in the order in which forward() reads it; 0 elements where it reads it as it is.
  std::int64_t (*prepared_elements)(const ConvolutionGeometry& geometry);
  void (*prepare)(const ConvolutionGeometry& geometry, const T* kernel, T* prepared);
  // dx from dy. With a bias (in_channels elements) and an activation it is a transposed
  // convolution.
  void (*data_gradient)(const ConvolutionGeometry& geometry, const T* dy, const T* kernel,
                        const Epilogue<T>& epilogue, T* dx, void* workspace);
  ConvolutionMemory (*data_gradient_memory)(const ConvolutionGeometry& geometry);
};
KCORE_KERNEL_TABLE(ConvolutionKernels<float>, convolution_float32)
KCORE_KERNEL_TABLE(ConvolutionKernels<double>, convolution_float64)

template <class T>
struct WeightGradientKernels {
  void (*weight_gradient)(const ConvolutionGeometry& geometry, const T* x, const T* dy, T* dkernel,
                          void* workspace);
  ConvolutionMemory (*memory)(const ConvolutionGeometry& geometry);
};
KCORE_KERNEL_TABLE(WeightGradientKernels<float>, convolution_weights_float32)
KCORE_KERNEL_TABLE(WeightGradientKernels<double>, convolution_weights_float64)

template <class T>
struct DepthwiseKernels {
  void (*forward)(const ConvolutionGeometry& geometry, const T* x, const T* kernel,
                  const Epilogue<T>& epilogue, T* y, void* workspace);
  ConvolutionMemory (*forward_memory)(const ConvolutionGeometry& geometry);
  void (*data_gradient)(const ConvolutionGeometry& geometry, const T* dy, const T* kernel, T* dx,
                        void* workspace);
  ConvolutionMemory (*data_gradient_memory)(const ConvolutionGeometry& geometry);
  void (*weight_gradient)(const ConvolutionGeometry& geometry, const T* x, const T* dy, T* dkernel,
                          void* workspace);
  ConvolutionMemory (*weight_gradient_memory)(const ConvolutionGeometry& geometry);
};
KCORE_KERNEL_TABLE(DepthwiseKernels<float>, depthwise_float32)
KCORE_KERNEL_TABLE(DepthwiseKernels<double>, depthwise_float64)

template <class T>
const ConvolutionKernels<T>& convolution_kernels();
template <>
inline const ConvolutionKernels<float>& convolution_kernels() {
  return convolution_float32_kernels();
}
template <>
inline const ConvolutionKernels<double>& convolution_kernels() {
  return convolution_float64_kernels();
}

template <class T>
const WeightGradientKernels<T>& convolution_weights_kernels();
template <>
inline const WeightGradientKernels<float>& convolution_weights_kernels() {
  return convolution_weights_float32_kernels();
}
template <>
inline const WeightGradientKernels<double>& convolution_weights_kernels() {
  return convolution_weights_float64_kernels();
}

template <class T>
const DepthwiseKernels<T>& depthwise_kernels();
template <>
inline const DepthwiseKernels<float>& depthwise_kernels() {
  return depthwise_float32_kernels();
}
template <>
inline const DepthwiseKernels<double>& depthwise_kernels() {
  return depthwise_float64_kernels();
}

}  // namespace kcore
