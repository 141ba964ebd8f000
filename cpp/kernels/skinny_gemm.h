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

// Points a tile at column `col` of B: in place, or in the panels that prepare() made.
template <class T>
KCORE_INLINE void place_columns(const Gemm<T>& g, std::int64_t col, Tile<T>& tile) {
  constexpr std::int64_t cols = kBlockCols<T>;
  tile.b = g.prepared == nullptr ? g.b + col : g.prepared + col / cols * cols * g.k + col % cols;
}

// Columns [col, end) of `Rows` rows of C.
template <class T, int Rows, ALayout Layout, int Vectors = kStreamTileVectors<Rows>>
void stream_columns(const Gemm<T>& g, Tile<T>& tile, std::int64_t col, std::int64_t end) {
  constexpr std::int64_t width = kWidth<T>;
  tile.cols = Vectors * width;
  for (; col + Vectors * width <= end; col += Vectors * width) {
    place_columns(g, col, tile);
    tile.bias = g.bias == nullptr ? nullptr : g.bias + col;
    Tile<T> here = tile;
    here.c += col;
    if (here.addend != nullptr) here.addend += col;
    tile_kernel<T, Rows, Vectors, Layout>(here);
  }
  if (col == end) return;
  if constexpr (Vectors > 1) {
    stream_columns<T, Rows, Layout, Vectors / 2>(g, tile, col, end);
  } else {
    Tile<T> here = tile;
    place_columns(g, col, here);
    here.bias = g.bias == nullptr ? nullptr : g.bias + col;
    here.c += col;
    if (here.addend != nullptr) here.addend += col;
    here.cols = end - col;
    tile_kernel<T, Rows, 1, Layout, true>(here);
  }
}

template <class T, ALayout Layout, int Rows = kStreamRows>
void stream_rows(const Gemm<T>& g, std::int64_t rows, std::int64_t col, std::int64_t end) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return stream_rows<T, Layout, Rows - 1>(g, rows, col, end);
  }
  Tile<T> tile;
  tile.depth = g.k;
  tile.a = g.a;
  tile.a_stride = g.a_stride;
  tile.b_stride = g.b_stride;
  if (g.prepared != nullptr) {
    tile.b_stride = kBlockCols<T>;
    tile.pair_stride = kBlockCols<T> * g.k;
  }
  tile.c = g.c;
  tile.c_stride = g.c_stride;
  tile.add = false;
  tile.addend = g.addend;
  tile.activation = g.activation;
  stream_columns<T, Rows, Layout>(g, tile, col, end);
}

// Up to kStreamRows rows of A: B (not transposed) is read where it lies, in long runs of columns,
// or from several panels at once.
template <class T>
void stream(const Gemm<T>& g, std::int64_t cols, bool parallel) {
  for_tasks(parallel, ceil_div(g.n, cols), [&](std::int64_t task) {
    const std::int64_t col = task * cols;
    const std::int64_t end = col + cols < g.n ? col + cols : g.n;
    if (g.transpose_a) {
      stream_rows<T, ALayout::columns>(g, g.m, col, end);
    } else {
      stream_rows<T, ALayout::rows>(g, g.m, col, end);
    }
  });
}

// Steps of depth of one pass over the columns: their elements of A stay in registers.
template <int Rows>
constexpr int kPassDepth = Rows == 1 ? 8 : (kBlockRows < 12 ? 8 : 16) / (Rows == 2 ? 2 : 4);

// C += A @ B for columns [col, end) and steps [p, p + Depth) of depth.
template <class T, int Rows, int Depth>
void pass_rows(const Gemm<T>& g, std::int64_t p, std::int64_t col, std::int64_t end) {
  constexpr std::int64_t width = kWidth<T>;
  Vec<T> x[Rows][Depth];
#pragma GCC unroll 4
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int q = 0; q < Depth; ++q) {
      x[i][q] =
          splat<T>(g.transpose_a ? g.a[(p + q) * g.a_stride + i] : g.a[i * g.a_stride + p + q]);
    }
  }
  const T* b = g.b + p * g.b_stride;
  const auto step = [&](std::int64_t j, auto load_at, auto store_at)
      __attribute__((always_inline)) {
    Vec<T> row[Depth];
#pragma GCC unroll 8
    for (int q = 0; q < Depth; ++q) row[q] = load_at(b + q * g.b_stride + j);
#pragma GCC unroll 4
    for (int i = 0; i < Rows; ++i) {
      T* c = g.c + i * g.c_stride + j;
      Vec<T> sum = load_at(c);
#pragma GCC unroll 8
      for (int q = 0; q < Depth; ++q) sum += x[i][q] * row[q];
      store_at(c, sum);
    }
  };
  std::int64_t j = col;
  for (; j + width <= end; j += width) {
    step(
        j, [](const T* from) { return load(from); }, [](T* to, Vec<T> v) { store(to, v); });
  }
  if (j < end) {
    step(
        j, [&](const T* from) { return load_partial(from, end - j); },
        [&](T* to, Vec<T> v) { store_partial(to, v, end - j); });
  }
}

template <class T, int Rows>
void run_passes(const Gemm<T>& g, std::int64_t col, std::int64_t end) {
  constexpr int depth = kPassDepth<Rows>;
  for (int i = 0; i < Rows; ++i) {
    for (std::int64_t j = col; j < end; ++j) g.c[i * g.c_stride + j] = 0;
  }
  std::int64_t p = 0;
  for (; p + depth <= g.k; p += depth) pass_rows<T, Rows, depth>(g, p, col, end);
  for (; p < g.k; ++p) pass_rows<T, Rows, 1>(g, p, col, end);
}

// The same product where rows of B lie far apart, many columns at a time: what is read are a few
// long runs, which the processor fetches ahead by itself. C waits in the cache between passes.
template <class T>
void stream_passes(const Gemm<T>& g, std::int64_t cols, bool parallel) {
  for_tasks(parallel, ceil_div(g.n, cols), [&](std::int64_t task) {
    const std::int64_t col = task * cols, end = min(g.n, col + cols);
    g.m == 1   ? run_passes<T, 1>(g, col, end)
    : g.m == 2 ? run_passes<T, 2>(g, col, end)
    : g.m == 3 ? run_passes<T, 3>(g, col, end)
               : run_passes<T, 4>(g, col, end);
    for (std::int64_t i = 0; i < g.m; ++i) {
      T* c = g.c + i * g.c_stride;
      for (std::int64_t j = col; g.bias != nullptr && j < end; ++j) c[j] += g.bias[j];
    }
    if (g.activation != Activation::none) {
      activate_block<T>(g.c + col, g.c_stride, g.m, end - col, g.activation);
    }
  });
}

constexpr std::int64_t kOuterDepth = 4;

// A row of C by a depth that is known: a pass over the rows of B that writes as it goes.
template <class T, int Depth>
void outer_row(const Gemm<T>& g, std::int64_t i) {
  constexpr std::int64_t width = kWidth<T>;
  const T* a = g.a + i * (g.transpose_a ? 1 : g.a_stride);
  const std::int64_t a_step = g.transpose_a ? g.a_stride : 1;
  Vec<T> x[Depth];
#pragma GCC unroll 4
  for (int p = 0; p < Depth; ++p) x[p] = splat<T>(a[p * a_step]);
  T* c = g.c + i * g.c_stride;
  const T* addend = g.addend == nullptr ? nullptr : g.addend + i * g.c_stride;
  const bool relu = g.activation == Activation::relu;
  const auto columns = [&](std::int64_t j, auto load_at) __attribute__((always_inline)) {
    Vec<T> sum = x[0] * load_at(g.b + j);
#pragma GCC unroll 4
    for (int p = 1; p < Depth; ++p) sum += x[p] * load_at(g.b + p * g.b_stride + j);
    if (addend != nullptr) sum += load_at(addend + j);
    if (g.bias != nullptr) sum += load_at(g.bias + j);
    return relu ? rectify(sum) : sum;
  };
  std::int64_t j = 0;
  for (; j + width <= g.n; j += width) {
    store(c + j, columns(j, [](const T* p) { return load(p); }));
  }
  if (j < g.n) {
    const std::int64_t rest = g.n - j;
    store_partial(c + j, columns(j, [=](const T* p) { return load_partial(p, rest); }), rest);
  }
  if (g.activation > Activation::relu) activate_block<T>(c, 0, 1, g.n, g.activation);
}

// Depth of 1 to kOuterDepth: every element of C costs little more than its writing.
template <class T>
void outer(const Gemm<T>& g, std::int64_t task_rows, bool parallel) {
  void (*const row)(const Gemm<T>&, std::int64_t) = g.k == 1   ? outer_row<T, 1>
                                                    : g.k == 2 ? outer_row<T, 2>
                                                    : g.k == 3 ? outer_row<T, 3>
                                                               : outer_row<T, 4>;
  for_tasks(parallel, ceil_div(g.m, task_rows), [&](std::int64_t task) {
    const std::int64_t end = (task + 1) * task_rows < g.m ? (task + 1) * task_rows : g.m;
    for (std::int64_t i = task * task_rows; i < end; ++i) row(g, i);
  });
}

// c[i * c_row + j * c_col] for a few rows of A and rows of the transpose of B, both contiguous in
// depth: vectors along depth, summed at the end.
template <class T>
struct Dot {
  std::int64_t depth;
  const T* a;
  std::int64_t a_stride;
  const T* ahead;  // rows of A to ask for meanwhile, or null
  const T* b;
  std::int64_t b_stride;
  T* c;
  std::int64_t c_stride;
  const T* addend;
  const T* bias;
  Activation activation;
};

// sums[i] = the sum of the lanes of v[i]: every step adds the halves of two vectors into one.
template <class T, int Count>
KCORE_INLINE void sum_lanes(Vec<T> (&v)[Count], T (&sums)[Count]) {
  constexpr int width = static_cast<int>(kWidth<T>);
  if constexpr (Count % width == 0) {
#pragma GCC unroll 16
    for (int first = 0; first < Count; first += width) {
#pragma GCC unroll 8
      for (int step = width / 2; step > 0; step /= 2) {
        const auto low = make_lanes<T>(
            [=](int lane) { return (lane & step) == 0 ? lane : width + lane - step; });
        const auto high = make_lanes<T>(
            [=](int lane) { return (lane & step) == 0 ? lane + step : width + lane; });
#pragma GCC unroll 16
        for (int i = first; i < first + step; ++i) {
          const Vec<T> x = v[i], y = v[i + step];
          v[i] = shuffle<T>(x, y, low) + shuffle<T>(x, y, high);
        }
      }
      store(sums + first, v[first]);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < Count; ++i) sums[i] = horizontal_sum<T>(v[i]);
  }
}

template <class T, int Rows, int Cols>
void dot_kernel(const Dot<T>& dot) {
  constexpr std::int64_t width = kWidth<T>;
  Vec<T> acc[Rows * Cols] = {};
  const auto step = [&](auto load_at) __attribute__((always_inline)) {
    Vec<T> x[Rows];
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) x[i] = load_at(dot.a + i * dot.a_stride);
#pragma GCC unroll 16
    for (int j = 0; j < Cols; ++j) {
      const Vec<T> y = load_at(dot.b + j * dot.b_stride);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) acc[i * Cols + j] += x[i] * y;
    }
  };
  std::int64_t p = 0;
  for (; p + width <= dot.depth; p += width) {
    if (dot.ahead != nullptr) {
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) __builtin_prefetch(dot.ahead + i * dot.a_stride + p);
    }
    step([=](const T* row) { return load(row + p); });
  }
  if (p < dot.depth) {
    step([&](const T* row) { return load_partial(row + p, dot.depth - p); });
  }
  T sums[Rows * Cols];
  sum_lanes<T>(acc, sums);
  const auto for_each = [&](auto apply) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 16
      for (int j = 0; j < Cols; ++j) apply(sums[i * Cols + j], dot.c + i * dot.c_stride, j);
    }
  };
  if (dot.addend != nullptr) {
    for_each([&](T& sum, const T* c, int j) { sum += (dot.addend + (c - dot.c))[j]; });
  }
  if (dot.bias != nullptr) for_each([&](T& sum, const T*, int j) { sum += dot.bias[j]; });
  for_each([](const T& sum, T* c, int j) { c[j] = sum; });
  if (dot.activation != Activation::none) {
    activate_block<T>(dot.c, dot.c_stride, Rows, Cols, dot.activation);
  }
}

template <class T>
using DotKernel = void (*)(const Dot<T>&);

constexpr int kDotRows = 4;
constexpr int kDotCols = kBlockRows < 12 ? 2 : 4;

template <class T, int Rows = kDotRows, int Cols = kDotCols>
DotKernel<T> find_dot_kernel(std::int64_t rows, std::int64_t cols) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return find_dot_kernel<T, Rows - 1, Cols>(rows, cols);
  }
  if constexpr (Cols > 1) {
    if (cols < Cols) return find_dot_kernel<T, Rows, Cols - 1>(rows, cols);
  }
  if constexpr (Rows == 1 && Cols == kDotCols && kWidth < T >> kDotCols) {
    if (cols == kWidth<T>) return dot_kernel<T, 1, static_cast<int>(kWidth<T>)>;
  }
  return dot_kernel<T, Rows, Cols>;
}

template <class T>
ScratchNeed dots_scratch(const Gemm<T>& g) {
  constexpr std::int64_t bytes = sizeof(T);
  ScratchNeed need;
  if (g.transpose_a) need.add_caller(Scratch::packed_a, g.m * g.k * bytes);
  if (!g.transpose_b) need.add_team(Scratch::packed_b, g.n * g.k * bytes);
  return need;
}

// Rows of A by rows of the transpose of B; the one that isn't contiguous in depth is copied first
// and ought to be small: B by each task, which is quicker than reading what another thread wrote.
template <class T>
void dots(const Gemm<T>& g, std::int64_t task_rows, std::int64_t task_cols, bool parallel) {
  Dot<T> dot{g.k, g.a,        g.a_stride, nullptr, g.b,         g.b_stride,
             g.c, g.c_stride, g.addend,   g.bias,  g.activation};
  if (g.transpose_a) {
    T* a = reinterpret_cast<T*>(
        thread_scratch(Scratch::packed_a, static_cast<std::size_t>(g.m * g.k) * sizeof(T)));
    pack_rows<T>(g.a, g.a_stride, g.k, g.k, g.m, a);
    dot.a = a;
    dot.a_stride = g.k;
  }
  if (!g.transpose_b) {
    dot.b = g.prepared;  // or packed by each task
    dot.b_stride = g.k;
  }
  // A single row takes as many columns as are summed over their lanes at once.
  const std::int64_t most = g.m == 1 && kWidth<T> > kDotCols ? kWidth<T> : kDotCols;
  const std::int64_t col_tasks = ceil_div(g.n, task_cols);
  // Rows of A that pass once, from memory, are asked for ahead: a tile reads short runs of them.
  constexpr std::int64_t kCached = std::int64_t{16} << 20;
  const bool from_memory = g.m >= g.n && g.m * g.k * std::int64_t{sizeof(T)} > kCached;
  const auto run = [&](std::int64_t task) {
    const std::int64_t row = task / col_tasks * task_rows, col = task % col_tasks * task_cols;
    const std::int64_t row_end = row + task_rows < g.m ? row + task_rows : g.m;
    const std::int64_t col_end = col + task_cols < g.n ? col + task_cols : g.n;
    const T* b = dot.b;
    if (b == nullptr) {
      T* packed = reinterpret_cast<T*>(
          thread_scratch(Scratch::packed_b, static_cast<std::size_t>(g.n * g.k) * sizeof(T)));
      pack_rows<T>(g.b, g.b_stride, g.k, g.k, g.n, packed);
      b = packed;
    }
    const auto tile = [&](std::int64_t i, std::int64_t j, std::int64_t cols) {
      Dot<T> here = dot;
      here.a += i * dot.a_stride;
      here.b = b + j * dot.b_stride;
      here.c += i * dot.c_stride + j;
      if (dot.addend != nullptr) here.addend += i * dot.c_stride + j;
      if (dot.bias != nullptr) here.bias += j;
      if (from_memory && j == col && i + 2 * kDotRows <= row_end) {
        here.ahead = here.a + kDotRows * dot.a_stride;
      }
      find_dot_kernel<T>(row_end - i, cols)(here);
    };
    // The shorter side is the inner loop: it stays in the cache.
    if (g.m < g.n) {
      for (std::int64_t j = col; j < col_end;) {
        const std::int64_t left = col_end - j;
        const std::int64_t cols = left >= most ? most : left < kDotCols ? left : kDotCols;
        for (std::int64_t i = row; i < row_end; i += kDotRows) tile(i, j, cols);
        j += cols;
      }
    } else {
      for (std::int64_t i = row; i < row_end; i += kDotRows) {
        for (std::int64_t j = col; j < col_end; j += kDotCols) {
          tile(i, j, col_end - j < kDotCols ? col_end - j : kDotCols);
        }
      }
    }
  };
  const std::int64_t tasks = ceil_div(g.m, task_rows) * col_tasks;
  for_tasks(parallel, tasks, run);
}

constexpr std::int64_t kNarrowCols = 16;

template <class T>
ScratchNeed narrow_scratch(const Gemm<T>& g) {
  ScratchNeed need;
  const bool ragged = g.m % kBlockCols<T> != 0;
  if (ragged) need.add_team(Scratch::packed_a, kBlockCols<T> * g.k * std::int64_t{sizeof(T)});
  return need;
}

// Few columns of C, too few to fill vectors: its transpose is computed, a transposed A being the
// operand that is read in whole vectors, and turned around tile by tile.
template <class T>
void narrow(const Gemm<T>& g, std::int64_t task_rows, bool parallel) {
  constexpr std::int64_t cols = kBlockCols<T>;
  const auto run = [&](std::int64_t task) {
    alignas(64) T turned[kNarrowCols * cols];
    const std::int64_t end = (task + 1) * task_rows < g.m ? (task + 1) * task_rows : g.m;
    for (std::int64_t i = task * task_rows; i < end; i += cols) {
      const std::int64_t used = end - i < cols ? end - i : cols;
      Tile<T> tile;
      tile.depth = g.k;
      tile.a_stride = g.b_stride;
      tile.b = g.a + i;
      tile.b_stride = g.a_stride;
      if (used < cols) {
        T* panel = reinterpret_cast<T*>(
            thread_scratch(Scratch::packed_a, static_cast<std::size_t>(cols * g.k) * sizeof(T)));
        pack_columns<T>(g.a + i, g.a_stride, used, cols, g.k, panel);
        tile.b = panel;
        tile.b_stride = cols;
      }
      tile.c_stride = cols;
      tile.cols = cols;
      tile.add = false;
      tile.bias = nullptr;
      tile.activation = Activation::none;
      for (std::int64_t j = 0; j < g.n; j += kBlockRows) {
        const std::int64_t rows = g.n - j < kBlockRows ? g.n - j : kBlockRows;
        tile.c = turned + j * cols;
        if (g.transpose_b) {
          tile.a = g.b + j * g.b_stride;
          find_tile_kernel<T, ALayout::rows>(rows, cols)(tile);
        } else {
          tile.a = g.b + j;
          find_tile_kernel<T, ALayout::columns>(rows, cols)(tile);
        }
      }
      T* c = g.c + i * g.c_stride;
      pack_rows<T>(turned, cols, g.n, g.n, used, c);
      if (g.bias != nullptr) {
        for (std::int64_t r = 0; r < used; ++r) {
          for (std::int64_t j = 0; j < g.n; ++j) c[r * g.n + j] += g.bias[j];
        }
      }
      if (g.activation != Activation::none) activate_block<T>(c, 0, 1, used * g.n, g.activation);
    }
  };
  const std::int64_t tasks = ceil_div(g.m, task_rows);
  for_tasks(parallel, tasks, run);
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
