// What a product (GEMM, convolution) does to its result before it leaves the cache.
#pragma once

#include <cstdint>

namespace kcore {

enum class Activation : std::uint8_t { none, relu, sigmoid, tanh, softplus };

// y = activation(x + bias), then 0 wherever the gate isn't positive: so ends the gradient of relu,
// whose output is the gate. Pointers may be null; the gate lies as the result does.
//
// With `pooled` no y is written, but the greatest elements of its windows of 2 x 2 pixels, and to
// `places` which of the four each was (see pooling.h). What doesn't fill a window is left out.
template <class T>
struct Epilogue {
  const T* bias = nullptr;
  Activation activation = Activation::none;
  const T* gate = nullptr;
  T* pooled = nullptr;
  std::uint8_t* places = nullptr;
};

}  // namespace kcore
