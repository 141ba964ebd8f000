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
constexpr std::int64_t kBandTiles = 8;

// What tiles read of a block: x, with its padding, and dy.
template <class T>
struct Operands {
  const T *x, *dy;
};

template <class T>
struct Plan {
  Grid grid;
  Blocks blocks;
  std::int64_t group_rows, group_columns, row_tiles, panels;  // of one group's gradient
  std::int64_t chunks, chunk_blocks, bands, band_tiles;
  bool narrow;                  // few columns: vectors run along the kernel's rows
  std::int64_t run, run_tiles;  // a row's taps together, where they lie side by side in x
  bool pack;                    // blocks of dy are copied into panels
  std::int64_t panel_cols;
  std::int64_t block_pixels;
  std::int64_t block_elements;  // of the copies of a block of x and of dy
  bool share;                   // the copies of all blocks lie in the workspace
  T* copies;
  Operands<T>* operands;  // that lie there
  T* partials;            // chunks - 1 gradients
  std::int64_t* a_rows;   // of the elements of one group of the kernel
  std::int64_t* c_rows;
  std::int64_t* a_steps;  // of a block's pixels
};

template <class T>
Plan<T> make_plan(const ConvolutionGeometry& g, Workspace& workspace) {
  Plan<T> plan;
  plan.grid.rows =
      forward_axis(g.out_rows, g.stride_rows, g.in_rows, g.pad_top, g.kernel_rows, g.dilation_rows);
  plan.grid.cols = forward_axis(g.out_cols, g.stride_cols, g.in_cols, g.pad_left, g.kernel_cols,
                                g.dilation_cols);
  plan.grid.batch = g.batch;
  plan.grid.source_channels = g.in_channels;
  plan.blocks = cut<T>(plan.grid, kBlockPixels);
  plan.group_rows = g.kernel_rows * g.kernel_cols * (g.in_channels / g.groups);
  plan.group_columns = g.out_channels / g.groups;
  plan.row_tiles = ceil_div(plan.group_rows, balanced(plan.group_rows, kBlockRows));
  plan.panels = ceil_div(plan.group_columns, kBlockCols<T>);
  plan.run = g.kernel_cols * g.in_channels;
  plan.narrow = g.groups == 1 && g.dilation_cols == 1 && plan.run >= kWidth<T> &&
                plan.blocks.pixel_pitch == g.in_channels && 2 * g.out_channels <= kWidth<T>;
  if (plan.narrow) {
    plan.run_tiles = ceil_div(plan.run, kNarrowRun<T>);
    plan.row_tiles = g.kernel_rows * plan.run_tiles;
  }
  plan.pack = !plan.narrow && plan.group_columns % kWidth<T> != 0;
  plan.panel_cols = min(kBlockCols<T>, round_up(plan.group_columns, kWidth<T>));
  plan.block_pixels = plan.blocks.images * plan.blocks.rows * g.out_cols;
  plan.block_elements =
      round_up(copy_elements_of(plan.blocks), kWidth<T>) +
      (plan.pack ? g.groups * plan.panels * plan.panel_cols * plan.block_pixels : 0);

  const std::int64_t size = g.groups * plan.group_rows * plan.group_columns;
  const std::int64_t tiles = g.groups * plan.row_tiles * plan.panels;
  const double flops = g.flops();
  const std::int64_t tasks =
      flops < kTasks * kChunkFlops ? static_cast<std::int64_t>(1 + flops / kChunkFlops) : kTasks;
  const std::int64_t affordable =
      1 + kPartialBytes / (size * static_cast<std::int64_t>(sizeof(T)) + 1);
  plan.chunks = max(1, min(min(tasks, affordable), plan.blocks.count));
  plan.chunk_blocks = ceil_div(plan.blocks.count, plan.chunks);
  if (plan.blocks.count > 0) plan.chunks = ceil_div(plan.blocks.count, plan.chunk_blocks);
  plan.bands = max(1, min(ceil_div(tasks, plan.chunks), tiles / kBandTiles));
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
  set_pixel_offsets(plan.grid, plan.blocks, plan.a_steps);
  set_tap_offsets(plan.grid, plan.blocks, g.in_channels / g.groups, 1, plan.a_rows);
  for (std::int64_t row = 0; row < plan.group_rows; ++row) {
    plan.c_rows[row] = row * g.out_channels;
  }
}

// Tiles [first, last) of one block, written to (or added to) `out`.
template <class T>
void multiply_block(const ConvolutionGeometry& g, const Plan<T>& plan, const Block& block,
                    const T* x, const T* dy, bool add, std::int64_t first, std::int64_t last,
                    T* out) {
  const std::int64_t rows = balanced(plan.group_rows, kBlockRows);
  const std::int64_t pixels = block.images * block.rows * g.out_cols;
  GatherTile<T> tile;
  tile.a_steps = plan.a_steps;
  tile.steps = pixels;
  tile.run = 1;
  tile.b_stride = plan.pack ? plan.panel_cols : g.out_channels;
  tile.add = add;
  tile.bias = nullptr;
  tile.activation = Activation::none;
  for (std::int64_t index = first; index < last; ++index) {
    const std::int64_t row = index % plan.row_tiles * rows;
    const std::int64_t panel = index / plan.row_tiles;  // of those of all groups
    const std::int64_t group = panel / plan.panels;
    const std::int64_t column = panel % plan.panels * kBlockCols<T>;
    const std::int64_t out_column = group * plan.group_columns + column;
    tile.a = x + group * (g.in_channels / g.groups);
    tile.a_rows = plan.a_rows + row;
    tile.b = dy + (plan.pack ? panel * plan.panel_cols * pixels : out_column);
    tile.c = out + out_column;
    tile.c_rows = plan.c_rows + row;
    tile.cols = min(kBlockCols<T>, plan.group_columns - column);
    find_gather_kernel<T>(min(rows, plan.group_rows - row), tile.cols)(tile);
  }
}

// The same for few columns.
template <class T>
void multiply_narrow_block(const ConvolutionGeometry& g, const Plan<T>& plan, const Block& block,
                           const T* x, const T* dy, bool add, std::int64_t first, std::int64_t last,
                           T* out) {
  const std::int64_t pixels = block.images * block.rows * g.out_cols;
  const NarrowWeights<T> multiply = find_narrow_weights<T>(g.out_channels);
  for (std::int64_t index = first; index < last; ++index) {
    const std::int64_t row = index / plan.run_tiles, start = index % plan.run_tiles * kNarrowRun<T>;
    multiply(plan.a_steps, pixels, x + row * g.dilation_rows * plan.blocks.row_pitch + start,
             min(kNarrowRun<T>, plan.run - start), dy, add,
             out + (row * plan.run + start) * g.out_channels);
  }
}

// Makes the copies of a block that the plan asks for.
template <class T>
Operands<T> block_operands(const ConvolutionGeometry& g, const Plan<T>& plan, const Block& block,
                           const T* x, const T* dy, T* copy) {
  dy += (block.image * g.out_rows + block.row) * g.out_cols * g.out_channels;
  const T* block_x = block_source(plan.grid, plan.blocks, block, x, copy);
  if (!plan.pack) return {block_x, dy};
  T* packed = copy + round_up(copy_elements_of(plan.blocks), kWidth<T>);
  const std::int64_t pixels = block.images * block.rows * g.out_cols;
  for (std::int64_t panel = 0; panel < g.groups * plan.panels; ++panel) {
    const std::int64_t column = panel % plan.panels * kBlockCols<T>;
    pack_columns<T>(dy + panel / plan.panels * plan.group_columns + column, g.out_channels,
                    min(plan.panel_cols, plan.group_columns - column), plan.panel_cols, pixels,
                    packed + panel * plan.panel_cols * pixels);
  }
  return {block_x, packed};
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
  const std::int64_t tiles = g.groups * plan.row_tiles * plan.panels;
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
    const std::int64_t first = chunk * plan.chunk_blocks;
    for (std::int64_t index = first; index < min(blocks.count, first + plan.chunk_blocks);
         ++index) {
      const Block block = block_at(plan.grid, blocks, index);
      const Operands<T> operands =
          plan.share ? plan.operands[index] : block_operands(g, plan, block, x, dy, copy);
      (plan.narrow ? multiply_narrow_block<T>
                   : multiply_block<T>)(g, plan, block, operands.x, operands.dy, index > first,
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
