// Products with few rows, few columns or little depth, where packing would cost more than it saves.
#pragma once

#include "kernels/gemm.h"
#include "kernels/micro_kernel.h"
#include "kernels/packing.h"
#include "simd/parallel.h"
#include "simd/scratch.h"

namespace kcore::KCORE_ISA_NAMESPACE {

constexpr int kStreamRows = 4;
constexpr int kStreamVectors = 8;

// Vectors of a stream tile: as many as leave registers for a row of B and a broadcast.
template <int Rows>
constexpr int kStreamTileVectors = Rows == 1   ? 8
                                   : Rows == 2 ? (kBlockRows < 12 ? 4 : 8)
                                               : (kBlockRows < 12 ? 2 : 4);

// Columns [col, end) of `Rows` rows of C, B read in place.
template <class T, int Rows, ALayout Layout, int Vectors = kStreamTileVectors<Rows>>
void stream_columns(const Gemm<T>& g, Tile<T>& tile, std::int64_t col, std::int64_t end) {
  constexpr std::int64_t width = kWidth<T>;
  tile.cols = Vectors * width;
  for (; col + Vectors * width <= end; col += Vectors * width) {
    tile.b = g.b + col;
    tile.bias = g.bias == nullptr ? nullptr : g.bias + col;
    Tile<T> here = tile;
    here.c += col;
    tile_kernel<T, Rows, Vectors, Layout>(here);
  }
  if (col == end) return;
  if constexpr (Vectors > 1) {
    stream_columns<T, Rows, Layout, Vectors / 2>(g, tile, col, end);
  } else {
    Tile<T> here = tile;
    here.b = g.b + col;
    here.bias = g.bias == nullptr ? nullptr : g.bias + col;
    here.c += col;
    here.cols = end - col;
    tile_kernel<T, Rows, 1, Layout, true>(here);
  }
}

template <class T, ALayout Layout, int Rows = kStreamRows>
void stream_rows(const Gemm<T>& g, std::int64_t row, std::int64_t rows, std::int64_t col,
                 std::int64_t end) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return stream_rows<T, Layout, Rows - 1>(g, row, rows, col, end);
  }
  Tile<T> tile;
  tile.depth = g.k;
  tile.a = g.a + row * (Layout == ALayout::columns ? 1 : g.a_stride);
  tile.a_stride = g.a_stride;
  tile.b_stride = g.b_stride;
  tile.c = g.c + row * g.c_stride;
  tile.c_stride = g.c_stride;
  tile.add = g.accumulate;
  tile.activation = g.activation;
  stream_columns<T, Rows, Layout>(g, tile, col, end);
}

// B (not transposed) is read where it lies, in long runs of columns.
template <class T>
void stream(const Gemm<T>& g, std::int64_t rows, std::int64_t cols, bool parallel) {
  const std::int64_t row_tasks = (g.m + rows - 1) / rows;
  const std::int64_t col_tasks = (g.n + cols - 1) / cols;
  const auto run = [&](std::int64_t task) {
    const std::int64_t col = task % col_tasks * cols;
    const std::int64_t end = col + cols < g.n ? col + cols : g.n;
    const std::int64_t row_end =
        (task / col_tasks + 1) * rows < g.m ? (task / col_tasks + 1) * rows : g.m;
    const std::int64_t step = g.k <= 4 ? 1 : kStreamRows;
    for (std::int64_t row = task / col_tasks * rows; row < row_end; row += step) {
      const std::int64_t count = row_end - row < step ? row_end - row : step;
      if (g.transpose_a) {
        stream_rows<T, ALayout::columns>(g, row, count, col, end);
      } else {
        stream_rows<T, ALayout::rows>(g, row, count, col, end);
      }
    }
  };
  const std::int64_t tasks = row_tasks * col_tasks;
  if (parallel) {
    parallel_for(tasks, run);
  } else {
    for (std::int64_t task = 0; task < tasks; ++task) run(task);
  }
}

// c[i * c_row + j * c_col] for a few rows of A and rows of the transpose of B, both contiguous in
// depth: vectors along depth, summed at the end.
template <class T>
struct Dot {
  std::int64_t depth;
  const T* a;
  std::int64_t a_stride;
  const T* b;
  std::int64_t b_stride;
  T* c;
  std::int64_t c_stride;
  bool add;
  const T* bias;
  Activation activation;
};

template <class T, int Rows, int Cols>
void dot_kernel(const Dot<T>& dot) {
  constexpr std::int64_t width = kWidth<T>;
  Vec<T> acc[Rows][Cols] = {};
  const auto step = [&](auto load_at) __attribute__((always_inline)) {
    Vec<T> x[Rows];
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) x[i] = load_at(dot.a + i * dot.a_stride);
#pragma GCC unroll 16
    for (int j = 0; j < Cols; ++j) {
      const Vec<T> y = load_at(dot.b + j * dot.b_stride);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) acc[i][j] += x[i] * y;
    }
  };
  std::int64_t p = 0;
  for (; p + width <= dot.depth; p += width) {
    step([=](const T* row) { return load(row + p); });
  }
  if (p < dot.depth) {
    step([&](const T* row) { return load_partial(row + p, dot.depth - p); });
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    T* c = dot.c + i * dot.c_stride;
#pragma GCC unroll 16
    for (int j = 0; j < Cols; ++j) {
      T sum = horizontal_sum<T>(acc[i][j]);
      if (dot.add) sum += c[j];
      if (dot.bias != nullptr) sum += dot.bias[j];
      if (dot.activation != Activation::none) sum = activate<T>(splat(sum), dot.activation)[0];
      c[j] = sum;
    }
  }
}

template <class T>
using DotKernel = void (*)(const Dot<T>&);

constexpr int kDotCols = kBlockRows < 12 ? 2 : 4;

template <class T, int Rows = 4, int Cols = kDotCols>
DotKernel<T> find_dot_kernel(std::int64_t rows, std::int64_t cols) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return find_dot_kernel<T, Rows - 1, Cols>(rows, cols);
  }
  if constexpr (Cols > 1) {
    if (cols < Cols) return find_dot_kernel<T, Rows, Cols - 1>(rows, cols);
  }
  return dot_kernel<T, Rows, Cols>;
}

// Rows of A by rows of the transpose of B; the one that isn't contiguous in depth is copied first
// and ought to be small.
template <class T>
void dots(const Gemm<T>& g, std::int64_t task_rows, std::int64_t task_cols, bool parallel) {
  Dot<T> dot{g.k, g.a,        g.a_stride,   g.b,    g.b_stride,
             g.c, g.c_stride, g.accumulate, g.bias, g.activation};
  if (g.transpose_a) {
    T* a = reinterpret_cast<T*>(
        thread_scratch(Scratch::packed_a, static_cast<std::size_t>(g.m * g.k) * sizeof(T)));
    pack_rows<T>(g.a, g.a_stride, g.k, g.k, g.m, a);
    dot.a = a;
    dot.a_stride = g.k;
  }
  if (!g.transpose_b) {
    T* b = reinterpret_cast<T*>(
        thread_scratch(Scratch::packed_b, static_cast<std::size_t>(g.n * g.k) * sizeof(T)));
    pack_rows<T>(g.b, g.b_stride, g.k, g.k, g.n, b);
    dot.b = b;
    dot.b_stride = g.k;
  }
  const std::int64_t col_tasks = (g.n + task_cols - 1) / task_cols;
  const auto run = [&](std::int64_t task) {
    const std::int64_t row = task / col_tasks * task_rows, col = task % col_tasks * task_cols;
    const std::int64_t row_end = row + task_rows < g.m ? row + task_rows : g.m;
    const std::int64_t col_end = col + task_cols < g.n ? col + task_cols : g.n;
    for (std::int64_t i = row; i < row_end; i += 4) {
      const std::int64_t rows = row_end - i < 4 ? row_end - i : 4;
      for (std::int64_t j = col; j < col_end; j += kDotCols) {
        const std::int64_t cols = col_end - j < kDotCols ? col_end - j : kDotCols;
        Dot<T> here = dot;
        here.a += i * dot.a_stride;
        here.b += j * dot.b_stride;
        here.c += i * dot.c_stride + j;
        if (dot.bias != nullptr) here.bias += j;
        find_dot_kernel<T>(rows, cols)(here);
      }
    }
  };
  const std::int64_t tasks = (g.m + task_rows - 1) / task_rows * col_tasks;
  if (parallel) {
    parallel_for(tasks, run);
  } else {
    for (std::int64_t task = 0; task < tasks; ++task) run(task);
  }
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
