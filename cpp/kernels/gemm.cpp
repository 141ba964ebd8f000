// The blocks of a product, outermost first (after BLIS):
//   jc  columns of B that are packed at once
//   pc  steps of depth, kBlockDepth at a time: what a panel holds
//   ic  rows of A that are packed at once
//   jr, ir  the panels of a task; the micro-kernel multiplies one of A by one of B
// Tasks cut the (ic, jc) block in both directions and are what threads share.
#include "kernels/gemm.h"

#include "kernels/micro_kernel.h"
#include "kernels/packing.h"
#include "kernels/skinny_gemm.h"
#include "simd/parallel.h"
#include "simd/scratch.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

constexpr std::int64_t kBlockM = 2016;
constexpr std::int64_t kBlockN = 4096;
constexpr std::int64_t kTaskPanels = 8;  // of A and of B, at most
constexpr std::int64_t kTasks = 16;      // cut a block into as many, unless they get small:
constexpr double kTaskFlops = 262144;    // a task of fewer is not worth a thread's while
constexpr std::int64_t kPackTaskElements = 16384;

KCORE_INLINE std::int64_t min(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
KCORE_INLINE std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

template <class F>
KCORE_INLINE void for_tasks(bool parallel, std::int64_t tasks, const F& f) {
  if (parallel) {
    parallel_for(tasks, f);
  } else {
    for (std::int64_t task = 0; task < tasks; ++task) f(task);
  }
}

template <class T>
KCORE_INLINE const T* element(const T* matrix, std::int64_t stride, bool transposed,
                              std::int64_t row, std::int64_t col) {
  return transposed ? matrix + col * stride + row : matrix + row * stride + col;
}

// Panel j of B, steps [pc, pc + depth).
template <class T>
void pack_b_panel(const Gemm<T>& g, std::int64_t j, std::int64_t pc, std::int64_t depth, T* panel) {
  constexpr std::int64_t cols = kBlockCols<T>;
  const T* source = element(g.b, g.b_stride, g.transpose_b, pc, j * cols);
  const std::int64_t used = min(g.n - j * cols, cols);
  if (g.transpose_b) {
    pack_rows<T>(source, g.b_stride, used, cols, depth, panel);
  } else {
    pack_columns<T>(source, g.b_stride, used, cols, depth, panel);
  }
}

// The whole of B: blocks of depth one after another, each a sequence of panels.
template <class T>
std::int64_t packed_b_size(std::int64_t n, std::int64_t k) {
  return ceil_div(n, kBlockCols<T>) * kBlockCols<T> * k;
}

template <class T>
void pack_b(const Gemm<T>& g, T* packed) {
  const std::int64_t panels = ceil_div(g.n, kBlockCols<T>);
  const std::int64_t size = panels * kBlockCols<T>;
  const std::int64_t group = 1 + kPackTaskElements / (kBlockCols<T> * (g.k + 1));
  for_tasks(size * g.k > 2 * kPackTaskElements, ceil_div(panels, group), [&](std::int64_t task) {
    for (std::int64_t j = task * group; j < min(panels, (task + 1) * group); ++j) {
      for (std::int64_t pc = 0; pc < g.k; pc += kBlockDepth<T>) {
        const std::int64_t depth = min(g.k - pc, kBlockDepth<T>);
        pack_b_panel(g, j, pc, depth, packed + pc * size + j * kBlockCols<T> * depth);
      }
    }
  });
}

template <class T, ALayout Layout>
void multiply_panels(const Gemm<T>& g, Tile<T> tile, std::int64_t row, std::int64_t row_end,
                     std::int64_t rows, const T* a_row_start, std::int64_t a_panel_stride) {
  const TileKernel<T> full = find_tile_kernel<T, Layout>(rows, tile.cols);
  T* c = tile.c;
  for (std::int64_t i = row; i < row_end; i += rows) {
    const std::int64_t used = min(row_end - i, rows);
    tile.a = a_row_start + (i - row) / rows * a_panel_stride;
    tile.c = c + (i - row) * g.c_stride;
    (used == rows ? full : find_tile_kernel<T, Layout>(used, tile.cols))(tile);
  }
}

template <class T>
void blocked(const Gemm<T>& g, bool parallel) {
  constexpr std::int64_t cols = kBlockCols<T>;
  const double flops =
      2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k);
  parallel = parallel && flops >= 2 * kTaskFlops;

  const std::int64_t rows = balanced(g.m, kBlockRows);
  const std::int64_t block_m = kBlockM / rows * rows;
  const bool pack_a = g.n > 2 * cols;
  const bool pack_b = g.packed_b == nullptr && (g.transpose_b || g.m > 4 * kBlockRows);
  const std::int64_t max_depth = min(g.k, kBlockDepth<T>);
  const std::int64_t max_panels = ceil_div(min(g.n, kBlockN), cols);
  T* packed_b = nullptr;
  if (g.packed_b == nullptr) {
    packed_b = reinterpret_cast<T*>(thread_scratch(
        Scratch::packed_b, static_cast<std::size_t>(max_panels * cols * max_depth) * sizeof(T)));
  }
  T* packed_a = nullptr;
  if (pack_a) {
    packed_a = reinterpret_cast<T*>(thread_scratch(
        Scratch::packed_a,
        static_cast<std::size_t>(min(ceil_div(g.m, rows) * rows, block_m) * max_depth) *
            sizeof(T)));
  }

  for (std::int64_t jc = 0; jc < g.n; jc += kBlockN) {
    const std::int64_t panels_b = ceil_div(min(g.n - jc, kBlockN), cols);
    // Every depth has a block, so that c is written even where k is 0.
    for (std::int64_t pc = 0; pc == 0 || pc < g.k; pc += kBlockDepth<T>) {
      const std::int64_t depth = min(g.k - pc, kBlockDepth<T>);
      const bool last_depth = pc + depth == g.k;
      const T* b_panels = packed_b;
      if (g.packed_b != nullptr) {
        b_panels = g.packed_b + pc * ceil_div(g.n, cols) * cols + jc * depth;
      }
      // The panel of a ragged right edge is packed even when others are read in place.
      const auto in_place = [&](std::int64_t j) {
        return !pack_b && g.packed_b == nullptr && (j + 1) * cols <= g.n;
      };
      const auto prepare_b = [&](std::int64_t j) {
        if (g.packed_b == nullptr && !in_place(jc / cols + j)) {
          pack_b_panel(g, jc / cols + j, pc, depth, packed_b + j * cols * depth);
        }
      };

      for (std::int64_t ic = 0; ic < g.m; ic += block_m) {
        const std::int64_t m = min(g.m - ic, block_m);
        const std::int64_t panels_a = ceil_div(m, rows);
        const auto prepare_a = [&](std::int64_t i) {
          const T* source = element(g.a, g.a_stride, g.transpose_a, ic + i * rows, pc);
          const std::int64_t used = min(m - i * rows, rows);
          T* panel = packed_a + i * rows * depth;
          if (g.transpose_a) {
            pack_columns<T>(source, g.a_stride, used, rows, depth, panel);
          } else {
            pack_rows<T>(source, g.a_stride, used, rows, depth, panel);
          }
        };
        const std::int64_t a_jobs = pack_a ? panels_a : 0;
        const std::int64_t b_jobs = ic == 0 ? panels_b : 0;
        for_tasks(parallel && (a_jobs * rows + b_jobs * cols) * depth > 2 * kPackTaskElements,
                  a_jobs + b_jobs, [&](std::int64_t job) {
                    job < b_jobs ? prepare_b(job) : prepare_a(job - b_jobs);
                  });

        std::int64_t task_a = min(panels_a, kTaskPanels), task_b = min(panels_b, kTaskPanels);
        const double panel_flops = 2.0 * static_cast<double>(rows * cols * depth);
        while (ceil_div(panels_a, task_a) * ceil_div(panels_b, task_b) < kTasks &&
               static_cast<double>(task_a * task_b) * panel_flops > 2 * kTaskFlops &&
               task_a * task_b > 1) {
          std::int64_t& wider = task_a * rows > task_b * cols && task_a > 1 ? task_a
                                : task_b > 1                                ? task_b
                                                                            : task_a;
          wider = ceil_div(wider, 2);
        }
        const std::int64_t tasks_a = ceil_div(panels_a, task_a);
        for_tasks(parallel, tasks_a * ceil_div(panels_b, task_b), [&](std::int64_t task) {
          const std::int64_t first_a = task % tasks_a * task_a;
          const std::int64_t first_b = task / tasks_a * task_b;
          const std::int64_t row = first_a * rows;
          const std::int64_t row_end = min(m, row + task_a * rows);
          for (std::int64_t j = first_b; j < min(panels_b, first_b + task_b); ++j) {
            const std::int64_t col = jc + j * cols;
            Tile<T> tile;
            tile.depth = depth;
            const bool direct = in_place(col / cols);
            tile.b = direct ? g.b + pc * g.b_stride + col : b_panels + j * cols * depth;
            tile.b_stride = direct ? g.b_stride : cols;
            tile.c = g.c + (ic + row) * g.c_stride + col;
            tile.c_stride = g.c_stride;
            tile.cols = min(g.n - col, cols);
            tile.add = g.accumulate || pc > 0;
            tile.bias = last_depth && g.bias != nullptr ? g.bias + col : nullptr;
            tile.activation = last_depth ? g.activation : Activation::none;
            if (pack_a) {
              // A ragged last panel is packed as wide as the others, so one stride does.
              tile.a_stride = rows;
              multiply_panels<T, ALayout::columns>(g, tile, row, row_end, rows,
                                                   packed_a + row * depth, rows * depth);
            } else if (g.transpose_a) {
              tile.a_stride = g.a_stride;
              multiply_panels<T, ALayout::columns>(g, tile, row, row_end, rows,
                                                   g.a + pc * g.a_stride + ic + row, rows);
            } else {
              tile.a_stride = g.a_stride;
              multiply_panels<T, ALayout::rows>(g, tile, row, row_end, rows,
                                                g.a + (ic + row) * g.a_stride + pc,
                                                rows * g.a_stride);
            }
          }
        });
      }
    }
  }
}

// Rows or columns of a task of so many flops, of `flops` each, in multiples of `step`.
KCORE_INLINE std::int64_t task_extent(double flops, std::int64_t step) {
  const auto steps =
      static_cast<std::int64_t>(kTaskFlops / (flops * static_cast<double>(step) + 1));
  return (steps + 1) * step;
}

template <class T>
void multiply(const Gemm<T>& g, bool parallel) {
  if (g.m == 0 || g.n == 0) return;
  if (g.packed_b != nullptr || g.k == 0) return blocked<T>(g, parallel);
  const auto m = static_cast<double>(g.m), n = static_cast<double>(g.n),
             k = static_cast<double>(g.k);
  // Reading an operand that is used up to four times costs as much as using it four times.
  parallel = parallel && 2 * k * (m < 4 ? 4 : m) * (n < 4 ? 4 : n) >= 2 * kTaskFlops;

  // Sums over lanes cost some eight instructions each: they must be few by the side of depth.
  constexpr std::int64_t width = kWidth<T>;
  const bool row_dots = g.transpose_b && g.m <= 8 && g.k >= 16 * g.m;
  const bool column_dots =
      !g.transpose_a && g.n <= 12 && (g.k / width + 8) * g.n < g.k * ceil_div(g.n, width);
  if (row_dots) return dots<T>(g, g.m, task_extent(8 * k, kDotCols), parallel);
  if (column_dots) return dots<T>(g, task_extent(8 * k, 4), g.n, parallel);
  if (g.n == 1 && g.transpose_a && g.c_stride == 1) {
    // The one row of the transposed product; bias and activation are every column's.
    Gemm<T> swapped = g;
    swapped.m = 1;
    swapped.n = g.m;
    swapped.a = g.b;
    swapped.a_stride = g.b_stride;
    swapped.transpose_a = !g.transpose_b;
    swapped.b = g.a;
    swapped.b_stride = g.a_stride;
    swapped.transpose_b = false;
    swapped.bias = nullptr;
    swapped.activation = Activation::none;
    stream<T>(swapped, 1, task_extent(8 * k, 8 * width), parallel);
    if (g.bias != nullptr) {
      for (std::int64_t i = 0; i < g.m; ++i) g.c[i] += g.bias[0];
    }
    if (g.activation != Activation::none) activate_block<T>(g.c, 0, 1, g.m, g.activation);
    return;
  }
  if (!g.transpose_b && g.m <= kStreamRows) {
    return stream<T>(g, g.m, task_extent(8 * k, 8 * width), parallel);
  }
  if (!g.transpose_b && g.k <= 4) return stream<T>(g, task_extent(8 * n, 1), g.n, parallel);
  blocked<T>(g, parallel);
}

template <class T>
void gemm(const Gemm<T>& g) {
  multiply<T>(g, true);
}

// Integers: no tuning, wrapping around as NumPy's do.
template <class T, class Unsigned>
void multiply_integers(const Gemm<T>& g, bool parallel) {
  const double flops =
      2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k);
  for_tasks(parallel && flops > kTaskFlops, g.m, [&](std::int64_t i) {
    Unsigned* c = reinterpret_cast<Unsigned*>(g.c) + i * g.c_stride;
    if (!g.accumulate) {
      for (std::int64_t j = 0; j < g.n; ++j) c[j] = 0;
    }
    for (std::int64_t p = 0; p < g.k; ++p) {
      const auto x = static_cast<Unsigned>(*element(g.a, g.a_stride, g.transpose_a, i, p));
      const auto* b =
          reinterpret_cast<const Unsigned*>(element(g.b, g.b_stride, g.transpose_b, p, 0));
      const std::int64_t step = g.transpose_b ? g.b_stride : 1;
      for (std::int64_t j = 0; j < g.n; ++j) c[j] += x * b[j * step];
    }
    if (g.bias != nullptr) {
      for (std::int64_t j = 0; j < g.n; ++j) c[j] += static_cast<Unsigned>(g.bias[j]);
    }
    if (g.activation == Activation::relu) {
      for (std::int64_t j = 0; j < g.n; ++j) c[j] = static_cast<T>(c[j]) < 0 ? 0 : c[j];
    }
  });
}

template <class T, void (*Multiply)(const Gemm<T>&, bool)>
void batched(const Gemm<T>& g, std::int64_t count, const std::int64_t* a_offsets,
             const std::int64_t* b_offsets, std::int64_t c_step) {
  const double flops =
      2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k);
  // Few large products share the team one after another; many small ones are shared out.
  const bool large = flops > kTasks * kTaskFlops;
  const auto one = [&](std::int64_t i, bool parallel) {
    Gemm<T> item = g;
    item.a += a_offsets[i];
    item.b += b_offsets[i];
    item.c += i * c_step;
    Multiply(item, parallel);
  };
  if (large) {
    for (std::int64_t i = 0; i < count; ++i) one(i, true);
    return;
  }
  const auto group = static_cast<std::int64_t>(1 + kTaskFlops / (flops + 1));
  for_tasks(flops * static_cast<double>(count) >= 2 * kTaskFlops, ceil_div(count, group),
            [&](std::int64_t task) {
              for (std::int64_t i = task * group; i < min(count, (task + 1) * group); ++i) {
                one(i, false);
              }
            });
}

template <class T, class Unsigned>
void integer_gemm(const Gemm<T>& g) {
  multiply_integers<T, Unsigned>(g, true);
}

}  // namespace

const GemmKernels<float> gemm_float32_table = {gemm<float>, batched<float, multiply<float>>,
                                               packed_b_size<float>, pack_b<float>};
const GemmKernels<double> gemm_float64_table = {gemm<double>, batched<double, multiply<double>>,
                                                packed_b_size<double>, pack_b<double>};
const GemmKernels<std::int32_t> gemm_int32_table = {
    integer_gemm<std::int32_t, std::uint32_t>,
    batched<std::int32_t, multiply_integers<std::int32_t, std::uint32_t>>, nullptr, nullptr};
const GemmKernels<std::int64_t> gemm_int64_table = {
    integer_gemm<std::int64_t, std::uint64_t>,
    batched<std::int64_t, multiply_integers<std::int64_t, std::uint64_t>>, nullptr, nullptr};

}  // namespace kcore::KCORE_ISA_NAMESPACE
