// What a product (GEMM, convolution) does to its result before it leaves the cache.
#pragma once

#include <cstdint>

namespace kcore {

enum class Activation : std::uint8_t { none, relu, sigmoid, tanh, softplus };

}  // namespace kcore
