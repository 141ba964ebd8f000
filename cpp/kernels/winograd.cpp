// F(4x4, 3x3): a tile of 4 x 4 outputs from 6 x 6 inputs with 36 products a channel instead of 144
// (Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", 2015; points 0, 1, -1, 2, -2
// and infinity). Y = A' [(G g G') * (B' d B)] A, where * multiplies elements and sums channels:
// 36 matrix products of (tiles x channels) by (channels x filters).
//
// A task transforms a block of tiles, multiplies and transforms back one panel of filters after
// another, all within the second-level cache.
//
// The weight gradient is the transpose of the same: dg = G' [(B' d B) * (A dY A')] G, where *
// sums tiles. Its 36 products have tiles for depth; a group of tiles is transformed to memory of
// the size of the third-level cache, then every product of the group is added to its sums.
#include "kernels/winograd.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

using V = Vec<float>;

constexpr int kTile = 6;  // inputs of a tile along an axis
constexpr int kOut = 4;   // outputs
constexpr int kPoints = kTile * kTile;
constexpr std::int64_t kCols = kBlockCols<float>;
constexpr std::int64_t kWide = kWidth<float>;
constexpr std::int64_t kSourceBytes = 540 << 10;  // of a block's transformed inputs
constexpr std::int64_t kMaxBlockTiles = 56;
constexpr std::int64_t kTasks = 32;

// B' d.
KCORE_INLINE void transform_input(const V (&d)[kTile], V (&t)[kTile]) {
  const V a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
  const V c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
  t[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
  t[1] = a + b;
  t[2] = a - b;
  t[3] = c + e;
  t[4] = c - e;
  t[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

// A' m.
KCORE_INLINE void transform_output(const V (&m)[kTile], V (&y)[kOut]) {
  const V s = m[1] + m[2], d = m[1] - m[2], p = m[3] + m[4], q = m[3] - m[4];
  y[0] = m[0] + s + p;
  y[1] = d + 2.0f * q;
  y[2] = s + 4.0f * p;
  y[3] = d + 8.0f * q + m[5];
}

// G g.
KCORE_INLINE void transform_kernel(const V (&g)[3], V (&u)[kTile]) {
  const V even = g[0] + g[2], far = (1.0f / 24) * g[0] + (1.0f / 6) * g[2];
  u[0] = 0.25f * g[0];
  u[1] = (-1.0f / 6) * (even + g[1]);
  u[2] = (-1.0f / 6) * (even - g[1]);
  u[3] = far + (1.0f / 12) * g[1];
  u[4] = far - (1.0f / 12) * g[1];
  u[5] = g[2];
}

// A y.
KCORE_INLINE void transform_gradient(const V (&y)[kOut], V (&t)[kTile]) {
  const V a = y[0] + y[2], b = y[1] + y[3], c = y[0] + 4.0f * y[2], d = 2.0f * y[1] + 8.0f * y[3];
  t[0] = y[0];
  t[1] = a + b;
  t[2] = a - b;
  t[3] = c + d;
  t[4] = c - d;
  t[5] = y[3];
}

// G' u.
KCORE_INLINE void transform_sums(const V (&u)[kTile], V (&g)[3]) {
  const V near = (1.0f / 6) * (u[1] + u[2]), far = u[3] + u[4];
  g[0] = 0.25f * u[0] - near + (1.0f / 24) * far;
  g[1] = (1.0f / 6) * (u[2] - u[1]) + (1.0f / 12) * (u[3] - u[4]);
  g[2] = (1.0f / 6) * far - near + u[5];
}

// The tiles that cover the outputs of a grid.
struct Tiles {
  std::int64_t rows, cols, count;  // of an image; of all images
};

Tiles cover(const Grid& grid) {
  const std::int64_t rows = ceil_div(grid.rows.out, kOut), cols = ceil_div(grid.cols.out, kOut);
  return {rows, cols, grid.batch * rows * cols};
}

struct Plan {
  Tiles tiles;
  std::int64_t block, blocks;  // tiles of a block; blocks
  std::int64_t stride;         // from one tile's channels to the next's
};

// A large power of two would map all rows of a tile to few sets of the first-level cache.
KCORE_INLINE std::int64_t spread(std::int64_t stride) {
  return stride % 512 == 0 ? stride + 16 : stride;
}

Plan make_plan(const Product<float>& product) {
  Plan plan;
  plan.tiles = cover(product.grid);
  plan.stride = spread(product.depth_channels);
  const std::int64_t affordable = kSourceBytes / (kPoints * plan.stride * 4);
  const std::int64_t wanted =
      min(min(affordable, kMaxBlockTiles), ceil_div(plan.tiles.count, kTasks));
  plan.block = max(wanted / kBlockRows, 1) * kBlockRows;
  plan.block = min(plan.block, max(plan.tiles.count, 1));
  plan.blocks = ceil_div(plan.tiles.count, plan.block);
  return plan;
}

std::int64_t thread_elements(const Product<float>& product, const Plan& plan) {
  return kPoints * plan.block * (plan.stride + kCols) + round_up(product.depth_channels, kWide);
}

struct TilePlace {
  std::int64_t image, row, col;  // of the first output
};

KCORE_INLINE TilePlace place(const Tiles& tiles, std::int64_t tile) {
  const std::int64_t rest = tile / tiles.cols;
  return {rest / tiles.rows, rest % tiles.rows * kOut, tile % tiles.cols * kOut};
}

// A square of Size x Size pixels from the given place of an image on; `zeros` where it is outside.
template <int Size>
void find_pixels(const float* image, std::int64_t rows, std::int64_t cols, std::int64_t channels,
                 std::int64_t row, std::int64_t col, const float* zeros,
                 const float* (&pixels)[Size][Size]) {
  for (int i = 0; i < Size; ++i) {
    for (int j = 0; j < Size; ++j) {
      const bool inside = row + i >= 0 && row + i < rows && col + j >= 0 && col + j < cols;
      pixels[i][j] = inside ? image + ((row + i) * cols + col + j) * channels : zeros;
    }
  }
}

// Transforms a square of pixels along both axes: point p's channels go to out + p * pitch.
template <int Size, class Transform>
KCORE_INLINE void transform_pixels(const float* const (&pixels)[Size][Size], std::int64_t channels,
                                   float* out, std::int64_t pitch, const Transform& transform) {
  const auto channels_at = [&](std::int64_t c, auto load_at, auto store_at)
      __attribute__((always_inline)) {
    V rows_done[Size][kTile];
#pragma GCC unroll 6
    for (int i = 0; i < Size; ++i) {
      V d[Size];
#pragma GCC unroll 6
      for (int j = 0; j < Size; ++j) d[j] = load_at(pixels[i][j] + c);
      transform(d, rows_done[i]);
    }
#pragma GCC unroll 6
    for (int j = 0; j < kTile; ++j) {
      V d[Size], t[kTile];
#pragma GCC unroll 6
      for (int i = 0; i < Size; ++i) d[i] = rows_done[i][j];
      transform(d, t);
#pragma GCC unroll 6
      for (int i = 0; i < kTile; ++i) store_at(out + (i * kTile + j) * pitch + c, t[i]);
    }
  };
  std::int64_t c = 0;
  for (; c + kWide <= channels; c += kWide) {
    channels_at(
        c, [](const float* p) { return load(p); }, [](float* p, V v) { store(p, v); });
  }
  if (c < channels) {
    const std::int64_t rest = channels - c;
    channels_at(
        c, [=](const float* p) { return load_partial(p, rest); },
        [=](float* p, V v) { store_partial(p, v, rest); });
  }
}

// The inputs of one tile, transformed.
void transform_tile(const Grid& grid, const TilePlace& at, const float* source, const float* zeros,
                    float* out, std::int64_t pitch) {
  const std::int64_t channels = grid.source_channels;
  const float* pixels[kTile][kTile];
  find_pixels(source + at.image * grid.rows.source * grid.cols.source * channels, grid.rows.source,
              grid.cols.source, channels, grid.rows.origin + at.row, grid.cols.origin + at.col,
              zeros, pixels);
  transform_pixels(
      pixels, channels, out, pitch,
      [](const V(&d)[kTile], V(&t)[kTile])
          __attribute__((always_inline)) { transform_input(d, t); });
}

// The greatest of a window's four pixels, the first of them or the first NaN; and which it is.
KCORE_INLINE void pool_window(const V (&window)[4], std::int64_t lanes, float* pooled,
                              std::uint8_t* place) {
  using Places = decltype(V{} == V{});
  V best = window[0];
  Places best_place{};
#pragma GCC unroll 3
  for (int i = 1; i < 4; ++i) {
    const auto better = (window[i] > best) | ((window[i] != window[i]) & (best == best));
    best = better ? window[i] : best;
    best_place = better ? Places{} + i : best_place;
  }
  store_partial(pooled, best, lanes);
  if (place == nullptr) return;
  typedef std::uint8_t Bytes __attribute__((vector_size(kWide)));
  const Bytes bytes = __builtin_convertvector(best_place, Bytes);
  std::memcpy(place, &bytes, static_cast<std::size_t>(lanes));
}

// The outputs of one tile in one panel from its 36 sums, `pitch` apart.
void finish_tile(const Product<float>& product, const TilePlace& at, const float* sums,
                 std::int64_t pitch, std::int64_t column, const Epilogue<float>& epilogue,
                 float* out) {
  const Axis &rows = product.grid.rows, &cols = product.grid.cols;
  const std::int64_t filters = product.group_columns;
  const std::int64_t row_pitch = rows.out_step * product.out_cols * filters;
  const std::int64_t col_pitch = cols.out_step * filters;
  const int valid_rows = static_cast<int>(min(kOut, rows.out - at.row));
  const int valid_cols = static_cast<int>(min(kOut, cols.out - at.col));
  const std::int64_t start =
      ((at.image * product.out_rows + rows.out_first + at.row * rows.out_step) * product.out_cols +
       cols.out_first + at.col * cols.out_step) *
          filters +
      column;
  const std::int64_t used = min(kCols, filters - column);
  for (std::int64_t j = 0; j < used; j += kWide) {
    const std::int64_t lanes = min(kWide, used - j);
    V rows_done[kTile][kOut];
#pragma GCC unroll 6
    for (int u = 0; u < kTile; ++u) {
      V m[kTile];
#pragma GCC unroll 6
      for (int v = 0; v < kTile; ++v) m[v] = load(sums + (u * kTile + v) * pitch + j);
      transform_output(m, rows_done[u]);
    }
    const V offset =
        epilogue.bias == nullptr ? V{} : load_partial(epilogue.bias + column + j, lanes);
    V left[kOut]{};
#pragma GCC unroll 4
    for (int v = 0; v < kOut; ++v) {
      V m[kTile], y[kOut];
#pragma GCC unroll 6
      for (int u = 0; u < kTile; ++u) m[u] = rows_done[u][v];
      transform_output(m, y);
#pragma GCC unroll 4
      for (int u = 0; u < kOut; ++u) {
        y[u] += offset;
        if (epilogue.activation == Activation::relu) y[u] = maximum<float>(y[u], V{});
      }
      if (epilogue.pooled != nullptr) {
#pragma GCC unroll 2
        for (int u = 0; u < kOut; u += 2) {
          if (v % 2 == 1 && v < valid_cols && u + 1 < valid_rows) {
            const std::int64_t place =
                ((at.image * (product.out_rows / 2) + (at.row + u) / 2) * (product.out_cols / 2) +
                 (at.col + v) / 2) *
                    filters +
                column + j;
            const V window[4] = {left[u], y[u], left[u + 1], y[u + 1]};
            pool_window(window, lanes, epilogue.pooled + place,
                        epilogue.places == nullptr ? nullptr : epilogue.places + place);
          }
          left[u] = y[u];
          left[u + 1] = y[u + 1];
        }
        continue;
      }
#pragma GCC unroll 4
      for (int u = 0; u < kOut; ++u) {
        if (u < valid_rows && v < valid_cols) {
          const std::int64_t place = start + u * row_pitch + v * col_pitch + j;
          if (epilogue.gate != nullptr) {
            y[u] = load_partial(epilogue.gate + place, lanes) > 0.0f ? y[u] : V{};
          }
          lanes == kWide ? store(out + place, y[u]) : store_partial(out + place, y[u], lanes);
        }
      }
    }
  }
  if (epilogue.activation > Activation::relu) {
    for (int u = 0; u < valid_rows; ++u) {
      activate_block<float>(out + start + u * row_pitch, col_pitch, valid_cols, used,
                            epilogue.activation);
    }
  }
}

// `count` channels of 3 x 3 taps, each kCols wide, to 36 points `pitch` apart.
void transform_taps(const float* taps, std::int64_t tap_pitch, std::int64_t count, float* out,
                    std::int64_t pitch) {
  for (std::int64_t i = 0; i < count * kCols; i += kWide) {
    V rows[3][kTile];
#pragma GCC unroll 3
    for (int u = 0; u < 3; ++u) {
      V g[3];
#pragma GCC unroll 3
      for (int v = 0; v < 3; ++v) g[v] = load(taps + (u * 3 + v) * tap_pitch + i);
      transform_kernel(g, rows[u]);
    }
#pragma GCC unroll 6
    for (int v = 0; v < kTile; ++v) {
      const V g[3] = {rows[0][v], rows[1][v], rows[2][v]};
      V points[kTile];
      transform_kernel(g, points);
#pragma GCC unroll 6
      for (int u = 0; u < kTile; ++u) store(out + (u * kTile + v) * pitch + i, points[u]);
    }
  }
}

}  // namespace

static bool suits(const Grid& grid, std::int64_t depth_channels, std::int64_t columns) {
  const Axis &rows = grid.rows, &cols = grid.cols;
  if (rows.taps != 3 || cols.taps != 3 || rows.tap_step != 1 || cols.tap_step != 1 ||
      rows.step != 1 || cols.step != 1) {
    return false;
  }
  const std::int64_t covered = round_up(rows.out, kOut) * round_up(cols.out, kOut);
  return depth_channels >= 16 && columns >= 16 && covered <= 2 * rows.out * cols.out &&
         grid.batch * covered >= 128;
}

bool winograd_suits(const Product<float>& product) {
  return product.groups == 1 && suits(product.grid, product.depth_channels, product.group_columns);
}

std::int64_t winograd_kernel_elements(const Product<float>& product) {
  return product.panels() * kPoints * product.depth_channels * kCols;
}

void winograd_transform_kernel(const Product<float>& product, const float* kernel,
                               float* transformed) {
  constexpr std::int64_t grain = 16;  // channels of a task
  const std::int64_t channels = product.depth_channels, pieces = ceil_div(channels, grain);
  for_tasks(product.panels() * channels > 4 * grain, product.panels() * pieces,
            [&](std::int64_t task) {
              const std::int64_t panel = task / pieces, first = task % pieces * grain;
              const std::int64_t count = min(grain, channels - first);
              float taps[9 * grain * kCols];
              for (std::int64_t tap = 0; tap < 9; ++tap) {
                pack_tap(product, kernel, tap / 3, tap % 3, panel, first, count,
                         taps + tap * grain * kCols);
              }
              transform_taps(taps, grain * kCols, count,
                             transformed + (panel * kPoints * channels + first) * kCols,
                             channels * kCols);
            });
}

ConvolutionMemory winograd_transformed_memory(const Product<float>& product) {
  return {0, thread_elements(product, make_plan(product)) * 4};
}

ConvolutionMemory winograd_memory(const Product<float>& product) {
  ConvolutionMemory memory = winograd_transformed_memory(product);
  memory.shared += winograd_kernel_elements(product) * 4;
  return memory;
}

void winograd(const Product<float>& product, const float* source, const float* kernel,
              const Epilogue<float>& epilogue, float* out, void* memory) {
  if (product.grid.batch == 0) return;
  float* transformed = static_cast<float*>(memory);
  winograd_transform_kernel(product, kernel, transformed);
  winograd_transformed(product, source, transformed, epilogue, out,
                       transformed + winograd_kernel_elements(product));
}

void winograd_transformed(const Product<float>& product, const float* source,
                          const float* transformed, const Epilogue<float>& epilogue, float* out,
                          void* /*memory*/) {
  if (product.grid.batch == 0) return;
  const Plan plan = make_plan(product);
  const std::int64_t channels = product.depth_channels, panels = product.panels();
  const std::int64_t cuts = min(panels, max(1, kTasks / 2 / plan.blocks));
  const std::int64_t cut_panels = ceil_div(panels, cuts);
  for_tasks(true, plan.blocks * ceil_div(panels, cut_panels), [&](std::int64_t task) {
    const std::int64_t first = task % plan.blocks * plan.block;
    const std::int64_t tiles = min(plan.block, plan.tiles.count - first);
    float* inputs = reinterpret_cast<float*>(
        thread_scratch(Scratch::convolution,
                       static_cast<std::size_t>(thread_elements(product, plan)) * sizeof(float)));
    float* sums = inputs + kPoints * plan.block * plan.stride;
    float* zeros = sums + kPoints * plan.block * kCols;
    clear(zeros, channels);
    for (std::int64_t t = 0; t < tiles; ++t) {
      transform_tile(product.grid, place(plan.tiles, first + t), source, zeros,
                     inputs + t * plan.stride, plan.block * plan.stride);
    }
    const std::int64_t first_panel = task / plan.blocks * cut_panels;
    for (std::int64_t panel = first_panel; panel < min(panels, first_panel + cut_panels); ++panel) {
      const std::int64_t column = panel * kCols;
      Tile<float> tile{};
      tile.depth = channels;
      tile.a_stride = plan.stride;
      tile.b_stride = kCols;
      tile.c_stride = kCols;
      tile.cols = min(kCols, round_up(product.group_columns - column, kWide));
      const std::int64_t rows = balanced(tiles, kBlockRows);
      const TileKernel<float> full = find_tile_kernel<float, ALayout::rows>(rows, tile.cols);
      for (std::int64_t point = 0; point < kPoints; ++point) {
        tile.b = transformed + (panel * kPoints + point) * channels * kCols;
        for (std::int64_t t = 0; t < tiles; t += rows) {
          const std::int64_t used = min(rows, tiles - t);
          tile.a = inputs + (point * plan.block + t) * plan.stride;
          tile.c = sums + (point * plan.block + t) * kCols;
          (used == rows ? full : find_tile_kernel<float, ALayout::rows>(used, tile.cols))(tile);
        }
      }
      for (std::int64_t t = 0; t < tiles; ++t) {
        finish_tile(product, place(plan.tiles, first + t), sums + t * kCols, plan.block * kCols,
                    column, epilogue, out);
      }
    }
  });
}

namespace {

constexpr std::int64_t kGroupBytes = 8 << 20;  // of a group's transformed tiles

struct WeightPlan {
  Tiles tiles;
  std::int64_t group;  // tiles of a group
  std::int64_t x_stride, dy_stride;
  float *x, *dy;  // point, tile, channel
  float* sums;    // point, channel of x, channel of dy
  float* zeros;
};

WeightPlan make_weight_plan(const Product<float>& product, Workspace& workspace) {
  WeightPlan plan;
  const std::int64_t channels = product.depth_channels, filters = product.group_columns;
  plan.tiles = cover(product.grid);
  plan.x_stride = spread(channels);
  plan.dy_stride = spread(round_up(filters, kWide));
  const std::int64_t tile = kPoints * (plan.x_stride + plan.dy_stride);
  plan.group = balanced(plan.tiles.count, max(kGroupBytes / 4 / tile, 64));
  plan.x = workspace.take<float>(kPoints * plan.group * plan.x_stride);
  plan.dy = workspace.take<float>(kPoints * plan.group * plan.dy_stride);
  plan.sums = workspace.take<float>(kPoints * channels * plan.dy_stride);
  plan.zeros = workspace.take<float>(max(plan.x_stride, plan.dy_stride));
  return plan;
}

// One tile of dy, transformed.
void transform_gradient_tile(const Product<float>& product, const TilePlace& at, const float* dy,
                             const float* zeros, float* out, std::int64_t pitch) {
  const std::int64_t rows = product.grid.rows.out, cols = product.grid.cols.out;
  const std::int64_t filters = product.group_columns;
  const float* pixels[kOut][kOut];
  find_pixels(dy + at.image * rows * cols * filters, rows, cols, filters, at.row, at.col, zeros,
              pixels);
  transform_pixels(
      pixels, filters, out, pitch,
      [](const V(&y)[kOut], V(&t)[kTile])
          __attribute__((always_inline)) { transform_gradient(y, t); });
}

// Adds the product of one point over a group's tiles, `rows` of its rows from `row` on.
void add_products(const Product<float>& product, const WeightPlan& plan, std::int64_t point,
                  std::int64_t row, std::int64_t rows, std::int64_t tiles, bool add) {
  const std::int64_t filters = product.group_columns;
  Tile<float> tile{};
  tile.depth = tiles;
  tile.a = plan.x + point * plan.group * plan.x_stride + row;
  tile.a_stride = plan.x_stride;
  tile.b_stride = plan.dy_stride;
  tile.c_stride = plan.dy_stride;
  tile.add = add;
  for (std::int64_t column = 0; column < filters; column += kCols) {
    tile.b = plan.dy + point * plan.group * plan.dy_stride + column;
    tile.c = plan.sums + (point * product.depth_channels + row) * plan.dy_stride + column;
    tile.cols = min(kCols, round_up(filters - column, kWide));
    find_tile_kernel<float, ALayout::columns>(rows, tile.cols)(tile);
  }
}

// The gradients of the kernel's 3 x 3 elements between one channel of x and all of dy.
void finish_channel(const Product<float>& product, const WeightPlan& plan, std::int64_t channel,
                    float* dkernel) {
  const std::int64_t channels = product.depth_channels, filters = product.group_columns;
  for (std::int64_t f = 0; f < filters; f += kWide) {
    V rows_done[kTile][3];
#pragma GCC unroll 6
    for (int u = 0; u < kTile; ++u) {
      V sums[kTile];
#pragma GCC unroll 6
      for (int v = 0; v < kTile; ++v) {
        sums[v] = load(plan.sums + ((u * kTile + v) * channels + channel) * plan.dy_stride + f);
      }
      transform_sums(sums, rows_done[u]);
    }
#pragma GCC unroll 3
    for (int v = 0; v < 3; ++v) {
      V column[kTile], g[3];
#pragma GCC unroll 6
      for (int u = 0; u < kTile; ++u) column[u] = rows_done[u][v];
      transform_sums(column, g);
#pragma GCC unroll 3
      for (int u = 0; u < 3; ++u) {
        float* to = dkernel + ((u * 3 + v) * channels + channel) * filters + f;
        store_partial(to, g[u], min(kWide, filters - f));
      }
    }
  }
}

}  // namespace

bool winograd_suits_weight_gradient(const Product<float>& product) {
  return winograd_suits(product) && cover(product.grid).count >= 12;
}

ConvolutionMemory winograd_weight_gradient_memory(const Product<float>& product) {
  Workspace workspace{nullptr};
  make_weight_plan(product, workspace);
  return {workspace.bytes, 0};
}

void winograd_weight_gradient(const Product<float>& product, const float* x, const float* dy,
                              float* dkernel, void* memory) {
  Workspace workspace{static_cast<std::byte*>(memory)};
  const WeightPlan plan = make_weight_plan(product, workspace);
  const std::int64_t channels = product.depth_channels;
  clear(plan.zeros, max(plan.x_stride, plan.dy_stride));
  const std::int64_t rows = balanced(channels, kBlockRows), bands = ceil_div(channels, rows);
  constexpr std::int64_t grain = 8;
  for (std::int64_t first = 0; first < plan.tiles.count; first += plan.group) {
    const std::int64_t tiles = min(plan.group, plan.tiles.count - first);
    for_tasks(true, ceil_div(tiles, grain), [&](std::int64_t task) {
      for (std::int64_t t = task * grain; t < min(tiles, (task + 1) * grain); ++t) {
        const TilePlace at = place(plan.tiles, first + t);
        transform_tile(product.grid, at, x, plan.zeros, plan.x + t * plan.x_stride,
                       plan.group * plan.x_stride);
        transform_gradient_tile(product, at, dy, plan.zeros, plan.dy + t * plan.dy_stride,
                                plan.group * plan.dy_stride);
      }
    });
    for_tasks(true, kPoints * bands, [&](std::int64_t task) {
      const std::int64_t row = task % bands * rows;
      add_products(product, plan, task / bands, row, min(rows, channels - row), tiles, first > 0);
    });
  }
  for_tasks(channels * product.group_columns > 4096, channels,
            [&](std::int64_t channel) { finish_channel(product, plan, channel, dkernel); });
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
