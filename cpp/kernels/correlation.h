// What the kernels of a convolution share: the geometry of one axis, the cutting of images into
// blocks, the copy of a block with its padding, and the micro-kernel that gathers its operand.
//
// A convolution is a correlation: outputs of a grid, each a sum over taps of source pixels. So is
// its data gradient, for stride 1 with the taps mirrored; for stride s the outputs fall into s
// phases by their place modulo s, each a correlation of stride 1 with every s-th tap.
#pragma once

#include "kernels/convolution.h"
#include "kernels/extents.h"
#include "kernels/micro_kernel.h"
#include "simd/parallel.h"
#include "simd/scratch.h"

namespace kcore::KCORE_ISA_NAMESPACE {

constexpr double kTaskFlops = 262144;  // a task of fewer is not worth a thread's while

// One spatial axis: output i reads source origin + i * step + t * tap_step at tap t, zero outside
// of [0, source). Tap t has index kernel_first + t * kernel_step in the kernel; output i lies at
// out_first + i * out_step of the tensor.
struct Axis {
  std::int64_t out, step, source, origin;
  std::int64_t taps, tap_step, kernel_first, kernel_step;
  std::int64_t out_first, out_step;

  std::int64_t span() const { return taps > 0 ? (taps - 1) * tap_step + 1 : 0; }
  // Source positions that `count` neighbouring outputs read.
  std::int64_t reach(std::int64_t count) const { return (count - 1) * step + span(); }
  bool padded() const { return taps > 0 && (origin < 0 || origin + reach(out) > source); }
};

KCORE_INLINE Axis forward_axis(std::int64_t out, std::int64_t stride, std::int64_t in,
                               std::int64_t pad, std::int64_t kernel, std::int64_t dilation) {
  return {out, stride, in, -pad, kernel, dilation, 0, 1, 0, 1};
}

// The phase of a data gradient whose positions plus pad are `phase` modulo the stride.
KCORE_INLINE Axis phase_axis(std::int64_t in, std::int64_t stride, std::int64_t out,
                             std::int64_t pad, std::int64_t kernel, std::int64_t dilation,
                             std::int64_t phase) {
  std::int64_t divisor = stride;  // becomes gcd(stride, dilation)
  for (std::int64_t rest = dilation; rest != 0;) {
    const std::int64_t next = divisor % rest;
    divisor = rest;
    rest = next;
  }
  const std::int64_t kernel_step = stride / divisor;
  std::int64_t first = 0;
  const std::int64_t candidates = min(kernel_step, kernel);
  while (first < candidates && first * dilation % stride != phase) ++first;
  const bool any = first < candidates;
  Axis axis{};
  axis.taps = any ? (kernel - 1 - first) / kernel_step + 1 : 0;
  axis.tap_step = dilation / divisor;
  axis.kernel_first = first + (axis.taps - 1) * kernel_step;
  axis.kernel_step = -kernel_step;
  axis.step = 1;
  axis.source = out;
  const std::int64_t quotient = pad > phase ? ceil_div(pad - phase, stride) : 0;
  axis.out_first = quotient * stride + phase - pad;
  axis.out_step = stride;
  axis.out = axis.out_first < in ? ceil_div(in - axis.out_first, stride) : 0;
  if (any) axis.origin = quotient - (axis.kernel_first * dilation - phase) / stride;
  return axis;
}

struct Range {
  std::int64_t first, last;  // [first, last)
};

// Taps that output i reads inside of the source: [first, last).
KCORE_INLINE Range valid_taps(const Axis& axis, std::int64_t i) {
  const std::int64_t start = axis.origin + i * axis.step;
  const std::int64_t first = start < 0 ? ceil_div(-start, axis.tap_step) : 0;
  const std::int64_t last = start < axis.source ? (axis.source - 1 - start) / axis.tap_step + 1 : 0;
  return {min(first, axis.taps), max(min(first, axis.taps), min(last, axis.taps))};
}

// A correlation without its operands. Depth channels of the source are read per tap and group.
struct Grid {
  Axis rows, cols;
  std::int64_t batch;
  std::int64_t source_channels;
  bool padded() const { return rows.padded() || cols.padded(); }
};

// Blocks of outputs: some rows of one image, or some whole images.
struct Blocks {
  std::int64_t images, rows;                         // of a block
  std::int64_t per_image, count;                     // blocks
  std::int64_t pixel_pitch, row_pitch, image_pitch;  // of the source, or of its padded copy
  std::int64_t copy_rows, copy_cols;  // of the padded copy; 0 if the source is read in place
};

// Whether sources of neighbouring outputs fall into the same lines of a cache whose ways are a
// page: a tile's rows would evict each other.
template <class T>
KCORE_INLINE bool conflict(const Grid& grid) {
  constexpr std::int64_t page = 4096 / static_cast<std::int64_t>(sizeof(T));
  return grid.cols.out > 1 && grid.source_channels > 0 &&
         grid.cols.step * grid.source_channels % page == 0;
}

// Blocks of up to so many pixels, whose source is copied, or read in place.
template <class T>
KCORE_INLINE Blocks cut(const Grid& grid, std::int64_t pixels, bool copy) {
  constexpr std::int64_t copy_bytes = 1 << 20;
  Blocks blocks{};
  blocks.copy_cols = copy ? grid.cols.reach(grid.cols.out) : 0;
  blocks.pixel_pitch = grid.source_channels + (conflict<T>(grid) ? kWidth<T> : 0);
  const std::int64_t row_bytes =
      blocks.copy_cols * blocks.pixel_pitch * static_cast<std::int64_t>(sizeof(T));
  const auto fits = [&](std::int64_t rows, std::int64_t images) {
    return rows * grid.cols.out * images <= pixels &&
           grid.rows.reach(rows) * images * row_bytes <= copy_bytes;
  };
  if (fits(grid.rows.out, 1)) {
    blocks.rows = grid.rows.out;
    blocks.images = 1;
    while (blocks.images < grid.batch && fits(blocks.rows, blocks.images + 1)) ++blocks.images;
    blocks.images = balanced(grid.batch, blocks.images);
  } else {
    blocks.images = 1;
    blocks.rows = 1;
    while (blocks.rows < grid.rows.out && fits(blocks.rows + 1, 1)) ++blocks.rows;
    blocks.rows = balanced(grid.rows.out, blocks.rows);
  }
  blocks.per_image = ceil_div(grid.rows.out, blocks.rows);
  blocks.count = ceil_div(grid.batch, blocks.images) * blocks.per_image;
  if (copy) {
    blocks.copy_rows = grid.rows.reach(blocks.rows);
    blocks.row_pitch = blocks.copy_cols * blocks.pixel_pitch;
    blocks.image_pitch = blocks.copy_rows * blocks.row_pitch;
  } else {
    blocks.row_pitch = grid.cols.source * grid.source_channels;
    blocks.image_pitch = grid.rows.source * blocks.row_pitch;
  }
  return blocks;
}

template <class T>
KCORE_INLINE Blocks cut(const Grid& grid, std::int64_t pixels) {
  return cut<T>(grid, pixels, grid.padded() || conflict<T>(grid));
}

// Where a block lies, and how much of it there is.
struct Block {
  std::int64_t image, images, row, rows;
};

KCORE_INLINE Block block_at(const Grid& grid, const Blocks& blocks, std::int64_t index) {
  Block block;
  block.image = index / blocks.per_image * blocks.images;
  block.images = min(blocks.images, grid.batch - block.image);
  block.row = index % blocks.per_image * blocks.rows;
  block.rows = min(blocks.rows, grid.rows.out - block.row);
  return block;
}

template <class T>
KCORE_INLINE void copy_elements(const T* from, std::int64_t count, T* to) {
  std::int64_t i = 0;
  for (; i + kWidth<T> <= count; i += kWidth<T>) store(to + i, load(from + i));
  if (i < count) store_partial(to + i, load_partial(from + i, count - i), count - i);
}

template <class T>
KCORE_INLINE void clear(T* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = 0;
}

KCORE_INLINE std::int64_t copy_elements_of(const Blocks& blocks) {
  return blocks.images * blocks.copy_rows * blocks.row_pitch;
}

// The source element that output 0 of the block reads at tap 0: in the source, or in `copy` once
// the block has been copied there with its padding.
template <class T>
const T* block_source(const Grid& grid, const Blocks& blocks, const Block& block, const T* source,
                      T* copy) {
  const std::int64_t channels = grid.source_channels;
  const std::int64_t first_row = grid.rows.origin + block.row * grid.rows.step;
  if (blocks.copy_rows == 0) {
    return source + block.image * blocks.image_pitch + first_row * blocks.row_pitch +
           grid.cols.origin * channels;
  }
  const std::int64_t rows = grid.rows.reach(block.rows), cols = blocks.copy_cols;
  const std::int64_t left = min(cols, max(0, -grid.cols.origin));
  const std::int64_t first_col = grid.cols.origin + left;
  const std::int64_t used = max(0, min(cols - left, grid.cols.source - first_col));
  for (std::int64_t image = 0; image < block.images; ++image) {
    T* to = copy + image * blocks.image_pitch;
    const T* from = source + (block.image + image) * grid.rows.source * grid.cols.source * channels;
    for (std::int64_t r = 0; r < rows; ++r, to += blocks.row_pitch) {
      const std::int64_t row = first_row + r;
      if (row < 0 || row >= grid.rows.source || used == 0) {
        clear(to, blocks.row_pitch);
        continue;
      }
      const std::int64_t pitch = blocks.pixel_pitch;
      const T* pixels = from + (row * grid.cols.source + first_col) * channels;
      clear(to, left * pitch);
      if (pitch == channels) {
        copy_elements(pixels, used * channels, to + left * pitch);
      } else {
        for (std::int64_t col = 0; col < used; ++col) {
          copy_elements(pixels + col * channels, channels, to + (left + col) * pitch);
        }
      }
      clear(to + (left + used) * pitch, (cols - left - used) * pitch);
    }
  }
  return copy;
}

// Where each pixel of a block lies in the source, from what its first one reads at tap 0.
KCORE_INLINE void set_pixel_offsets(const Grid& grid, const Blocks& blocks, std::int64_t* offsets) {
  for (std::int64_t image = 0; image < blocks.images; ++image) {
    for (std::int64_t i = 0; i < blocks.rows; ++i) {
      for (std::int64_t j = 0; j < grid.cols.out; ++j) {
        *offsets++ = image * blocks.image_pitch + i * grid.rows.step * blocks.row_pitch +
                     j * grid.cols.step * blocks.pixel_pitch;
      }
    }
  }
}

// Where every `run` elements of what a pixel reads lie, from its first: taps and their channels.
KCORE_INLINE void set_tap_offsets(const Grid& grid, const Blocks& blocks, std::int64_t channels,
                                  std::int64_t run, std::int64_t* offsets) {
  for (std::int64_t u = 0; u < grid.rows.taps; ++u) {
    for (std::int64_t e = 0; e < grid.cols.taps * channels; e += run) {
      *offsets++ = u * grid.rows.tap_step * blocks.row_pitch +
                   e / channels * grid.cols.tap_step * blocks.pixel_pitch + e % channels;
    }
  }
}

// One tile: c[c_rows[i]] (+)= sum over steps s of a[a_rows[i] + a_steps[s]] * b[s * b_stride].
template <class T>
struct GatherTile {
  const T* a;
  const std::int64_t* a_rows;
  const std::int64_t* a_steps;
  std::int64_t steps;
  std::int64_t run;  // of neighbours that a step multiplies: more than 1 in narrow tiles alone
  const T* b;
  std::int64_t b_stride;
  T* c;
  const std::int64_t* c_rows;
  std::int64_t cols;  // valid columns: more than Vectors - 1 vectors of them
  bool add;
  const T* bias;
  Activation activation;
  const T* next = nullptr;  // what is read after this tile: a vector a step is asked for
};

// Adds C and bias, applies relu and stores the accumulators.
template <class T, int Rows, int Vectors, class Load, class Store>
KCORE_INLINE void store_gathered(const GatherTile<T>& tile, Vec<T> (&acc)[Rows][Vectors],
                                 const Load& load_at, const Store& store_at) {
  constexpr std::int64_t width = kWidth<T>;
  if (tile.add) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const T* c = tile.c + tile.c_rows[i];
#pragma GCC unroll 2
      for (int j = 0; j < Vectors; ++j) acc[i][j] += load_at(c + j * width, j);
    }
  }
  if (tile.bias != nullptr) {
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) {
      const Vec<T> bias = load_at(tile.bias + j * width, j);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) acc[i][j] += bias;
    }
  }
  if (tile.activation == Activation::relu) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < Vectors; ++j) acc[i][j] = rectify(acc[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    T* c = tile.c + tile.c_rows[i];
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) store_at(c + j * width, acc[i][j], j);
  }
}

// What is left once the products are summed.
template <class T, int Rows, int Vectors>
KCORE_INLINE void finish_gathered(const GatherTile<T>& tile, Vec<T> (&acc)[Rows][Vectors]) {
  constexpr std::int64_t width = kWidth<T>;
  const std::int64_t last = tile.cols - (Vectors - 1) * width;
  if (last == width) {
    store_gathered<T>(
        tile, acc, [](const T* p, int) { return load(p); },
        [](T* p, Vec<T> v, int) { store(p, v); });
  } else {
    store_gathered<T>(
        tile, acc,
        [=](const T* p, int j) { return j < Vectors - 1 ? load(p) : load_partial(p, last); },
        [=](T* p, Vec<T> v, int j) { j < Vectors - 1 ? store(p, v) : store_partial(p, v, last); });
  }
  if (tile.activation > Activation::relu) {
    for (int i = 0; i < Rows; ++i) {
      activate_block<T>(tile.c + tile.c_rows[i], 0, 1, tile.cols, tile.activation);
    }
  }
}

// Ahead: asks for what is read after this tile.
template <class T, int Rows, int Vectors, bool Ahead = false>
void gather_tile(const GatherTile<T>& tile) {
  constexpr std::int64_t width = kWidth<T>;
  Vec<T> acc[Rows][Vectors] = {};
  const T* rows[Rows];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    rows[i] = tile.a + tile.a_rows[i];
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) {
      __builtin_prefetch(tile.c + tile.c_rows[i] + j * width, 1);
    }
  }
  const std::int64_t *a_steps = tile.a_steps, b_stride = tile.b_stride;
  const T* b = tile.b;
  const T* next = tile.next;
  multiply_accumulate<T>(
      tile.steps, [&](std::int64_t s, int i) { return rows[i][a_steps[s]]; },
      [=](std::int64_t s, int j) {
        if (Ahead && j == 0) __builtin_prefetch(next + s * kWidth<T>);
        return load(b + s * b_stride + j * kWidth<T>);
      },
      acc);
  finish_gathered<T>(tile, acc);
}

template <class T>
using GatherKernel = void (*)(const GatherTile<T>&);

template <class T, int Rows = kBlockRows>
GatherKernel<T> find_gather_kernel(std::int64_t rows, std::int64_t cols) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return find_gather_kernel<T, Rows - 1>(rows, cols);
  }
  return cols > kWidth<T> ? gather_tile<T, Rows, 2> : gather_tile<T, Rows, 1>;
}

// What outputs side by side in a row read: `row_step` and `pixel_step` from one row of taps, from
// one tap, to the next.
struct Neighbours {
  std::int64_t tap_rows, row_step, pixel_step, channels;
};

// A tile of outputs side by side and of one vector of columns. With a load for each
// product it would wait for loads; neighbours read the same pixels at other taps, so a pixel is
// loaded once for a whole row of taps.
template <class T, int Rows, int Taps>
void slide_tile(const GatherTile<T>& tile, const Neighbours& from) {
  Vec<T> acc[Rows][1] = {};
  const T *a_row = tile.a, *b_row = tile.b;
  const std::int64_t tap = from.channels * tile.b_stride;
  for (std::int64_t u = 0; u < from.tap_rows; ++u, a_row += from.row_step, b_row += Taps * tap) {
    const T* b = b_row;
    for (std::int64_t c = 0; c < from.channels; ++c, b += tile.b_stride) {
      Vec<T> weights[Taps];
#pragma GCC unroll 8
      for (int v = 0; v < Taps; ++v) weights[v] = load(b + v * tap);
#pragma GCC unroll 32
      for (int p = 0; p < Rows + Taps - 1; ++p) {
        const Vec<T> x = splat<T>(a_row[p * from.pixel_step + c]);
#pragma GCC unroll 8
        for (int v = 0; v < Taps; ++v) {
          if (p >= v && p - v < Rows) acc[p - v][0] += x * weights[v];
        }
      }
    }
  }
  finish_gathered<T>(tile, acc);
}

template <class T>
struct SlideKernel {
  std::int64_t rows;
  void (*run)(const GatherTile<T>&, const Neighbours&);  // null if there is none
};

// Of two extents of tiles that which covers the outputs along an axis better, if it does so well.
template <class T>
SlideKernel<T> find_slide_kernel(const Axis& axis) {
  constexpr int few = kBlockRows * 4 / 5;
  const auto covered = [&](std::int64_t rows) { return ceil_div(axis.out, rows) * rows; };
  const bool most = axis.out >= kBlockRows && covered(kBlockRows) <= covered(few);
  const std::int64_t rows = most ? kBlockRows : few;
  if (axis.step != 1 || axis.tap_step != 1 || axis.out < rows || 4 * covered(rows) > 5 * axis.out) {
    return {0, nullptr};
  }
  if (axis.taps == 3) return {rows, most ? slide_tile<T, kBlockRows, 3> : slide_tile<T, few, 3>};
  if (axis.taps == 5) return {rows, most ? slide_tile<T, kBlockRows, 5> : slide_tile<T, few, 5>};
  return {0, nullptr};
}

// Hands out parts of a workspace; with a null start it only counts.
struct Workspace {
  std::byte* start;
  std::int64_t bytes = 0;

  template <class U>
  U* take(std::int64_t count) {
    const std::int64_t at = bytes;
    bytes += round_up(count * static_cast<std::int64_t>(sizeof(U)), 64);
    return start == nullptr ? nullptr : reinterpret_cast<U*>(start + at);
  }
};

}  // namespace kcore::KCORE_ISA_NAMESPACE
