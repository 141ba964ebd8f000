// Convolution and its data gradient as implicit matrix products: rows are output pixels, depth is
// (tap, channel), columns are output channels. The micro-kernel reads image rows where they lie
// (a pixel's taps of one kernel row are contiguous in NHWC), so no patch is ever copied; a block
// that reaches over the border is copied once with its padding.
#include "kernels/convolution.h"

#include "kernels/gemm.h"
#include "kernels/narrow.h"
#include "kernels/product.h"
#include "kernels/winograd.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

constexpr std::int64_t kBlockPixels = 448;
constexpr std::int64_t kMinBlockPixels = 56;
constexpr std::int64_t kTasks = 32;
constexpr std::int64_t kFewPixels = 256;
constexpr std::int64_t kCachedBytes = 512 << 10;

// How a product is cut, and its part of the workspace.
template <class T>
struct Plan {
  Blocks blocks;
  bool narrow;                      // few columns: vectors run along depth
  std::int64_t run;                 // of depth that a step goes: 1 unless narrow
  std::int64_t steps, row_steps;    // of depth, of a row of taps
  std::int64_t depth_steps;         // of a block of depth
  std::int64_t panel_cols, panels;  // of a panel; panels of a group
  std::int64_t tile_rows;
  std::int64_t b_stride, step_size, panel_size;  // elements
  T* packed;                                     // panels of the kernel, group by group
  std::int64_t* a_rows;                          // of a block's pixels
  std::int64_t* c_rows;
  std::int64_t* a_steps;  // of depth
};

// The operands of a block.
template <class T>
struct Call {
  const T* source;
  const T* packed;  // panels of the kernel
  const Epilogue<T>& epilogue;
  T* out;
};

template <class T>
std::int64_t packed_elements(const Product<T>& product, const Plan<T>& plan) {
  return product.groups * plan.panels * plan.panel_size;
}

template <class T>
Plan<T> make_plan(const Product<T>& product, Workspace& workspace) {
  Plan<T> plan;
  const Grid& grid = product.grid;
  const std::int64_t pixels = grid.batch * grid.rows.out * grid.cols.out;
  plan.blocks = cut<T>(grid, max(kMinBlockPixels, min(kBlockPixels, ceil_div(pixels, kTasks))));
  // Taps of a row side by side lie together if they are of one group.
  const bool joined = grid.cols.tap_step * plan.blocks.pixel_pitch == product.depth_channels;
  const std::int64_t run = (joined ? grid.cols.taps : 1) * product.depth_channels;
  plan.narrow = is_narrow(product, run);
  plan.run = plan.narrow ? run : 1;
  plan.steps = product.depth() / max(1, plan.run);
  plan.row_steps = plan.steps / max(1, grid.rows.taps);
  plan.depth_steps = plan.narrow ? max(1, plan.steps) : balanced(plan.steps, kBlockDepth<T>);
  plan.tile_rows = plan.narrow ? kNarrowRows : kBlockRows;
  plan.panel_cols = plan.narrow ? kNarrowCols : kBlockCols<T>;
  plan.panels = ceil_div(product.group_columns, plan.panel_cols);
  plan.step_size = plan.narrow ? round_up(run, kWidth<T>) : kBlockCols<T>;
  plan.b_stride = plan.narrow ? plan.steps * plan.step_size : kBlockCols<T>;
  plan.panel_size = plan.steps * plan.step_size * (plan.narrow ? plan.panel_cols : 1);
  plan.packed = workspace.take<T>(packed_elements(product, plan));
  const std::int64_t block_pixels = plan.blocks.images * plan.blocks.rows * grid.cols.out;
  plan.a_rows = workspace.take<std::int64_t>(block_pixels);
  plan.c_rows = workspace.take<std::int64_t>(block_pixels);
  plan.a_steps = workspace.take<std::int64_t>(plan.steps);
  return plan;
}

template <class T>
ConvolutionMemory memory(const Product<T>& product) {
  Workspace workspace{nullptr};
  const Plan<T> plan = make_plan(product, workspace);
  return {workspace.bytes, copy_elements_of(plan.blocks) * static_cast<std::int64_t>(sizeof(T))};
}

// Where a block reads and writes, from its first pixel.
template <class T>
void set_offsets(const Product<T>& product, const Plan<T>& plan) {
  const Grid& grid = product.grid;
  set_pixel_offsets(grid, plan.blocks, plan.a_rows);
  set_tap_offsets(grid, plan.blocks, product.depth_channels, plan.run, plan.a_steps);
  std::int64_t* c_row = plan.c_rows;
  for (std::int64_t image = 0; image < plan.blocks.images; ++image) {
    for (std::int64_t i = 0; i < plan.blocks.rows; ++i) {
      for (std::int64_t j = 0; j < grid.cols.out; ++j) {
        *c_row++ = ((image * product.out_rows + i * grid.rows.out_step) * product.out_cols +
                    j * grid.cols.out_step) *
                   product.out_channels();
      }
    }
  }
}

template <class T>
GatherKernel<T> find_kernel(const Plan<T>& plan, std::int64_t rows, std::int64_t cols) {
  return plan.narrow ? find_narrow_kernel<T>(rows, cols) : find_gather_kernel<T>(rows, cols);
}

// The rows of taps that some pixel of [first, last] of a block reads inside of the source.
KCORE_INLINE Range used_tap_rows(const Grid& grid, const Block& block, std::int64_t first,
                                 std::int64_t last) {
  const std::int64_t top = first / grid.cols.out, bottom = last / grid.cols.out;
  if (top / block.rows != bottom / block.rows) return {0, grid.rows.taps};
  return {valid_taps(grid.rows, block.row + bottom % block.rows).first,
          valid_taps(grid.rows, block.row + top % block.rows).last};
}

// What the tiles of a panel share, for steps [steps.first, steps.last) of depth.
template <class T>
GatherTile<T> panel_tile(const Product<T>& product, const Plan<T>& plan, const Call<T>& call,
                         std::int64_t panel, Range steps) {
  const bool finish = steps.last == plan.steps;
  const std::int64_t group = panel / plan.panels;
  const std::int64_t column = panel % plan.panels * plan.panel_cols;
  const std::int64_t out_column = group * product.group_columns + column;
  GatherTile<T> tile;
  tile.a = call.source + group * product.depth_channels;
  tile.run = plan.run;
  tile.b = call.packed + (plan.narrow ? out_column * plan.b_stride : panel * plan.panel_size);
  tile.b_stride = plan.b_stride;
  tile.c = call.out + out_column;
  tile.cols = min(plan.panel_cols, product.group_columns - column);
  tile.add = steps.first > 0;
  tile.bias = finish && call.epilogue.bias != nullptr ? call.epilogue.bias + out_column : nullptr;
  tile.activation = finish ? call.epilogue.activation : Activation::none;
  return tile;
}

// A panel of one vector of columns goes row by row of the block.
template <class T>
void slide_panel(const Product<T>& product, const Plan<T>& plan, const Block& block,
                 const SlideKernel<T>& kernel, const GatherTile<T>& panel) {
  const Grid& grid = product.grid;
  const std::int64_t tap_elements = grid.cols.taps * product.depth_channels * plan.step_size;
  Neighbours from;
  from.row_step = grid.rows.tap_step * plan.blocks.row_pitch;
  from.pixel_step = plan.blocks.pixel_pitch;
  from.channels = product.depth_channels;
  for (std::int64_t line = 0; line < block.images * block.rows; ++line) {
    const Range taps = valid_taps(grid.rows, block.row + line % block.rows);
    from.tap_rows = taps.last - taps.first;
    for (std::int64_t j = 0; j < grid.cols.out; j += kernel.rows) {
      // The last ones begin with some that are done already.
      const std::int64_t pixel = line * grid.cols.out + min(j, grid.cols.out - kernel.rows);
      GatherTile<T> tile = panel;
      tile.a += plan.a_rows[pixel] + taps.first * from.row_step;
      tile.b += taps.first * tap_elements;
      tile.c_rows = plan.c_rows + pixel;
      kernel.run(tile, from);
    }
  }
}

// Panels [first, last) of one block. Where the second-level cache holds them and depth is short, a
// tile of pixels goes through all of them and writes its outputs whole. Otherwise a panel goes
// through all pixels, a block of depth at a time that the first-level cache holds.
template <class T>
void run_block(const Product<T>& product, const Plan<T>& plan, const Block& block,
               const Call<T>& call, std::int64_t first, std::int64_t last) {
  const Grid& grid = product.grid;
  const std::int64_t pixels = block.images * block.rows * grid.cols.out;
  const std::int64_t rows = balanced(pixels, plan.tile_rows);
  const bool skip = grid.rows.padded() && plan.row_steps * plan.run >= 16;
  const bool whole = plan.depth_steps >= plan.steps &&
                     (last - first) * plan.panel_size <= kCachedBytes / std::int64_t{sizeof(T)};
  // Whether tiles read one after the other what lies in one piece: too short for the processor to
  // ask for the next ones in time.
  const bool streams = whole && !plan.narrow && plan.blocks.copy_rows == 0 && product.groups == 1 &&
                       product.taps() == 1 && grid.rows.step == 1 && grid.cols.step == 1;
  const SlideKernel<T> slide = find_slide_kernel<T>(grid.cols);
  const bool slides = slide.run != nullptr && !plan.narrow;
  if (slides) {
    // The last panel of a group alone can be that narrow.
    for (std::int64_t panel = first; panel < last; ++panel) {
      const GatherTile<T> tile = panel_tile(product, plan, call, panel, {0, plan.steps});
      if (tile.cols <= kWidth<T>) slide_panel(product, plan, block, slide, tile);
    }
  }
  for (std::int64_t step = 0; step == 0 || step < plan.steps; step += plan.depth_steps) {
    const Range steps{step, min(plan.steps, step + plan.depth_steps)};
    const auto run_tile = [&](const GatherTile<T>& panel, std::int64_t pixel) {
      if (slides && panel.cols <= kWidth<T>) return;
      const std::int64_t used = min(rows, pixels - pixel);
      GatherTile<T> tile = panel;
      Range own = steps;
      if (skip) {  // rows of taps that read nothing but padding
        const Range taps = used_tap_rows(grid, block, pixel, pixel + used - 1);
        own.first = max(own.first, taps.first * plan.row_steps);
        own.last = min(own.last, taps.last * plan.row_steps);
      }
      tile.a_rows = plan.a_rows + pixel;
      tile.c_rows = plan.c_rows + pixel;
      tile.a_steps = plan.a_steps + own.first;
      tile.steps = max(0, own.last - own.first);
      tile.b += own.first * plan.step_size;
      if (streams && used == kBlockRows && tile.cols > kWidth<T>) {
        tile.next = tile.a + tile.a_rows[used - 1] + plan.blocks.pixel_pitch;
        return gather_tile<T, kBlockRows, 2, true>(tile);
      }
      find_kernel(plan, used, tile.cols)(tile);
    };
    if (whole) {
      for (std::int64_t pixel = 0; pixel < pixels; pixel += rows) {
        for (std::int64_t panel = first; panel < last; ++panel) {
          run_tile(panel_tile(product, plan, call, panel, steps), pixel);
        }
      }
      continue;
    }
    for (std::int64_t panel = first; panel < last; ++panel) {
      const GatherTile<T> tile = panel_tile(product, plan, call, panel, steps);
      for (std::int64_t pixel = 0; pixel < pixels; pixel += rows) run_tile(tile, pixel);
    }
  }
}

template <class T>
void pack(const Product<T>& product, const Plan<T>& plan, const T* kernel, T* packed) {
  plan.narrow ? pack_narrow(product, plan.run, kernel, packed)
              : pack_kernel(product, kernel, packed);
}

template <class T>
void run(const Product<T>& product, const T* source, const T* kernel, const T* packed,
         const Epilogue<T>& epilogue, T* out, void* memory) {
  const Grid& grid = product.grid;
  if (grid.batch * grid.rows.out * grid.cols.out * product.out_channels() == 0) return;
  Workspace workspace{static_cast<std::byte*>(memory)};
  const Plan<T> plan = make_plan(product, workspace);
  const Blocks& blocks = plan.blocks;
  if (packed == nullptr) {
    pack(product, plan, kernel, plan.packed);
    packed = plan.packed;
  }
  set_offsets(product, plan);

  const std::int64_t panels = product.groups * plan.panels;
  const std::int64_t cuts = min(panels, max(1, ceil_div(kTasks / 2, blocks.count)));
  const std::int64_t cut_panels = ceil_div(panels, cuts);
  const std::int64_t tasks = blocks.count * ceil_div(panels, cut_panels);
  const auto group_tasks = static_cast<std::int64_t>(1 + kTaskFlops * static_cast<double>(tasks) /
                                                             (product.flops() + 1));
  for_tasks(product.flops() >= kParallelFlops, ceil_div(tasks, group_tasks),
            [&](std::int64_t group_task) {
              T* copy = blocks.copy_rows == 0
                            ? nullptr
                            : reinterpret_cast<T*>(thread_scratch(
                                  Scratch::convolution,
                                  static_cast<std::size_t>(copy_elements_of(blocks)) * sizeof(T)));
              for (std::int64_t task = group_task * group_tasks;
                   task < min(tasks, (group_task + 1) * group_tasks); ++task) {
                const Block block = block_at(grid, blocks, task % blocks.count);
                const T* block_start = block_source(grid, blocks, block, source, copy);
                T* block_out = out + ((block.image * product.out_rows + grid.rows.out_first +
                                       block.row * grid.rows.out_step) *
                                          product.out_cols +
                                      grid.cols.out_first) *
                                         product.out_channels();
                const std::int64_t first = task / blocks.count * cut_panels;
                run_block(product, plan, block, {block_start, packed, epilogue, block_out}, first,
                          min(panels, first + cut_panels));
              }
            });
}

// Whether every output reads the one source pixel in its own place: a plain matrix product. Of many
// pixels it is faster to pack the kernel alone.
template <class T>
bool is_pointwise(const Product<T>& product) {
  const auto same = [](const Axis& axis) {
    return axis.taps == 1 && axis.step == 1 && axis.out_step == 1 && axis.origin == 0 &&
           axis.out == axis.source;
  };
  const Grid& grid = product.grid;
  return product.groups == 1 && same(grid.rows) && same(grid.cols) &&
         2 * product.group_columns > kWidth<T> &&
         grid.batch * grid.rows.out * grid.cols.out <= kFewPixels;
}

template <class T>
Gemm<T> pointwise_gemm(const Product<T>& product) {
  Gemm<T> gemm;
  gemm.m = product.grid.batch * product.grid.rows.out * product.grid.cols.out;
  gemm.n = gemm.c_stride = product.group_columns;
  gemm.k = gemm.a_stride = product.depth_channels;
  gemm.b_stride = product.kernel_outputs;
  gemm.transpose_b = product.transposed;
  return gemm;
}

template <class T>
void run_pointwise(const Product<T>& product, const T* source, const T* kernel,
                   const Epilogue<T>& epilogue, T* out) {
  Gemm<T> gemm = pointwise_gemm(product);
  gemm.a = source;
  gemm.b = kernel;
  gemm.c = out;
  gemm.bias = epilogue.bias;
  gemm.activation = epilogue.activation;
  gemm_kernels<T>().gemm(gemm);
}

// The way for a product's shape: the same every run, and from the kernel as from its prepared form.
// Whether it heeded the gate.
template <class T>
bool compute(const Product<T>& product, bool exact, const T* source, const T* kernel,
             const T* prepared, const Epilogue<T>& epilogue, T* out, void* workspace) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (!exact && winograd_suits(product)) {
      if (prepared != nullptr) {
        winograd_transformed(product, source, prepared, epilogue, out, workspace);
      } else {
        winograd(product, source, kernel, epilogue, out, workspace);
      }
      return true;
    }
  }
  if (is_pointwise(product)) {
    run_pointwise(product, source, kernel, epilogue, out);
  } else {
    run(product, source, kernel, prepared, epilogue, out, workspace);
  }
  return false;
}

template <class T>
void apply_gate(const T* gate, std::int64_t size, T* x) {
  constexpr std::int64_t grain = 16384;
  for_tasks(size > kParallelElements, ceil_div(size, grain), [&](std::int64_t task) {
    const std::int64_t end = min(size, (task + 1) * grain);
    for (std::int64_t i = task * grain; i < end; i += kWidth<T>) {
      const std::int64_t lanes = min(kWidth<T>, end - i);
      const Vec<T> open = load_partial(gate + i, lanes), value = load_partial(x + i, lanes);
      store_partial<T>(x + i, open > Vec<T>{} ? value : Vec<T>{}, lanes);
    }
  });
}

template <class T>
ConvolutionMemory needed_memory(const Product<T>& product, bool exact) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (!exact && winograd_suits(product)) return winograd_memory(product);
  }
  if (!is_pointwise(product)) return memory(product);
  return {0, 0, gemm_kernels<T>().scratch(pointwise_gemm(product), 1)};
}

template <class T>
void forward(const ConvolutionGeometry& g, const T* x, const T* kernel, const T* prepared,
             const Epilogue<T>& epilogue, T* y, void* workspace) {
  compute(forward_product<T>(g), g.exact, x, kernel, prepared, epilogue, y, workspace);
}

template <class T>
std::int64_t prepared_elements(const ConvolutionGeometry& g) {
  const Product<T> product = forward_product<T>(g);
  if constexpr (sizeof(T) == sizeof(float)) {
    if (!g.exact && winograd_suits(product)) return winograd_kernel_elements(product);
  }
  if (is_pointwise(product)) return 0;
  Workspace workspace{nullptr};
  return packed_elements(product, make_plan(product, workspace));
}

template <class T>
void prepare(const ConvolutionGeometry& g, const T* kernel, T* prepared) {
  const Product<T> product = forward_product<T>(g);
  if constexpr (sizeof(T) == sizeof(float)) {
    if (!g.exact && winograd_suits(product)) {
      return winograd_transform_kernel(product, kernel, prepared);
    }
  }
  Workspace workspace{nullptr};
  pack(product, make_plan(product, workspace), kernel, prepared);
}

template <class T>
ConvolutionMemory forward_memory(const ConvolutionGeometry& g) {
  return needed_memory(forward_product<T>(g), g.exact);
}

template <class T>
bool pools(const ConvolutionGeometry& g) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return !g.exact && winograd_suits(forward_product<T>(g));
  }
  return false;
}

template <class T, class F>
void for_phases(const ConvolutionGeometry& g, const F& f) {
  for (std::int64_t row = 0; row < min(g.stride_rows, g.in_rows); ++row) {
    for (std::int64_t col = 0; col < min(g.stride_cols, g.in_cols); ++col) {
      f(phase_product<T>(g, row, col));
    }
  }
}

template <class T>
void data_gradient(const ConvolutionGeometry& g, const T* dy, const T* kernel,
                   const Epilogue<T>& epilogue, T* dx, void* workspace) {
  bool gated = true;
  for_phases<T>(g, [&](const Product<T>& product) {
    gated = compute<T>(product, g.exact, dy, kernel, nullptr, epilogue, dx, workspace) && gated;
  });
  if (epilogue.gate != nullptr && !gated) {
    apply_gate(epilogue.gate, g.batch * g.in_rows * g.in_cols * g.in_channels, dx);
  }
}

template <class T>
ConvolutionMemory data_gradient_memory(const ConvolutionGeometry& g) {
  ConvolutionMemory most;
  for_phases<T>(g, [&](const Product<T>& product) {
    const ConvolutionMemory own = needed_memory(product, g.exact);
    most.shared = max(most.shared, own.shared);
    most.thread = max(most.thread, own.thread);
    most.product.cover(own.product);
  });
  return most;
}

}  // namespace

const ConvolutionKernels<float> convolution_float32_table = {forward<float>,
                                                             forward_memory<float>,
                                                             pools<float>,
                                                             prepared_elements<float>,
                                                             prepare<float>,
                                                             data_gradient<float>,
                                                             data_gradient_memory<float>};
const ConvolutionKernels<double> convolution_float64_table = {forward<double>,
                                                              forward_memory<double>,
                                                              pools<double>,
                                                              prepared_elements<double>,
                                                              prepare<double>,
                                                              data_gradient<double>,
                                                              data_gradient_memory<double>};

}  // namespace kcore::KCORE_ISA_NAMESPACE
