// The micro-kernel for few output channels, which would leave most of a vector of them empty:
// vectors run along depth instead, and are summed at the end.
#pragma once

#include "kernels/product.h"

namespace kcore::KCORE_ISA_NAMESPACE {

// Accumulators fill the registers with one vector a row and a column to spare.
constexpr int kNarrowCols = 4;
#if defined(__AVX512F__)
constexpr int kNarrowRows = 6;
#else
constexpr int kNarrowRows = 2;
#endif

// Whether the product has columns few enough, and neighbouring depth long enough.
template <class T>
bool is_narrow(const Product<T>& product, std::int64_t run) {
  return 2 * product.group_columns <= kWidth<T> && run >= kWidth<T>;
}

// The kernel's columns, group by group: every `run` elements of depth, which lie together in the
// source, are padded with zeros to whole vectors.
template <class T>
void pack_narrow(const Product<T>& product, std::int64_t run, const T* kernel, T* packed) {
  const Axis &rows = product.grid.rows, &cols = product.grid.cols;
  const std::int64_t channels = product.depth_channels;
  const std::int64_t padding = round_up(run, kWidth<T>) - run;
  for (std::int64_t group = 0; group < product.groups; ++group) {
    for (std::int64_t column = 0; column < product.group_columns; ++column) {
      std::int64_t filled = 0;
      for (std::int64_t u = 0; u < rows.taps; ++u) {
        for (std::int64_t v = 0; v < cols.taps; ++v) {
          const T* tap =
              kernel + ((rows.kernel_first + u * rows.kernel_step) * product.kernel_cols +
                        cols.kernel_first + v * cols.kernel_step) *
                           product.kernel_channels * product.kernel_outputs;
          tap += product.transposed ? column * product.kernel_outputs + group * channels
                                    : group * product.group_columns + column;
          const std::int64_t step = product.transposed ? 1 : product.kernel_outputs;
          for (std::int64_t c = 0; c < channels; ++c) *packed++ = tap[c * step];
          filled += channels;
          if (filled == run) {
            clear(packed, padding);
            packed += padding;
            filled = 0;
          }
        }
      }
    }
  }
}

// Lane j is the sum of x's elements for even j, of y's for odd j, over neighbours of `Group` lanes.
template <class T, int Group>
KCORE_INLINE Vec<T> add_neighbours(Vec<T> x, Vec<T> y) {
  constexpr int width = static_cast<int>(kWidth<T>);
  const auto lane = [](int i, int half) {
    const int in_pair = i % (2 * Group);
    return i - in_pair + in_pair % Group + half * Group + (in_pair < Group ? 0 : width);
  };
  return shuffle<T>(x, y, make_lanes<T>([=](int i) { return lane(i, 0); })) +
         shuffle<T>(x, y, make_lanes<T>([=](int i) { return lane(i, 1); }));
}

// The sums of each vector's elements side by side, in the first lanes; the others hold the same
// again. All are added together, which takes a third of the steps of one by one.
template <class T>
KCORE_INLINE Vec<T> sums_of(const Vec<T> (&v)[4]) {
  constexpr int width = static_cast<int>(kWidth<T>);
  Vec<T> sums =
      add_neighbours<T, 2>(add_neighbours<T, 1>(v[0], v[1]), add_neighbours<T, 1>(v[2], v[3]));
#pragma GCC unroll 4
  for (int half = width / 2; half >= 4; half /= 2) {
    sums += shuffle<T>(sums, sums, make_lanes<T>([=](int lane) { return (lane + half) % width; }));
  }
  return sums;
}

// tile.b_stride: from one column to the next.
template <class T, int Rows, int Cols>
void narrow_tile(const GatherTile<T>& tile) {
  constexpr std::int64_t width = kWidth<T>;
  Vec<T> acc[Rows][Cols] = {};
  const T* b = tile.b;
  const auto step = [&](const T* a, auto load_at) __attribute__((always_inline)) {
    Vec<T> columns[Cols];
#pragma GCC unroll 4
    for (int j = 0; j < Cols; ++j) columns[j] = load(b + j * tile.b_stride);
    b += width;
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      const Vec<T> x = load_at(a + tile.a_rows[i]);
#pragma GCC unroll 4
      for (int j = 0; j < Cols; ++j) acc[i][j] += x * columns[j];
    }
  };
  for (std::int64_t s = 0; s < tile.steps; ++s) {
    const T* a = tile.a + tile.a_steps[s];
    std::int64_t p = 0;
    for (; p + width <= tile.run; p += width) step(a + p, [](const T* x) { return load(x); });
    if (p < tile.run) {
      const std::int64_t rest = tile.run - p;
      step(a + p, [=](const T* x) { return load_partial(x, rest); });
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
    T* c = tile.c + tile.c_rows[i];
    if constexpr (width >= kNarrowCols) {
      Vec<T> columns[kNarrowCols] = {};
#pragma GCC unroll 4
      for (int j = 0; j < Cols; ++j) columns[j] = acc[i][j];
      Vec<T> sums = sums_of<T>(columns);
      if (tile.bias != nullptr) sums += load_partial(tile.bias, Cols);
      if (tile.activation == Activation::relu) sums = rectify(sums);
      store_partial(c, sums, Cols);
    } else {
      for (int j = 0; j < Cols; ++j) {
        const T sum = horizontal_sum<T>(acc[i][j]) + (tile.bias == nullptr ? T(0) : tile.bias[j]);
        c[j] = tile.activation == Activation::relu ? rectify(sum) : sum;
      }
    }
    if (tile.activation > Activation::relu) {
      activate_block<T>(c, 0, 1, Cols, tile.activation);
    }
  }
}

template <class T, int Rows, int Cols>
GatherKernel<T> find_narrow_cols(std::int64_t cols) {
  if constexpr (Cols > 1) {
    if (cols < Cols) return find_narrow_cols<T, Rows, Cols - 1>(cols);
  }
  return narrow_tile<T, Rows, Cols>;
}

// The kernel for that many rows (1..kNarrowRows) and columns (1..kNarrowCols).
template <class T, int Rows = kNarrowRows>
GatherKernel<T> find_narrow_kernel(std::int64_t rows, std::int64_t cols) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return find_narrow_kernel<T, Rows - 1>(rows, cols);
  }
  return find_narrow_cols<T, Rows, kNarrowCols>(cols);
}

// The weight gradient of few columns: out[k * Rows + i] (+)= sum over pixels of x[k] * dy[i], for k
// in [0, count) with count <= kNarrowRun<T>. dy's pixels lie Rows apart, x's as `offsets` says.
constexpr int kNarrowVectors = 3;
template <class T>
constexpr std::int64_t kNarrowRun = kNarrowVectors* kWidth<T>;

template <class T, int Rows>
void narrow_weights(const std::int64_t* offsets, std::int64_t pixels, const T* x,
                    std::int64_t count, const T* dy, bool add, T* out) {
  constexpr std::int64_t width = kWidth<T>;
  Vec<T> acc[Rows][kNarrowVectors] = {};
  const auto sum = [&](auto load_at) __attribute__((always_inline)) {
    for (std::int64_t p = 0; p < pixels; ++p, dy += Rows) {
      const T* from = x + offsets[p];
      Vec<T> run[kNarrowVectors];
#pragma GCC unroll 4
      for (int j = 0; j < kNarrowVectors; ++j) run[j] = load_at(from + j * width, j);
#pragma GCC unroll 8
      for (int i = 0; i < Rows; ++i) {
        const Vec<T> gradient = splat<T>(dy[i]);
#pragma GCC unroll 4
        for (int j = 0; j < kNarrowVectors; ++j) acc[i][j] += run[j] * gradient;
      }
    }
  };
  if (count == kNarrowRun<T>) {
    sum([](const T* p, int) { return load(p); });
  } else {
    sum([=](const T* p, int j) { return load_partial(p, max(0, min(width, count - j * width))); });
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
    T sums[kNarrowRun<T>];
#pragma GCC unroll 4
    for (int j = 0; j < kNarrowVectors; ++j) store(sums + j * width, acc[i][j]);
    for (std::int64_t k = 0; k < count; ++k) {
      T& to = out[k * Rows + i];
      to = add ? to + sums[k] : sums[k];
    }
  }
}

template <class T>
using NarrowWeights = void (*)(const std::int64_t*, std::int64_t, const T*, std::int64_t, const T*,
                               bool, T*);

// The kernel for that many columns: 1..kWidth<T> / 2.
template <class T, int Rows = static_cast<int>(kWidth<T> / 2)>
NarrowWeights<T> find_narrow_weights(std::int64_t columns) {
  if constexpr (Rows > 1) {
    if (columns < Rows) return find_narrow_weights<T, Rows - 1>(columns);
  }
  return narrow_weights<T, Rows>;
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
