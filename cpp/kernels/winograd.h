// Convolutions of 3 x 3 taps by Winograd's minimal filtering.
#pragma once

#include "kernels/product.h"

namespace kcore::KCORE_ISA_NAMESPACE {

// Whether the product has 3 x 3 taps and is of a shape for which this is the fastest way.
bool winograd_suits(const Product<float>& product);

ConvolutionMemory winograd_memory(const Product<float>& product);

void winograd(const Product<float>& product, const float* source, const float* kernel,
              const Epilogue<float>& epilogue, float* out, void* memory);

// The same from a kernel transformed before, by the way that suits the product: its elements are
// kept by the caller.
std::int64_t winograd_kernel_elements(const Product<float>& product);

void winograd_transform_kernel(const Product<float>& product, const float* kernel,
                               float* transformed);

ConvolutionMemory winograd_transformed_memory(const Product<float>& product);

void winograd_transformed(const Product<float>& product, const float* source,
                          const float* transformed, const Epilogue<float>& epilogue, float* out,
                          void* memory);

// The weight gradient of the convolution whose forward product is given.
bool winograd_suits_weight_gradient(const Product<float>& product);

ConvolutionMemory winograd_weight_gradient_memory(const Product<float>& product);

void winograd_weight_gradient(const Product<float>& product, const float* x, const float* dy,
                              float* dkernel, void* memory);

}  // namespace kcore::KCORE_ISA_NAMESPACE
