// The weight gradient of a convolution as an implicit matrix product: rows are elements of the
// kernel (tap, channel), depth is output pixels, columns are output channels.
//
// Images are cut into chunks, each summed into a partial gradient of its own, and the kernel's
// elements into bands; chunks x bands are the tasks. The partial gradients are added in order.
// Blocks of images are copied with their padding, and dy whose columns do not fill vectors into
// panels, by each task, or once before them all where bands would each do so again.
#include "kernels/convolution.h"
#include "kernels/narrow.h"
#include "kernels/winograd.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

constexpr std::int64_t kBlockPixels = 512;
constexpr std::int64_t kTasks = 32;
constexpr double kChunkFlops = 4e6;
constexpr std::int64_t kPartialBytes = 8 << 20;
constexpr std::int64_t kSharedBytes = 64 << 20;
constexpr std::int64_t kFewChunks = 8;  // bands make tasks of them
constexpr std::int64_t kBandTiles = 8;
constexpr std::int64_t kMinRun = 10;         // of rows: tiles go across shorter ones
constexpr std::int64_t kPackTiles = 4;       // that read a panel: fewer take it in place
constexpr std::int64_t kPanelChannels = 32;  // side by side; fewer are read where they lie

// What tiles read of a block: x, with its padding, and dy.
template <class T>
struct Operands {
  const T *x, *dy;
};

// The rows of a group's gradient are runs of neighbours in x (a tap's channels, or those of a row
// of taps where they lie side by side), and a run is cut into pieces, the rows of a tile. Of many
// channels every piece is a panel of its own in the copy of x: pixel after pixel, without what
// other pieces read.
template <class T>
struct Plan {
  Grid grid;
  Grid x_grid;    // the same in x as the tiles read it: without the pixels that no tap reads
  Blocks blocks;  // of x_grid
  std::int64_t group_rows, group_columns;  // of one group's gradient
  std::int64_t run, runs, piece, pieces;   // rows of a run, runs, rows of a piece, pieces of a run
  std::int64_t panels;                     // of columns, of a group
  std::int64_t chunks, bands, band_tiles;
  bool narrow;    // few columns: vectors run along the kernel's rows
  bool gather;    // few rows side by side: tiles go across runs
  bool panelled;  // x is copied into panels
  bool pack;      // blocks of dy are copied into panels
  std::int64_t panel_cols;
  std::int64_t block_pixels;
  std::int64_t x_panel, x_elements;  // elements of a panel, of a block's copy of x
  std::int64_t block_elements;       // of the copies of a block of x and of dy
  bool share;                        // the copies of all blocks lie in the workspace
  T* copies;
  Operands<T>* operands;  // that lie there
  T* partials;            // chunks - 1 gradients
  std::int64_t* a_rows;   // of the elements of one group of the kernel
  std::int64_t* c_rows;
  std::int64_t* a_steps;  // of a block's pixels

  std::int64_t row_tiles() const { return runs * pieces; }
};

// An axis in a copy of every gap-th source position: what a stride jumps over is left out if no
// tap reads it.
KCORE_INLINE std::int64_t source_gap(const Axis& axis) {
  return axis.taps == 1 || axis.tap_step % axis.step == 0 ? axis.step : 1;
}

KCORE_INLINE Axis without_gaps(Axis axis) {
  const std::int64_t gap = source_gap(axis);
  axis.step /= gap;
  axis.tap_step /= gap;
  return axis;
}

template <class T>
void cut_rows(const ConvolutionGeometry& g, Plan<T>& plan) {
  const std::int64_t channels = g.in_channels / g.groups;
  const bool joined =
      g.groups == 1 && g.dilation_cols == 1 && plan.blocks.pixel_pitch == g.in_channels;
  plan.narrow = joined && g.kernel_cols * channels >= kWidth<T> && 2 * g.out_channels <= kWidth<T>;
  if (plan.narrow) plan.panels = 1;
  plan.panelled = !plan.narrow && channels >= (joined ? kPanelChannels : kMinRun) &&
                  g.kernel_rows * g.kernel_cols * plan.panels >= kPackTiles;
  plan.run = joined && !plan.panelled ? g.kernel_cols * channels : channels;
  plan.gather = !plan.narrow && plan.run < kMinRun;
  if (plan.gather) plan.run = plan.group_rows;
  plan.runs = plan.group_rows / max(1, plan.run);
  plan.piece = plan.narrow ? kNarrowRun<T> : balanced(plan.run, kBlockRows);
  plan.pieces = ceil_div(plan.run, plan.piece);
}

template <class T>
void plan_panels(Plan<T>& plan) {
  plan.x_grid.rows = without_gaps(plan.grid.rows);
  plan.x_grid.cols = without_gaps(plan.grid.cols);
  plan.blocks = cut<T>(plan.x_grid, kBlockPixels, true);
  plan.blocks.pixel_pitch = plan.piece;
  plan.blocks.row_pitch = plan.blocks.copy_cols * plan.piece;
  plan.blocks.image_pitch = plan.blocks.copy_rows * plan.blocks.row_pitch;
  plan.x_panel = round_up(copy_elements_of(plan.blocks), kWidth<T>) + kWidth<T>;
}

template <class T>
Plan<T> make_plan(const ConvolutionGeometry& g, Workspace& workspace) {
  Plan<T> plan;
  plan.grid.rows =
      forward_axis(g.out_rows, g.stride_rows, g.in_rows, g.pad_top, g.kernel_rows, g.dilation_rows);
  plan.grid.cols = forward_axis(g.out_cols, g.stride_cols, g.in_cols, g.pad_left, g.kernel_cols,
                                g.dilation_cols);
  plan.grid.batch = g.batch;
  plan.grid.source_channels = g.in_channels;
  plan.x_grid = plan.grid;
  plan.blocks = cut<T>(plan.grid, kBlockPixels);
  plan.group_rows = g.kernel_rows * g.kernel_cols * (g.in_channels / g.groups);
  plan.group_columns = g.out_channels / g.groups;
  plan.panels = ceil_div(plan.group_columns, kBlockCols<T>);
  cut_rows(g, plan);
  if (plan.panelled) plan_panels(plan);
  plan.x_elements = plan.panelled ? g.groups * plan.pieces * plan.x_panel
                                  : round_up(copy_elements_of(plan.blocks), kWidth<T>);
  plan.pack = !plan.narrow && (plan.group_columns % kWidth<T> != 0 ||
                               (g.out_channels > kBlockCols<T> && plan.row_tiles() >= kPackTiles));
  plan.panel_cols = min(kBlockCols<T>, round_up(plan.group_columns, kWidth<T>));
  plan.block_pixels = plan.blocks.images * plan.blocks.rows * g.out_cols;
  plan.block_elements =
      plan.x_elements +
      (plan.pack ? g.groups * plan.panels * plan.panel_cols * plan.block_pixels : 0);

  const std::int64_t size = g.groups * plan.group_rows * plan.group_columns;
  const std::int64_t tiles = g.groups * plan.row_tiles() * plan.panels;
  const double flops = g.flops();
  const std::int64_t tasks =
      flops < kTasks * kChunkFlops ? static_cast<std::int64_t>(1 + flops / kChunkFlops) : kTasks;
  const std::int64_t affordable =
      1 + kPartialBytes / (size * static_cast<std::int64_t>(sizeof(T)) + 1);
  plan.chunks = max(1, min(min(tasks, affordable), plan.blocks.count));
  plan.bands = plan.chunks < kFewChunks ? max(1, min(tasks / plan.chunks, tiles / kBandTiles)) : 1;
  plan.band_tiles = ceil_div(tiles, plan.bands);
  plan.bands = max(1, ceil_div(tiles, max(1, plan.band_tiles)));

  plan.partials = workspace.take<T>((plan.chunks - 1) * size);
  plan.a_rows = workspace.take<std::int64_t>(plan.group_rows);
  plan.c_rows = workspace.take<std::int64_t>(plan.group_rows);
  plan.a_steps = workspace.take<std::int64_t>(plan.block_pixels);
  const std::int64_t elements = plan.blocks.count * plan.block_elements;
  plan.share = plan.bands > 1 && elements > 0 && elements <= kSharedBytes / std::int64_t{sizeof(T)};
  plan.copies = workspace.take<T>(plan.share ? elements : 0);
  plan.operands = workspace.take<Operands<T>>(plan.share ? plan.blocks.count : 0);
  return plan;
}

template <class T>
bool by_winograd(const ConvolutionGeometry& g) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return !g.exact && winograd_suits_weight_gradient(forward_product<T>(g));
  } else {
    return false;
  }
}

template <class T>
ConvolutionMemory memory(const ConvolutionGeometry& g) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (by_winograd<T>(g)) return winograd_weight_gradient_memory(forward_product<T>(g));
  }
  Workspace workspace{nullptr};
  const Plan<T> plan = make_plan<T>(g, workspace);
  return {workspace.bytes,
          plan.share ? 0 : plan.block_elements * static_cast<std::int64_t>(sizeof(T))};
}

template <class T>
void set_offsets(const ConvolutionGeometry& g, const Plan<T>& plan) {
  const std::int64_t channels = g.in_channels / g.groups;
  set_pixel_offsets(plan.x_grid, plan.blocks, plan.a_steps);
  set_tap_offsets(plan.x_grid, plan.blocks, channels, 1, plan.a_rows);
  for (std::int64_t row = 0; row < plan.group_rows; ++row) {
    plan.c_rows[row] = row * g.out_channels;
    if (plan.panelled) {
      const std::int64_t panel = row % channels / plan.piece;
      plan.a_rows[row] += panel * (plan.x_panel - plan.piece);
    }
  }
}

// A tile whose rows lie side by side in A: c[i * c_stride] (+)= sum over steps s of
// a[a_steps[s] + i] * b[s * b_stride].
template <class T>
struct RunTile {
  const T* a;
  const std::int64_t* a_steps;
  std::int64_t steps;
  const T* b;
  std::int64_t b_stride;
  T* c;
  std::int64_t c_stride;
  std::int64_t cols;  // valid columns: more than Vectors - 1 vectors of them
  bool add;
};

template <class T, int Rows, int Vectors>
void run_tile(const RunTile<T>& tile) {
  constexpr std::int64_t width = kWidth<T>;
  Vec<T> acc[Rows][Vectors] = {};
  const std::int64_t *a_steps = tile.a_steps, b_stride = tile.b_stride;
  const T *a = tile.a, *b = tile.b;
  multiply_accumulate<T>(
      tile.steps, [=](std::int64_t s, int i) { return a[a_steps[s] + i]; },
      [=](std::int64_t s, int j) { return load(b + s * b_stride + j * width); }, acc);
  const std::int64_t last = tile.cols - (Vectors - 1) * width;
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    T* c = tile.c + i * tile.c_stride;
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j, c += width) {
      const std::int64_t lanes = j < Vectors - 1 ? width : last;
      if (tile.add) acc[i][j] += load_partial(c, lanes);
      store_partial(c, acc[i][j], lanes);
    }
  }
}

template <class T>
using RunKernel = void (*)(const RunTile<T>&);

template <class T, int Rows = kBlockRows>
RunKernel<T> find_run_kernel(std::int64_t rows, std::int64_t cols) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return find_run_kernel<T, Rows - 1>(rows, cols);
  }
  return cols > kWidth<T> ? run_tile<T, Rows, 2> : run_tile<T, Rows, 1>;
}

// Tiles [first, last) of one block, written to (or added to) `out`.
template <class T>
void multiply_block(const ConvolutionGeometry& g, const Plan<T>& plan, const Block& block,
                    const Operands<T>& operands, bool add, std::int64_t first, std::int64_t last,
                    T* out) {
  const std::int64_t pixels = block.images * block.rows * g.out_cols;
  const std::int64_t group_step =
      plan.panelled ? plan.pieces * plan.x_panel : g.in_channels / g.groups;
  for (std::int64_t index = first; index < last; ++index) {
    // A panel of x goes through those of dy, what is read in place the other way round.
    const std::int64_t rest = index / plan.runs, group = rest / (plan.panels * plan.pieces);
    const std::int64_t piece = (plan.panelled ? rest / plan.panels : rest) % plan.pieces;
    const std::int64_t panel = (plan.panelled ? rest : rest / plan.pieces) % plan.panels;
    const std::int64_t row = index % plan.runs * plan.run + piece * plan.piece;
    const std::int64_t rows = min(plan.piece, plan.run - piece * plan.piece);
    const std::int64_t column = panel * kBlockCols<T>;
    const std::int64_t cols = min(kBlockCols<T>, plan.group_columns - column);
    const T* a = operands.x + group * group_step;
    const T* b = operands.dy + (plan.pack ? (group * plan.panels + panel) * plan.panel_cols * pixels
                                          : group * plan.group_columns + column);
    const std::int64_t b_stride = plan.pack ? plan.panel_cols : g.out_channels;
    T* c = out + group * plan.group_columns + column;
    if (plan.gather) {
      find_gather_kernel<T>(rows,
                            cols)({a, plan.a_rows + row, plan.a_steps, pixels, 1, b, b_stride, c,
                                   plan.c_rows + row, cols, add, nullptr, Activation::none});
    } else {
      find_run_kernel<T>(rows, cols)({a + plan.a_rows[row], plan.a_steps, pixels, b, b_stride,
                                      c + row * g.out_channels, g.out_channels, cols, add});
    }
  }
}

// The same for few columns.
template <class T>
void multiply_narrow_block(const ConvolutionGeometry& g, const Plan<T>& plan, const Block& block,
                           const Operands<T>& operands, bool add, std::int64_t first,
                           std::int64_t last, T* out) {
  const std::int64_t pixels = block.images * block.rows * g.out_cols;
  const NarrowWeights<T> multiply = find_narrow_weights<T>(g.out_channels);
  for (std::int64_t index = first; index < last; ++index) {
    const std::int64_t start = index / plan.runs * plan.piece;
    const std::int64_t row = index % plan.runs * plan.run + start;
    multiply(plan.a_steps, pixels, operands.x + plan.a_rows[row], min(plan.piece, plan.run - start),
             operands.dy, add, out + row * g.out_channels);
  }
}

// Copies `width` channels of pixels that lie `stride` apart to a panel; only `used` of them are
// there to read. The last vector of a pixel ends in the next one's place.
template <class T>
void pack_pixels(const T* from, std::int64_t stride, std::int64_t used, std::int64_t pixels,
                 std::int64_t width, T* to) {
  for (std::int64_t p = 0; p < pixels; ++p, from += stride, to += width) {
    __builtin_prefetch(from + pixels * stride);  // the next row
    std::int64_t i = 0;
    for (; i + kWidth<T> <= used; i += kWidth<T>) store(to + i, load(from + i));
    if (i < width) store(to + i, load_partial(from + i, used - i));
  }
}

// Copies what a block reads of x into panels.
template <class T>
void pack_x(const ConvolutionGeometry& g, const Plan<T>& plan, const Block& block, const T* x,
            T* to) {
  const Axis &rows = plan.grid.rows, &cols = plan.grid.cols;
  const std::int64_t row_gap = source_gap(rows), col_gap = source_gap(cols);
  const std::int64_t channels = g.in_channels / g.groups, pitch = plan.blocks.pixel_pitch;
  const std::int64_t copied = plan.blocks.copy_cols;
  const std::int64_t left = min(copied, cols.origin < 0 ? ceil_div(-cols.origin, col_gap) : 0);
  const std::int64_t first_col = cols.origin + left * col_gap;
  const std::int64_t used =
      first_col < cols.source ? min(copied - left, (cols.source - 1 - first_col) / col_gap + 1) : 0;
  const std::int64_t count = plan.x_grid.rows.reach(block.rows);
  for (std::int64_t index = 0; index < block.images * count; ++index) {
    const std::int64_t image = index / count, r = index % count;
    const std::int64_t row = rows.origin + block.row * rows.step + r * row_gap;
    const bool inside = row >= 0 && row < rows.source && used > 0;
    const T* from =
        x + (((block.image + image) * rows.source + row) * cols.source + first_col) * g.in_channels;
    T* row_to = to + image * plan.blocks.image_pitch + r * plan.blocks.row_pitch;
    for (std::int64_t panel = 0; panel < g.groups * plan.pieces; ++panel) {
      const std::int64_t group = panel / plan.pieces, channel = panel % plan.pieces * plan.piece;
      T* panel_to = row_to + panel * plan.x_panel;
      if (!inside) {
        clear(panel_to, plan.blocks.row_pitch);
        continue;
      }
      clear(panel_to, left * pitch);
      pack_pixels(from + group * channels + channel, col_gap * g.in_channels,
                  min(plan.piece, channels - channel), used, pitch, panel_to + left * pitch);
      clear(panel_to + (left + used) * pitch, (copied - left - used) * pitch);
    }
  }
}

// Copies a block of dy into panels.
template <class T>
void pack_dy(const ConvolutionGeometry& g, const Plan<T>& plan, const Block& block, const T* dy,
             T* to) {
  const std::int64_t lines = block.images * block.rows,
                     panel_size = plan.panel_cols * lines * g.out_cols;
  for (std::int64_t line = 0; line < lines; ++line) {
    for (std::int64_t panel = 0; panel < g.groups * plan.panels; ++panel) {
      const std::int64_t column = panel % plan.panels * kBlockCols<T>;
      pack_columns<T>(dy + line * g.out_cols * g.out_channels +
                          panel / plan.panels * plan.group_columns + column,
                      g.out_channels, min(plan.panel_cols, plan.group_columns - column),
                      plan.panel_cols, g.out_cols,
                      to + panel * panel_size + line * g.out_cols * plan.panel_cols);
    }
  }
}

// Makes the copies of a block that the plan asks for.
template <class T>
Operands<T> block_operands(const ConvolutionGeometry& g, const Plan<T>& plan, const Block& block,
                           const T* x, const T* dy, T* copy) {
  dy += (block.image * g.out_rows + block.row) * g.out_cols * g.out_channels;
  Operands<T> operands{copy, dy};
  if (plan.panelled) {
    pack_x(g, plan, block, x, copy);
  } else {
    operands.x = block_source(plan.grid, plan.blocks, block, x, copy);
  }
  if (plan.pack) {
    pack_dy(g, plan, block, dy, copy + plan.x_elements);
    operands.dy = copy + plan.x_elements;
  }
  return operands;
}

template <class T>
void weight_gradient(const ConvolutionGeometry& g, const T* x, const T* dy, T* dkernel,
                     void* memory) {
  const std::int64_t size =
      g.kernel_rows * g.kernel_cols * (g.in_channels / g.groups) * g.out_channels;
  if (size == 0) return;
  if (g.batch == 0) return clear(dkernel, size);
  if constexpr (sizeof(T) == sizeof(float)) {
    if (by_winograd<T>(g)) {
      return winograd_weight_gradient(forward_product<T>(g), x, dy, dkernel, memory);
    }
  }
  Workspace workspace{static_cast<std::byte*>(memory)};
  const Plan<T> plan = make_plan<T>(g, workspace);
  const Blocks& blocks = plan.blocks;
  set_offsets(g, plan);
  const std::int64_t tiles = g.groups * plan.row_tiles() * plan.panels;
  const std::int64_t tasks = plan.chunks * plan.bands;
  const bool parallel = g.flops() >= kParallelFlops;
  for_tasks(parallel, plan.share ? blocks.count : 0, [&](std::int64_t index) {
    plan.operands[index] = block_operands(g, plan, block_at(plan.grid, blocks, index), x, dy,
                                          plan.copies + index * plan.block_elements);
  });
  for_tasks(parallel, tasks, [&](std::int64_t task) {
    const std::int64_t chunk = task / plan.bands, band = task % plan.bands;
    T* out = chunk == 0 ? dkernel : plan.partials + (chunk - 1) * size;
    T* copy = nullptr;
    if (!plan.share && plan.block_elements > 0) {
      copy = reinterpret_cast<T*>(thread_scratch(
          Scratch::convolution, static_cast<std::size_t>(plan.block_elements) * sizeof(T)));
    }
    const std::int64_t first = chunk * blocks.count / plan.chunks;
    for (std::int64_t index = first; index < (chunk + 1) * blocks.count / plan.chunks; ++index) {
      const Block block = block_at(plan.grid, blocks, index);
      const Operands<T> operands =
          plan.share ? plan.operands[index] : block_operands(g, plan, block, x, dy, copy);
      (plan.narrow ? multiply_narrow_block<T>
                   : multiply_block<T>)(g, plan, block, operands, index > first,
                                        band * plan.band_tiles,
                                        min(tiles, (band + 1) * plan.band_tiles), out);
    }
  });

  if (plan.chunks == 1) return;
  constexpr std::int64_t grain = 2048;
  for_tasks(size * plan.chunks > 4 * grain, ceil_div(size, grain), [&](std::int64_t task) {
    for (std::int64_t chunk = 0; chunk < plan.chunks - 1; ++chunk) {
      const T* partial = plan.partials + chunk * size;
      for (std::int64_t i = task * grain; i < min(size, (task + 1) * grain); ++i) {
        dkernel[i] += partial[i];
      }
    }
  });
}

}  // namespace

const WeightGradientKernels<float> convolution_weights_float32_table = {weight_gradient<float>,
                                                                        memory<float>};
const WeightGradientKernels<double> convolution_weights_float64_table = {weight_gradient<double>,
                                                                         memory<double>};

}  // namespace kcore::KCORE_ISA_NAMESPACE
