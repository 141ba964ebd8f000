// Pooling and resampling of images, NHWC, vectors of channels.
#pragma once

#include <cstdint>

#include "simd/dispatch.h"
#include "simd/scratch.h"

namespace kcore {

// Output (oy, ox) sees the input rows oy * stride_y - top .. + pool_height - 1, and columns alike,
// as far as they exist; at least one does.
struct Pooling {
  std::int64_t batch, height, width, channels;
  std::int64_t out_height, out_width;
  std::int64_t pool_height, pool_width;
  std::int64_t stride_y, stride_x;
  std::int64_t top, left;
};

// Output o along an axis is the sum of weights[k] * in[indices[k]], starts[o] <= k < starts[o + 1].
struct ResamplingAxis {
  std::int64_t in_extent, out_extent;
  const std::int64_t* starts;
  const std::int64_t* indices;
  const double* weights;
};

// Arrays' entries stand for float32 and float64; where there are two extents, the second one for
// places that are uint8 and int32. A place is the number of an element in its window, row by row,
// those counted that don't exist: of the first of the greatest, of the first NaN if there is one.
struct PoolingKernels {
  void (*max_pool[2])(const Pooling& p, const void* x, void* y);
  void (*max_pool_places[2][2])(const Pooling& p, const void* x, void* y, void* places);
  // A window's gradient goes to the element in its place.
  void (*max_pool_gradient[2][2])(const Pooling& p, const void* places, const void* dy, void* dx);
  // y takes the element of v in each window's place.
  void (*max_pool_select[2][2])(const Pooling& p, const void* places, const void* v, void* y);
  // The mean of the elements that exist.
  void (*average_pool[2])(const Pooling& p, const void* x, void* y);
  void (*average_pool_gradient[2])(const Pooling& p, const void* dy, void* dx);
  void (*resample[2])(std::int64_t batch, std::int64_t channels, const ResamplingAxis& rows,
                      const ResamplingAxis& columns, const void* x, void* y);
  // What the gradients take of their threads' scratch memory.
  ScratchNeed (*max_pool_gradient_scratch[2])(const Pooling& p);
  ScratchNeed (*average_pool_gradient_scratch[2])(const Pooling& p);
};
KCORE_KERNEL_TABLE(PoolingKernels, pooling)

}  // namespace kcore
