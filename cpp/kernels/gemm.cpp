// C is cut into one task a thread, each a product of its own with its own packed operands: threads
// meet once, at the end, and read nothing that another has just written. The blocks of a task,
// outermost first (after BLIS):
//   jc  columns of B whose panels are kept while rows of A pass
//   pc  steps of depth: what a panel holds
//   ic  rows of A that stay in the second-level cache
//   jr, ir  panels; the micro-kernel multiplies one of A by one of B
#include "kernels/gemm.h"

#include "kernels/micro_kernel.h"
#include "kernels/packing.h"
#include "kernels/skinny_gemm.h"
#include "simd/parallel.h"
#include "simd/scratch.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

// Bytes of a block of A, which stays in the second-level cache. So many rows are one block even if
// they take more: panels of B are then needed once and needn't be kept.
constexpr std::int64_t kBlockBytes = 768 * 1024;
constexpr std::int64_t kOneBlock = 384;
constexpr std::int64_t kPieceBytes = 384 * 1024;  // of C that is taken piece by piece
constexpr std::int64_t kRowsOfTaker = 4 * kBlockRows;
constexpr std::int64_t kBlockPanels = 128;  // of B
constexpr std::int64_t kFewRows = 28;       // too few to pay for packing B
constexpr int kCacheWays = 8;               // lines of a set of the first-level cache
constexpr double kPackCost = 16;            // of an element, in multiplications; of A's in place,
                                            // which another thread may have written, too
constexpr double kReadCost = 3;             // of an element of a panel that is kept
constexpr double kMoveCost = 48;       // of an element that another thread has written, in flops
constexpr double kTaskFlops = 131072;  // less is not worth a thread's while
constexpr double kPassElements = 2 * kParallelElements;  // worth a team's while
constexpr double kSharedFlops = 32 * kTaskFlops;  // of an item of a batch that the team shares

template <class T>
KCORE_INLINE const T* element(const T* matrix, std::int64_t stride, bool transposed,
                              std::int64_t row, std::int64_t col) {
  return transposed ? matrix + col * stride + row : matrix + row * stride + col;
}

// A panel of B that is packed while the one before it is multiplied: some steps of depth after each
// tile, asked for while that tile is computed.
template <class T>
class NextPanel {
 public:
  NextPanel() = default;

  // Panel j, steps [pc, pc + depth), to `panel`, in so many shares; not packed if that is null.
  NextPanel(const Gemm<T>& g, std::int64_t j, std::int64_t pc, std::int64_t depth, T* panel,
            std::int64_t shares)
      : transposed_(g.transpose_b),
        source_(element(g.b, g.b_stride, g.transpose_b, pc, j * kCols)),
        stride_(g.b_stride),
        cols_(min(g.n - j * kCols, kCols)),
        panel_(panel),
        left_(depth),
        share_(round_up(ceil_div(depth, shares), kWidth<T>)),
        at_once_(rows_at_once(transposed_ ? cols_ : share_, depth)) {}

  // A panel that was packed before.
  NextPanel(const T* panel, std::int64_t depth, std::int64_t shares)
      : source_(panel),
        stride_(kCols),
        cols_(kCols),
        left_(depth),
        share_(ceil_div(depth, shares)),
        at_once_(rows_at_once(share_, depth)) {}

  // The next share, to be asked for.
  Ahead<T> ask() const {
    const std::int64_t steps = min(left_, share_);
    return transposed_ ? Ahead<T>{source_, stride_, steps > 0 ? cols_ : 0, steps, at_once_}
                       : Ahead<T>{source_, stride_, steps, cols_, at_once_};
  }

  // Packs it.
  void take() {
    const std::int64_t steps = min(left_, share_);
    if (steps == 0) return;
    if (panel_ != nullptr) {
      pack_panel<T>(transposed_, source_, stride_, cols_, kCols, steps, panel_);
      panel_ += steps * kCols;
    }
    source_ += transposed_ ? steps : steps * stride_;
    left_ -= steps;
  }

  void take_all() {
    while (left_ > 0) take();
  }

 private:
  static constexpr std::int64_t kCols = kBlockCols<T>;

  // So many that a tile of that depth asks for `rows`.
  static std::int64_t rows_at_once(std::int64_t rows, std::int64_t depth) {
    return depth > 0 ? ceil_div(rows, ceil_div(depth, kStepsToAsk)) : 0;
  }

  bool transposed_ = false;
  const T* source_ = nullptr;
  std::int64_t stride_ = 0, cols_ = 0;
  T* panel_ = nullptr;
  std::int64_t left_ = 0, share_ = 0, at_once_ = 0;
};

template <class T>
class Blocked {
 public:
  Blocked(const Gemm<T>& gemm, bool parallel)
      : g_(gemm), parallel_(parallel), panels_b_(ceil_div(gemm.n, kCols)) {}

  // Cuts C into one task a thread. Cutting never changes a bit (see micro_kernel.h), so the grid
  // may depend on their number.
  void run() const {
    const Grid grid = make_grid();
    for_tasks(parallel_, grid.down * grid.across, [&](std::int64_t index) {
      const Task task = task_of(grid, index);
      if (task.row < task.row_end) blocks(task);
    });
  }

  ScratchNeed scratch() const {
    ScratchNeed need;
    const Grid grid = make_grid();
    const std::int64_t tasks = grid.down * grid.across;
    for (std::int64_t index = 0; index < tasks; ++index) {
      const Packing packing = packing_of(task_of(grid, index));
      for (const auto& [name, elements] : {Taken{Scratch::packed_a, packing.a_elements},
                                           Taken{Scratch::packed_b, packing.b_elements},
                                           Taken{Scratch::product, packing.piece_elements}}) {
        need.add(name, elements * static_cast<std::int64_t>(sizeof(T)), tasks);
      }
    }
    return need;
  }

 private:
  static constexpr std::int64_t kCols = kBlockCols<T>;

  struct Grid {
    std::int64_t down, across;
  };

  // Rows [row, row_end) of C by the panels [first, end) of B.
  struct Task {
    std::int64_t row, row_end, first, end;
  };

  struct Packing {
    std::int64_t height, block_m;  // of a panel and of a block of A
    std::int64_t depth;            // of every block but the last, which may be shorter
    bool packs_a, packs_b;
    std::int64_t kept_panels, panel_elements;  // of B: how many are kept, and of each
    std::int64_t a_elements, b_elements;       // of the memory that is packed into
    std::int64_t piece_elements;               // of C, if it is taken piece by piece
  };

  struct Taken {
    Scratch name;
    std::int64_t elements;
  };

  Grid make_grid() const {
    Grid grid{1, 1};
    if (parallel_) set_grid(num_threads(), &grid.down, &grid.across);
    return grid;
  }

  Task task_of(const Grid& grid, std::int64_t index) const {
    const std::int64_t rows = ceil_div(g_.m, grid.down);
    const std::int64_t row = index / grid.across * rows, i = index % grid.across;
    return {row, min(g_.m, row + rows), i * panels_b_ / grid.across,
            (i + 1) * panels_b_ / grid.across};
  }

  // Rows of A are read where they lie, unless they are pages apart: those of a tile would share a
  // set of the cache, and be too many for it. Columns are gathered into panels.
  bool packs_a() const {
    const bool crowded =
        kBlockRows > kCacheWays && g_.a_stride * std::int64_t{sizeof(T)} % kPageBytes == 0;
    return g_.transpose_a || crowded;
  }

  Packing packing_of(const Task& task) const {
    Packing packing{};
    const std::int64_t rows = task.row_end - task.row, panels = task.end - task.first;
    if (rows <= 0) return packing;
    // Blocks have a say in the order of a sum, so they depend on the product alone.
    const std::int64_t depth = packing.depth = balanced(g_.k, kBlockDepth<T>);
    const std::int64_t most_rows = kBlockBytes / (depth * std::int64_t{sizeof(T)});
    packing.height = balanced(rows, kBlockRows);
    packing.block_m = rows <= kOneBlock ? rows : balanced(rows, max(most_rows, kBlockRows));
    const std::int64_t piece_cols = g_.taker != nullptr ? min(panels, kBlockPanels) * kCols : 0;
    if (piece_cols > 0) {
      const std::int64_t fitting = kPieceBytes / (piece_cols * std::int64_t{sizeof(T)});
      packing.block_m = min(packing.block_m, balanced(rows, max(fitting, kBlockRows)));
    }
    packing.block_m = round_up(packing.block_m, packing.height);
    packing.piece_elements = packing.block_m * piece_cols;
    packing.packs_a = packs_a() && panels > 2;
    packing.packs_b = g_.prepared == nullptr && (g_.transpose_b || rows > kFewRows);
    packing.a_elements = packing.packs_a ? packing.block_m * depth : 0;
    // Where a panel serves one block of rows there are two: one is multiplied, the next is packed.
    packing.kept_panels = packing.block_m >= rows ? 2 : min(panels, kBlockPanels);
    packing.panel_elements = kCols * depth;
    packing.b_elements = g_.prepared == nullptr ? packing.kept_panels * packing.panel_elements : 0;
    return packing;
  }

  // The grid whose largest task costs least: its tiles, and the operands that it reads. Who takes C
  // piece by piece gets whole rows if there are enough: where a row is shared, one thread reads
  // ahead into what another writes.
  void set_grid(std::int64_t threads, std::int64_t* down, std::int64_t* across) const {
    if (g_.taker != nullptr && g_.m >= threads * kRowsOfTaker) {
      *down = threads;
      return;
    }
    double best = 0;
    for (std::int64_t d = 1; d <= threads; ++d) {
      const std::int64_t a = threads / d;
      const std::int64_t rows = ceil_div(g_.m, d), cols = ceil_div(panels_b_, a) * kCols;
      const double moved =
          kPackCost * static_cast<double>(rows) +
          (g_.prepared == nullptr ? kPackCost : kReadCost) * static_cast<double>(cols);
      const double cost = static_cast<double>(rows * cols) + moved;
      if (d == 1 || cost < best) {
        best = cost;
        *down = d;
        *across = a;
      }
    }
  }

  static T* take(Scratch name, std::int64_t elements) {
    return reinterpret_cast<T*>(
        thread_scratch(name, static_cast<std::size_t>(elements) * sizeof(T)));
  }

  // Rows [row, row_end), in panels of `height`. A ragged last panel is as wide as the others.
  void pack_a(std::int64_t row, std::int64_t row_end, std::int64_t height, std::int64_t pc,
              std::int64_t depth, T* packed) const {
    const T* source = element(g_.a, g_.a_stride, g_.transpose_a, row, pc);
    if (g_.transpose_a) {
      return pack_column_panels<T>(source, g_.a_stride, row_end - row, height, depth, packed);
    }
    for (; row < row_end; row += height, packed += height * depth, source += height * g_.a_stride) {
      pack_rows<T>(source, g_.a_stride, min(row_end - row, height), height, depth, packed);
    }
  }

  void blocks(const Task& task) const {
    const auto [row, row_end, first, end] = task;
    const Packing packing = packing_of(task);
    const std::int64_t height = packing.height, block_m = packing.block_m;
    T* packed_b = packing.b_elements > 0 ? take(Scratch::packed_b, packing.b_elements) : nullptr;
    T* packed_a = packing.packs_a ? take(Scratch::packed_a, packing.a_elements) : nullptr;
    T* piece = g_.taker != nullptr ? take(Scratch::product, packing.piece_elements) : nullptr;
    // Tiles read whole vectors: the ragged last panel is never read where it lies.
    const auto whole = [&](std::int64_t j) { return (j + 1) * kCols <= g_.n; };
    // Where panel j is packed to, or null if it is not.
    const auto packed = [&, begin = first](std::int64_t j) -> T* {
      const bool in_place = !packing.packs_b && whole(j);
      return in_place || g_.prepared != nullptr
                 ? nullptr
                 : packed_b + (j - begin) % packing.kept_panels * packing.panel_elements;
    };
    // Whether the first tile that reads panel j copies it: for nothing, unless rows of B are pages
    // apart.
    const auto copied = [&](std::int64_t j) {
      return packing.packs_b && !g_.transpose_b && whole(j) &&
             g_.b_stride * std::int64_t{sizeof(T)} < kPageBytes;
    };
    const auto next_panel = [&](std::int64_t j, std::int64_t pc, std::int64_t depth,
                                std::int64_t shares) {
      return NextPanel<T>(g_, j, pc, depth, copied(j) ? nullptr : packed(j), shares);
    };
    for (std::int64_t jc = first; jc < end; jc += kBlockPanels) {
      const std::int64_t j_end = min(end, jc + kBlockPanels);
      // Every depth has a block, so that c is written even where k is 0.
      for (std::int64_t pc = 0; pc == 0 || pc < g_.k; pc += packing.depth) {
        const std::int64_t depth = min(g_.k - pc, packing.depth);
        // Panel j: null if it is read in place.
        const auto panel = [&](std::int64_t j) -> const T* {
          return g_.prepared != nullptr ? g_.prepared + (j * g_.k + pc) * kCols : packed(j);
        };
        next_panel(jc, pc, depth, 1).take_all();
        for (std::int64_t ic = row; ic < row_end; ic += block_m) {
          const std::int64_t i_end = min(row_end, ic + block_m);
          const std::int64_t shares = ceil_div(i_end - ic, height);
          Block block{ic, i_end, height, pc, depth};
          if (piece != nullptr) {
            block.c = piece;
            block.c_stride = min(g_.n, j_end * kCols) - jc * kCols;
          } else {
            block.c = g_.c + ic * g_.c_stride + jc * kCols;
            block.c_stride = g_.c_stride;
          }
          if (packing.packs_a) pack_a(ic, i_end, height, pc, depth, packed_a);
          for (std::int64_t j = jc; j < j_end; ++j) {
            NextPanel<T> next;
            if (j + 1 < j_end) {
              const T* made = panel(j + 1);
              const bool known = made != nullptr && (g_.prepared != nullptr || ic > row);
              next =
                  known ? NextPanel<T>(made, depth, shares) : next_panel(j + 1, pc, depth, shares);
            }
            T* copy = ic == row && copied(j) ? packed(j) : nullptr;
            multiply(block, j, packed_a, copy != nullptr ? nullptr : panel(j), copy, next);
            block.c += kCols;
          }
          if (piece != nullptr) {
            g_.taker->take(g_.taker->self, piece, ic, i_end - ic, jc * kCols, block.c_stride);
          }
        }
      }
    }
  }

  // Rows [row, row_end) in panels of `height`, steps [pc, pc + depth), and where their product with
  // a panel of B goes.
  struct Block {
    std::int64_t row, row_end, height, pc, depth;
    T* c = nullptr;
    std::int64_t c_stride = 0;
  };

  // A block by panel j of B, `a` being the first of the packed panels of those rows or null, `b`
  // the panel or null if it is in place, `copy` where the panel is to be made or null.
  void multiply(const Block& block, std::int64_t j, const T* a, const T* b, T* copy,
                NextPanel<T>& next) const {
    const auto [row, row_end, height, pc, depth, c, c_stride] = block;
    const std::int64_t col = j * kCols;
    const bool last_depth = pc + depth == g_.k;
    Tile<T> tile;
    tile.depth = depth;
    tile.b = b != nullptr ? b : g_.b + pc * g_.b_stride + col;
    tile.b_stride = b != nullptr ? kCols : g_.b_stride;
    tile.copy = copy;
    tile.c = c;
    tile.c_stride = c_stride;
    tile.cols = min(g_.n - col, kCols);
    tile.add = pc > 0;
    if (pc == 0 && g_.addend != nullptr) tile.addend = g_.addend + row * g_.c_stride + col;
    tile.bias = last_depth && g_.bias != nullptr ? g_.bias + col : nullptr;
    tile.activation = last_depth ? g_.activation : Activation::none;
    if (a != nullptr) {
      tile.a = a;
      tile.a_stride = height;
      multiply_panels<ALayout::columns>(tile, row, row_end, height, height * depth, next);
    } else {
      tile.a = element(g_.a, g_.a_stride, g_.transpose_a, row, pc);
      tile.a_stride = g_.a_stride;
      if (g_.transpose_a) {
        multiply_panels<ALayout::columns>(tile, row, row_end, height, height, next);
      } else {
        multiply_panels<ALayout::rows>(tile, row, row_end, height, height * g_.a_stride, next);
      }
    }
  }

  template <ALayout Layout>
  void multiply_panels(Tile<T>& tile, std::int64_t row, std::int64_t row_end, std::int64_t height,
                       std::int64_t a_step, NextPanel<T>& next) const {
    const TileKernel<T> whole = find_tile_kernel<T, Layout>(height, tile.cols);
    for (; row < row_end; row += height) {
      tile.ahead = next.ask();
      row + height <= row_end ? whole(tile)
                              : find_tile_kernel<T, Layout>(row_end - row, tile.cols)(tile);
      next.take();
      if (tile.copy != nullptr) {
        tile.b = tile.copy;
        tile.b_stride = kCols;
        tile.copy = nullptr;
      }
      tile.a += a_step;
      tile.c += height * tile.c_stride;
      if (tile.addend != nullptr) tile.addend += height * tile.c_stride;
    }
    next.take_all();
  }

  const Gemm<T>& g_;
  bool parallel_;
  std::int64_t panels_b_;
};

// Rows or columns of a task of so many flops, of `flops` each, in multiples of `step`.
KCORE_INLINE std::int64_t task_extent(double flops, std::int64_t step) {
  const auto steps =
      static_cast<std::int64_t>(kTaskFlops / (flops * static_cast<double>(step) + 1));
  return (steps + 1) * step;
}

enum class Way { nothing, row_dots, column_dots, one_column, narrow, stream, outer, blocked };

template <class T>
Way way_of(const Gemm<T>& g) {
  if (g.m == 0 || g.n == 0) return Way::nothing;
  if (g.k == 0) return Way::blocked;
  // A sum over lanes costs as much as a few steps of depth.
  constexpr std::int64_t width = kWidth<T>;
  if (g.transpose_b && g.m <= 64 && g.k >= 10 * g.m) return Way::row_dots;
  if (!g.transpose_a && g.n <= 12 && (g.k / width + 4) * g.n < g.k * ceil_div(g.n, width)) {
    return Way::column_dots;
  }
  if (g.n == 1 && g.transpose_a && g.c_stride == 1) return Way::one_column;
  if (g.transpose_a && g.n <= kNarrowCols && 4 * g.n < 3 * ceil_div(g.n, width) * width &&
      g.c_stride == g.n && g.addend == nullptr) {
    return Way::narrow;
  }
  if (!g.transpose_b && g.m <= kStreamRows) return Way::stream;
  if (!g.transpose_b && g.k <= kOuterDepth) return Way::outer;
  return Way::blocked;
}

template <class T>
bool is_parallel(const Gemm<T>& g) {
  const auto m = static_cast<double>(g.m), n = static_cast<double>(g.n),
             k = static_cast<double>(g.k);
  const double elements = m * n + n * k + m * k;
  // Where an operand or C is used less than four times, moving it takes as long as multiplying
  // would.
  if (m < 4 || n < 4 || k < 4) return k > 0 && elements >= kPassElements;
  return 2 * m * n * k + kMoveCost * elements >= kParallelFlops;
}

// One column of C, the one row of the transposed product; bias and activation are every column's.
template <class T>
void one_column(const Gemm<T>& g, std::int64_t task_cols, bool parallel) {
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
  stream<T>(swapped, task_cols, parallel);
  if (g.bias != nullptr) {
    for (std::int64_t i = 0; i < g.m; ++i) g.c[i] += g.bias[0];
  }
  if (g.activation != Activation::none) activate_block<T>(g.c, 0, 1, g.m, g.activation);
}

// Columns of a task of stream(). Each thread gets some panels; in place, short runs of a row cost
// as much as long ones.
template <class T>
std::int64_t stream_cols(const Gemm<T>& g) {
  const std::int64_t cols = task_extent(8.0 * static_cast<double>(g.k), 8 * kWidth<T>);
  if (g.prepared == nullptr) return cols;
  return min(cols, round_up(ceil_div(g.n, num_threads()), kBlockCols<T>));
}

// Whether stream() would jump from page to page. (The addend may be C, which passes write.)
template <class T>
bool in_passes(const Gemm<T>& g) {
  return g.prepared == nullptr && g.addend == nullptr &&
         g.b_stride * std::int64_t{sizeof(T)} > kPageBytes;
}

template <class T>
std::int64_t pass_cols(const Gemm<T>& g) {
  constexpr std::int64_t most = 4 * kPageBytes / std::int64_t{sizeof(T)};
  return min(most, round_up(ceil_div(g.n, 2 * num_threads()), 8 * kWidth<T>));
}

// Rows of a task of column dots. One that packs B is a thread's whole share.
template <class T>
std::int64_t dot_rows(const Gemm<T>& g, bool parallel) {
  const double columns = static_cast<double>(max(g.n, 4));
  const std::int64_t rows = task_extent(2 * static_cast<double>(g.k) * columns, kDotRows);
  const bool packs = !g.transpose_b && g.prepared == nullptr;
  return packs ? max(rows, ceil_div(g.m, parallel ? num_threads() : 1)) : rows;
}

template <class T>
void multiply(const Gemm<T>& g, bool parallel) {
  constexpr std::int64_t width = kWidth<T>;
  const auto m = static_cast<double>(g.m), n = static_cast<double>(g.n),
             k = static_cast<double>(g.k);
  parallel = parallel && is_parallel(g);
  switch (way_of(g)) {
    case Way::nothing:
      return;
    case Way::row_dots:
      return dots<T>(g, g.m, task_extent(2 * k * (m < 4 ? 4 : m), width), parallel);
    case Way::column_dots:
      return dots<T>(g, dot_rows(g, parallel), g.n, parallel);
    case Way::one_column:
      return one_column<T>(g, task_extent(8 * k, 8 * width), parallel);
    case Way::narrow:
      return narrow<T>(g, task_extent(2 * n * k, kBlockCols<T>), parallel);
    case Way::stream:
      return in_passes(g) ? stream_passes<T>(g, pass_cols(g), parallel)
                          : stream<T>(g, stream_cols(g), parallel);
    case Way::outer:
      return outer<T>(g, task_extent(8 * n, 1), parallel);
    case Way::blocked:
      return Blocked<T>(g, parallel).run();
  }
}

// The pieces of a blocked product are whole once one block of depth has passed.
template <class T>
bool in_pieces(const Gemm<T>& g) {
  return way_of(g) == Way::blocked && g.k <= kBlockDepth<T> && g.addend == nullptr;
}

template <class T>
ScratchNeed product_scratch(const Gemm<T>& g, bool parallel) {
  switch (way_of(g)) {
    case Way::row_dots:
    case Way::column_dots:
      return dots_scratch<T>(g);
    case Way::narrow:
      return narrow_scratch<T>(g);
    case Way::blocked:
      return Blocked<T>(g, parallel && is_parallel(g)).scratch();
    default:
      return {};
  }
}

// Panels that are kept as long as their program are worth their memory while they fit in caches.
// Larger ones save little: memory is as slow in any order, and many rows pay for the packing.
constexpr std::int64_t kMaxPreparedBytes = std::int64_t{32} << 20;

template <class T>
std::int64_t prepared_elements(const Gemm<T>& g) {
  const auto worth = [](std::int64_t elements) {
    return elements * std::int64_t{sizeof(T)} <= kMaxPreparedBytes ? elements : 0;
  };
  switch (way_of(g)) {
    case Way::column_dots:
      return g.transpose_b ? 0 : worth(g.n * g.k);
    case Way::stream:
    case Way::blocked:
      return worth(round_up(g.n, kBlockCols<T>) * g.k);
    default:
      return 0;
  }
}

// The transpose of B for dot products, else its panels, each of all steps of depth.
template <class T>
void prepare(const Gemm<T>& g, T* prepared) {
  constexpr std::int64_t cols = kBlockCols<T>;
  if (way_of(g) == Way::column_dots) {
    return pack_rows<T>(g.b, g.b_stride, g.k, g.k, g.n, prepared);
  }
  for_tasks(g.n * g.k >= kParallelElements, ceil_div(g.n, cols), [&](std::int64_t j) {
    NextPanel<T>(g, j, 0, g.k, prepared + j * cols * g.k, 1).take_all();
  });
}

template <class T>
bool not_in_pieces(const Gemm<T>&) {
  return false;
}

template <class T>
std::int64_t nothing_prepared(const Gemm<T>&) {
  return 0;
}

template <class T>
void prepare_nothing(const Gemm<T>&, T*) {}

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

template <class T>
double flops_of(const Gemm<T>& g) {
  return 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k);
}

// Few large products share the team one after another; many small ones are shared out.
template <class T>
bool is_large(const Gemm<T>& g) {
  return flops_of(g) > kSharedFlops;
}

template <class T>
ScratchNeed scratch(const Gemm<T>& g, std::int64_t count) {
  if (count == 1 || is_large(g)) return product_scratch<T>(g, true);
  ScratchNeed need = product_scratch<T>(g, false);
  for (int name = 0; name < kScratchCount; ++name) {
    need.add_team(static_cast<Scratch>(name), need.caller[name]);
  }
  return need;
}

template <class T>
ScratchNeed no_scratch(const Gemm<T>&, std::int64_t) {
  return {};
}

template <class T, void (*Multiply)(const Gemm<T>&, bool)>
void batched(const Gemm<T>& g, std::int64_t count, const std::int64_t* a_offsets,
             const std::int64_t* b_offsets, std::int64_t c_step) {
  const double flops = flops_of(g);
  const auto one = [&](std::int64_t i, bool parallel) {
    Gemm<T> item = g;
    item.a += a_offsets[i];
    item.b += b_offsets[i];
    item.c += i * c_step;
    if (g.addend != nullptr) item.addend += i * c_step;
    Multiply(item, parallel);
  };
  if (is_large(g)) {
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

const GemmKernels<float> gemm_float32_table = {gemm<float>,
                                               in_pieces<float>,
                                               prepared_elements<float>,
                                               prepare<float>,
                                               batched<float, multiply<float>>,
                                               scratch<float>};
const GemmKernels<double> gemm_float64_table = {gemm<double>,
                                                in_pieces<double>,
                                                prepared_elements<double>,
                                                prepare<double>,
                                                batched<double, multiply<double>>,
                                                scratch<double>};
const GemmKernels<std::int32_t> gemm_int32_table = {
    integer_gemm<std::int32_t, std::uint32_t>,
    not_in_pieces<std::int32_t>,
    nothing_prepared<std::int32_t>,
    prepare_nothing<std::int32_t>,
    batched<std::int32_t, multiply_integers<std::int32_t, std::uint32_t>>,
    no_scratch<std::int32_t>};
const GemmKernels<std::int64_t> gemm_int64_table = {
    integer_gemm<std::int64_t, std::uint64_t>,
    not_in_pieces<std::int64_t>,
    nothing_prepared<std::int64_t>,
    prepare_nothing<std::int64_t>,
    batched<std::int64_t, multiply_integers<std::int64_t, std::uint64_t>>,
    no_scratch<std::int64_t>};

}  // namespace kcore::KCORE_ISA_NAMESPACE
