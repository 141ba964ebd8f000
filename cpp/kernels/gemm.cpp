// The blocks of a product, outermost first (after BLIS):
//   jc  columns of B that are packed at once
//   pc  steps of depth, kBlockDepth at a time: what a panel holds
//   ic  rows of A that are packed at once
//   jr, ir  the panels of a task; the micro-kernel multiplies one of A by one of B
// Tasks cut the (ic, jc) block in both directions and are what threads share. Where A has few rows,
// tasks cut columns alone and go through all of depth, each packing a panel of B just before use.
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
constexpr std::int64_t kFewPanels = 16;            // of A: those of one task
constexpr std::int64_t kPackedElements = 1 << 20;  // of all of A, where it has few rows
constexpr std::int64_t kTaskPanels = 12;           // of A and of B, at most
constexpr std::int64_t kTasks = 16;                // cut a block into as many, unless small:
constexpr double kTaskFlops = 262144;              // less is not worth a thread's while
constexpr std::int64_t kPackTaskElements = 16384;

KCORE_INLINE std::int64_t min(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
KCORE_INLINE std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

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

template <class T>
class Blocked {
 public:
  Blocked(const Gemm<T>& gemm, bool parallel)
      : g_(gemm),
        flops_(2.0 * static_cast<double>(gemm.m) * static_cast<double>(gemm.n) *
               static_cast<double>(gemm.k)),
        parallel_(parallel && flops_ >= kParallelFlops),
        rows_(balanced(gemm.m, kBlockRows)),
        pack_a_(gemm.n > 2 * kCols),
        pack_b_(gemm.transpose_b || gemm.m > kFewPanels * kBlockRows) {}

  void run() const {
    const std::int64_t panels_a = ceil_div(g_.m, rows_), panels_b = ceil_div(g_.n, kCols);
    const bool few =
        panels_a <= kFewPanels && (!pack_a_ || panels_a * rows_ * g_.k <= kPackedElements);
    if (few && (panels_b >= 4 || flops_ <= 8 * kTaskFlops)) {
      few_rows(panels_a, panels_b);
    } else {
      blocks();
    }
  }

 private:
  static constexpr std::int64_t kCols = kBlockCols<T>;

  static T* scratch(Scratch name, std::int64_t elements) {
    return reinterpret_cast<T*>(
        thread_scratch(name, static_cast<std::size_t>(elements) * sizeof(T)));
  }

  // Rows from `row` on, at most a panel of them. A ragged last panel is as wide as the others.
  void pack_a_panel(std::int64_t row, std::int64_t pc, std::int64_t depth, T* panel) const {
    const T* source = element(g_.a, g_.a_stride, g_.transpose_a, row, pc);
    const std::int64_t used = min(g_.m - row, rows_);
    if (g_.transpose_a) {
      pack_columns<T>(source, g_.a_stride, used, rows_, depth, panel);
    } else {
      pack_rows<T>(source, g_.a_stride, used, rows_, depth, panel);
    }
  }

  // Whether panel j of B is read where it lies. The ragged last one never is: tiles read whole
  // vectors.
  bool in_place(std::int64_t j) const { return !pack_b_ && (j + 1) * kCols <= g_.n; }

  // Rows [row, row_end) by panel j of B, `a` being the first of the packed panels of those rows or
  // null, `b` the panel or null if it is in place.
  void multiply(std::int64_t row, std::int64_t row_end, std::int64_t j, std::int64_t pc,
                std::int64_t depth, const T* a, const T* b) const {
    const std::int64_t col = j * kCols;
    const bool last_depth = pc + depth == g_.k;
    Tile<T> tile;
    tile.depth = depth;
    tile.b = b != nullptr ? b : g_.b + pc * g_.b_stride + col;
    tile.b_stride = b != nullptr ? kCols : g_.b_stride;
    tile.c = g_.c + row * g_.c_stride + col;
    tile.c_stride = g_.c_stride;
    tile.cols = min(g_.n - col, kCols);
    tile.add = pc > 0;
    if (pc == 0 && g_.addend != nullptr) tile.addend = g_.addend + row * g_.c_stride + col;
    tile.bias = last_depth && g_.bias != nullptr ? g_.bias + col : nullptr;
    tile.activation = last_depth ? g_.activation : Activation::none;
    if (a != nullptr) {
      tile.a = a;
      tile.a_stride = rows_;
      multiply_panels<ALayout::columns>(tile, row, row_end, rows_ * depth);
    } else {
      tile.a = element(g_.a, g_.a_stride, g_.transpose_a, row, pc);
      tile.a_stride = g_.a_stride;
      if (g_.transpose_a) {
        multiply_panels<ALayout::columns>(tile, row, row_end, rows_);
      } else {
        multiply_panels<ALayout::rows>(tile, row, row_end, rows_ * g_.a_stride);
      }
    }
  }

  template <ALayout Layout>
  void multiply_panels(Tile<T>& tile, std::int64_t row, std::int64_t row_end,
                       std::int64_t a_step) const {
    const TileKernel<T> whole = find_tile_kernel<T, Layout>(rows_, tile.cols);
    for (; row + rows_ <= row_end; row += rows_) {
      whole(tile);
      tile.a += a_step;
      tile.c += rows_ * tile.c_stride;
      if (tile.addend != nullptr) tile.addend += rows_ * tile.c_stride;
    }
    if (row < row_end) find_tile_kernel<T, Layout>(row_end - row, tile.cols)(tile);
  }

  void few_rows(std::int64_t panels_a, std::int64_t panels_b) const {
    const std::int64_t padded_m = panels_a * rows_;
    const std::int64_t depths = ceil_div(g_.k, kBlockDepth<T>);
    T* packed_a = nullptr;
    if (pack_a_) {
      packed_a = scratch(Scratch::packed_a, padded_m * g_.k);
      for_tasks(parallel_ && padded_m * g_.k > 2 * kPackTaskElements, panels_a * depths,
                [&](std::int64_t job) {
                  const std::int64_t pc = job / panels_a * kBlockDepth<T>;
                  const std::int64_t i = job % panels_a * rows_;
                  const std::int64_t depth = min(g_.k - pc, kBlockDepth<T>);
                  pack_a_panel(i, pc, depth, packed_a + pc * padded_m + i * depth);
                });
    }
    const double panel_flops = flops_ / static_cast<double>(panels_b);
    const auto least = static_cast<std::int64_t>(kTaskFlops / (panel_flops + 1));
    const std::int64_t group = 1 + (least > panels_b / kTasks ? least : panels_b / kTasks);
    for_tasks(parallel_, ceil_div(panels_b, group), [&](std::int64_t task) {
      T* packed_b = scratch(Scratch::packed_b, kCols * min(g_.k, kBlockDepth<T>));
      // Every depth has a block, so that c is written even where k is 0.
      for (std::int64_t pc = 0; pc == 0 || pc < g_.k; pc += kBlockDepth<T>) {
        const std::int64_t depth = min(g_.k - pc, kBlockDepth<T>);
        for (std::int64_t j = task * group; j < min(panels_b, (task + 1) * group); ++j) {
          if (!in_place(j)) pack_b_panel(g_, j, pc, depth, packed_b);
          multiply(0, g_.m, j, pc, depth, pack_a_ ? packed_a + pc * padded_m : nullptr,
                   in_place(j) ? nullptr : packed_b);
        }
      }
    });
  }

  void blocks() const {
    const std::int64_t block_m = kBlockM / rows_ * rows_;
    const std::int64_t max_depth = min(g_.k, kBlockDepth<T>);
    T* packed_b =
        scratch(Scratch::packed_b, ceil_div(min(g_.n, kBlockN), kCols) * kCols * max_depth);
    T* packed_a = nullptr;
    if (pack_a_) {
      packed_a =
          scratch(Scratch::packed_a, min(ceil_div(g_.m, rows_) * rows_, block_m) * max_depth);
    }
    for (std::int64_t jc = 0; jc < g_.n; jc += kBlockN) {
      const std::int64_t first = jc / kCols, panels_b = ceil_div(min(g_.n - jc, kBlockN), kCols);
      for (std::int64_t pc = 0; pc == 0 || pc < g_.k; pc += kBlockDepth<T>) {
        const std::int64_t depth = min(g_.k - pc, kBlockDepth<T>);
        for (std::int64_t ic = 0; ic < g_.m; ic += block_m) {
          const std::int64_t m = min(g_.m - ic, block_m);
          const std::int64_t panels_a = ceil_div(m, rows_);
          const std::int64_t a_jobs = pack_a_ ? panels_a : 0;
          const std::int64_t b_jobs = ic == 0 ? panels_b : 0;
          const auto pack = [&](std::int64_t job) {
            if (job >= b_jobs) {
              const std::int64_t i = (job - b_jobs) * rows_;
              pack_a_panel(ic + i, pc, depth, packed_a + i * depth);
            } else if (!in_place(first + job)) {
              pack_b_panel(g_, first + job, pc, depth, packed_b + job * kCols * depth);
            }
          };
          for_tasks(parallel_ && (a_jobs * rows_ + b_jobs * kCols) * depth > 2 * kPackTaskElements,
                    a_jobs + b_jobs, pack);

          std::int64_t task_a, task_b;
          set_task_panels(panels_a, panels_b, depth, &task_a, &task_b);
          const std::int64_t tasks_a = ceil_div(panels_a, task_a);
          for_tasks(parallel_, tasks_a * ceil_div(panels_b, task_b), [&](std::int64_t task) {
            const std::int64_t row = task % tasks_a * task_a * rows_;
            const std::int64_t row_end = min(m, row + task_a * rows_);
            const std::int64_t end = min(panels_b, (task / tasks_a + 1) * task_b);
            for (std::int64_t j = task / tasks_a * task_b; j < end; ++j) {
              multiply(ic + row, ic + row_end, first + j, pc, depth,
                       pack_a_ ? packed_a + row * depth : nullptr,
                       in_place(first + j) ? nullptr : packed_b + j * kCols * depth);
            }
          });
        }
      }
    }
  }

  // How many panels of A and of B a task multiplies.
  void set_task_panels(std::int64_t panels_a, std::int64_t panels_b, std::int64_t depth,
                       std::int64_t* task_a, std::int64_t* task_b) const {
    const double panel_flops = 2.0 * static_cast<double>(rows_ * kCols * depth);
    std::int64_t a = min(panels_a, kTaskPanels), b = min(panels_b, kTaskPanels);
    while (ceil_div(panels_a, a) * ceil_div(panels_b, b) < kTasks && a * b > 1 &&
           static_cast<double>(a * b) * panel_flops > 2 * kTaskFlops) {
      if (b == 1 || (a > 1 && a * rows_ > b * kCols)) {
        a = ceil_div(a, 2);
      } else {
        b = ceil_div(b, 2);
      }
    }
    *task_a = a;
    *task_b = b;
  }

  const Gemm<T>& g_;
  double flops_;
  bool parallel_;
  std::int64_t rows_;  // of a panel of A
  bool pack_a_, pack_b_;
};

// Rows or columns of a task of so many flops, of `flops` each, in multiples of `step`.
KCORE_INLINE std::int64_t task_extent(double flops, std::int64_t step) {
  const auto steps =
      static_cast<std::int64_t>(kTaskFlops / (flops * static_cast<double>(step) + 1));
  return (steps + 1) * step;
}

template <class T>
void multiply(const Gemm<T>& g, bool parallel) {
  if (g.m == 0 || g.n == 0) return;
  if (g.k == 0) return Blocked<T>(g, parallel).run();
  const auto m = static_cast<double>(g.m), n = static_cast<double>(g.n),
             k = static_cast<double>(g.k);
  // Reading an operand that is used up to four times costs as much as using it four times.
  parallel = parallel && 2 * k * (m < 4 ? 4 : m) * (n < 4 ? 4 : n) >= kParallelFlops;

  // A sum over lanes costs as much as a few steps of depth.
  constexpr std::int64_t width = kWidth<T>;
  const bool row_dots = g.transpose_b && g.m <= 64 && g.k >= 10 * g.m;
  const bool column_dots =
      !g.transpose_a && g.n <= 12 && (g.k / width + 4) * g.n < g.k * ceil_div(g.n, width);
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
  if (g.transpose_a && g.n <= kNarrowCols && 4 * g.n < 3 * ceil_div(g.n, width) * width &&
      g.c_stride == g.n && g.addend == nullptr) {
    return narrow<T>(g, task_extent(2 * n * k, kBlockCols<T>), parallel);
  }
  if (!g.transpose_b && g.m <= kStreamRows) {
    return stream<T>(g, g.m, task_extent(8 * k, 8 * width), parallel);
  }
  if (!g.transpose_b && g.k <= 4) return stream<T>(g, task_extent(8 * n, 1), g.n, parallel);
  Blocked<T>(g, parallel).run();
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
  for_tasks(parallel && flops > kParallelFlops, g.m, [&](std::int64_t i) {
    Unsigned* c = reinterpret_cast<Unsigned*>(g.c) + i * g.c_stride;
    for (std::int64_t j = 0; j < g.n; ++j) {
      c[j] = g.addend == nullptr ? 0 : static_cast<Unsigned>(g.addend[i * g.c_stride + j]);
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
    if (g.addend != nullptr) item.addend += i * c_step;
    Multiply(item, parallel);
  };
  if (large) {
    for (std::int64_t i = 0; i < count; ++i) one(i, true);
    return;
  }
  const auto group = static_cast<std::int64_t>(1 + kTaskFlops / (flops + 1));
  for_tasks(flops * static_cast<double>(count) >= kParallelFlops, ceil_div(count, group),
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

const GemmKernels<float> gemm_float32_table = {gemm<float>, batched<float, multiply<float>>};
const GemmKernels<double> gemm_float64_table = {gemm<double>, batched<double, multiply<double>>};
const GemmKernels<std::int32_t> gemm_int32_table = {
    integer_gemm<std::int32_t, std::uint32_t>,
    batched<std::int32_t, multiply_integers<std::int32_t, std::uint32_t>>};
const GemmKernels<std::int64_t> gemm_int64_table = {
    integer_gemm<std::int64_t, std::uint64_t>,
    batched<std::int64_t, multiply_integers<std::int64_t, std::uint64_t>>};

}  // namespace kcore::KCORE_ISA_NAMESPACE
