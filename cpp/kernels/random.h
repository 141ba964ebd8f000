// Counter-based random numbers: element i of a tensor is a function of the key, the step and i
// alone, so that the bits depend neither on threads nor (for uniform numbers) on the instruction
// set.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "simd/dispatch.h"

namespace kcore {

struct RandomStream {
  std::uint64_t key;
  std::uint64_t step;
};

struct RandomKernels {
  // In [low, high). Integers: low and high are whole and fit the type.
  void (*uniform)(ElementType type, void* y, std::int64_t count, double low, double high,
                  RandomStream stream);
  void (*uniform_integer)(ElementType type, void* y, std::int64_t count, std::int64_t low,
                          std::int64_t high, RandomStream stream);
  // float32 and float64.
  void (*normal)(ElementType type, void* y, std::int64_t count, double mean, double deviation,
                 RandomStream stream);
  // Within two standard deviations of the mean.
  void (*truncated_normal)(ElementType type, void* y, std::int64_t count, double mean,
                           double deviation, RandomStream stream);
  // One with the given probability (to 2^-33), else zero. The bits are the same for every
  // instruction set.
  void (*bernoulli)(ElementType type, void* y, std::int64_t count, double probability,
                    RandomStream stream);
  // The numbers [0, count) in random order.
  void (*permutation)(ElementType type, void* y, std::int64_t count, RandomStream stream);
};
KCORE_KERNEL_TABLE(RandomKernels, random)

}  // namespace kcore
