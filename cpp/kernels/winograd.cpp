// F(4x4, 3x3): a tile of 4 x 4 outputs from 6 x 6 inputs with 36 products a channel instead of 144
// (Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", 2015; points 0, 1, -1, 2, -2
// and infinity). Y = A' [(G g G') * (B' d B)] A, where * multiplies elements and sums channels:
// 36 matrix products of (tiles x channels) by (channels x filters).
//
// A few small images have too few such tiles for the products, and the kernel's 36 points take
// longer to read than its 9 taps: they are cut by F(2x2, 3x3), 16 products instead of 36.
//
// A task transforms a block of tiles, multiplies and transforms back one panel of filters after
// another, all within the second-level cache.
//
// The weight gradient is the transpose of the same: dg = G' [(B' d B) * (A dY A')] G, where *
// sums tiles: 36 products that have tiles for depth.
#include "kernels/winograd.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

using V = Vec<float>;

constexpr std::int64_t kCols = kBlockCols<float>;
constexpr std::int64_t kWide = kWidth<float>;
constexpr std::int64_t kSourceBytes = 540 << 10;  // of a block's transformed inputs
constexpr std::int64_t kMaxBlockTiles = 56;
constexpr std::int64_t kTasks = 32;
constexpr std::int64_t kSmallChannels = 32;  // that F(2x2) is worth its transforms for

// F(4x4, 3x3) of one axis. B' d goes by pairs: the first and the last point, the points 1 and 2,
// the points 3 and 4. Each pair shares its sums, and a third of a tile's points at a time stays in
// registers.
struct Large {
  static constexpr int kOut = 4;       // outputs of a tile
  static constexpr int kTile = 6;      // points
  static constexpr int kSize = kTile;  // inputs
  static constexpr int kPoints = kTile * kTile;
  static constexpr int kLow[] = {0, 1, 3}, kHigh[] = {5, 2, 4};  // the points of a pair

  template <int Pair>
  KCORE_INLINE void pair(const V (&d)[kSize], V& low, V& high) {
    if constexpr (Pair == 0) {
      low = 4.0f * d[0] - 5.0f * d[2] + d[4];
      high = 4.0f * d[1] - 5.0f * d[3] + d[5];
    } else {
      const V even = Pair == 1 ? d[4] - 4.0f * d[2] : d[4] - d[2];
      const V odd = Pair == 1 ? d[3] - 4.0f * d[1] : 2.0f * (d[3] - d[1]);
      low = even + odd;
      high = even - odd;
    }
  }

  // A' m.
  KCORE_INLINE void output(const V (&m)[kTile], V (&y)[kOut]) {
    const V s = m[1] + m[2], d = m[1] - m[2], p = m[3] + m[4], q = m[3] - m[4];
    y[0] = m[0] + s + p;
    y[1] = d + 2.0f * q;
    y[2] = s + 4.0f * p;
    y[3] = d + 8.0f * q + m[5];
  }

  // G g.
  KCORE_INLINE void kernel(const V (&g)[3], V (&u)[kTile]) {
    const V even = g[0] + g[2], far = (1.0f / 24) * g[0] + (1.0f / 6) * g[2];
    u[0] = 0.25f * g[0];
    u[1] = (-1.0f / 6) * (even + g[1]);
    u[2] = (-1.0f / 6) * (even - g[1]);
    u[3] = far + (1.0f / 12) * g[1];
    u[4] = far - (1.0f / 12) * g[1];
    u[5] = g[2];
  }
};

// F(2x2, 3x3), points 0, 1, -1 and infinity.
struct Small {
  static constexpr int kOut = 2;
  static constexpr int kTile = 4;
  static constexpr int kSize = kTile;
  static constexpr int kPoints = kTile * kTile;
  static constexpr int kLow[] = {0, 1}, kHigh[] = {3, 2};

  template <int Pair>
  KCORE_INLINE void pair(const V (&d)[kSize], V& low, V& high) {
    if constexpr (Pair == 0) {
      low = d[0] - d[2];
      high = d[1] - d[3];
    } else {
      low = d[1] + d[2];
      high = d[2] - d[1];
    }
  }

  KCORE_INLINE void output(const V (&m)[kTile], V (&y)[kOut]) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
  }

  KCORE_INLINE void kernel(const V (&g)[3], V (&u)[kTile]) {
    const V even = 0.5f * (g[0] + g[2]), odd = 0.5f * g[1];
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = g[2];
  }
};

// A y of F(4x4, 3x3), by the same pairs.
struct GradientTransform : Large {
  static constexpr int kSize = kOut;
  template <int Pair>
  KCORE_INLINE void pair(const V (&y)[kSize], V& low, V& high) {
    if constexpr (Pair == 0) {
      low = y[0];
      high = y[3];
    } else {
      const V even = Pair == 1 ? y[0] + y[2] : y[0] + 4.0f * y[2];
      const V odd = Pair == 1 ? y[1] + y[3] : 2.0f * y[1] + 8.0f * y[3];
      low = even + odd;
      high = even - odd;
    }
  }
};

// G' u of F(4x4, 3x3).
KCORE_INLINE void transform_sums(const V (&u)[Large::kTile], V (&g)[3]) {
  const V near = (1.0f / 6) * (u[1] + u[2]), far = u[3] + u[4];
  g[0] = 0.25f * u[0] - near + (1.0f / 24) * far;
  g[1] = (1.0f / 6) * (u[2] - u[1]) + (1.0f / 12) * (u[3] - u[4]);
  g[2] = (1.0f / 6) * far - near + u[5];
}

// The tiles that cover the outputs of a grid.
struct Tiles {
  std::int64_t rows, cols, count;  // of an image; of all images
};

template <class Form>
Tiles cover(const Grid& grid) {
  const std::int64_t rows = ceil_div(grid.rows.out, Form::kOut);
  const std::int64_t cols = ceil_div(grid.cols.out, Form::kOut);
  return {rows, cols, grid.batch * rows * cols};
}

struct Plan {
  Tiles tiles;
  std::int64_t block, blocks;      // tiles of a block; blocks
  std::int64_t stride;             // from one tile's channels to the next's
  std::int64_t pitch, sums_pitch;  // from one point to the next: of inputs, of sums
};

// From one tile to the next: whole vectors, and no large power of two, which would map all rows of
// a block to few sets of the first-level cache.
KCORE_INLINE std::int64_t tile_stride(std::int64_t channels) {
  const std::int64_t stride = round_up(channels, kWide);
  return stride % 512 == 0 ? stride + 16 : stride;
}

// From one point to the next: an odd number of cache lines, so that the 36 points that a tile's
// transform stores to spread over the sets.
KCORE_INLINE std::int64_t point_pitch(std::int64_t elements) {
  constexpr std::int64_t line = 16;
  return (ceil_div(elements, line) | 1) * line;
}

template <class Form>
Plan make_plan(const Product<float>& product) {
  Plan plan;
  plan.tiles = cover<Form>(product.grid);
  plan.stride = tile_stride(product.depth_channels);
  // Whole tiles of the micro-kernel, two at least: each block reads all of the kernel.
  const std::int64_t affordable =
      min(kSourceBytes / (Form::kPoints * plan.stride * 4), kMaxBlockTiles) / kBlockRows;
  const std::int64_t wanted = max(2, ceil_div(plan.tiles.count, kTasks) / kBlockRows);
  plan.block = balanced(plan.tiles.count, max(min(affordable, wanted), 1) * kBlockRows);
  plan.blocks = ceil_div(plan.tiles.count, plan.block);
  plan.pitch = point_pitch(plan.block * plan.stride);
  plan.sums_pitch = point_pitch(plan.block * kCols);
  return plan;
}

template <class Form>
std::int64_t thread_elements(const Product<float>& product, const Plan& plan) {
  return Form::kPoints * (plan.pitch + plan.sums_pitch) + round_up(product.depth_channels, kWide);
}

struct TilePlace {
  std::int64_t image, row, col;  // of the first output
};

template <class Form>
KCORE_INLINE TilePlace place(const Tiles& tiles, std::int64_t tile) {
  const std::int64_t rest = tile / tiles.cols;
  return {rest / tiles.rows, rest % tiles.rows * Form::kOut, tile % tiles.cols * Form::kOut};
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

// Transforms a column of a tile and stores its points, `pitch` apart.
template <class Transform, int Pair = 0>
KCORE_INLINE void transform_column(const V (&d)[Transform::kSize], float* out, std::int64_t pitch) {
  V low, high;
  Transform::template pair<Pair>(d, low, high);
  store(out + Transform::kLow[Pair] * Transform::kTile * pitch, low);
  store(out + Transform::kHigh[Pair] * Transform::kTile * pitch, high);
  if constexpr (2 * Pair + 2 < Transform::kTile)
    transform_column<Transform, Pair + 1>(d, out, pitch);
}

// Transforms one vector of channels of a square of pixels; point p goes to out + p * pitch.
template <class Transform, int Pair = 0, class Load>
KCORE_INLINE void transform_square(const float* const (&pixels)[Transform::kSize][Transform::kSize],
                                   const Load& load_at, float* out, std::int64_t pitch) {
  constexpr int size = Transform::kSize;
  V low[size], high[size];
#pragma GCC unroll 6
  for (int i = 0; i < size; ++i) {
    V d[size];
#pragma GCC unroll 6
    for (int j = 0; j < size; ++j) d[j] = load_at(pixels[i][j]);
    Transform::template pair<Pair>(d, low[i], high[i]);
  }
  transform_column<Transform>(low, out + Transform::kLow[Pair] * pitch, pitch);
  transform_column<Transform>(high, out + Transform::kHigh[Pair] * pitch, pitch);
  if constexpr (2 * Pair + 2 < Transform::kTile)
    transform_square<Transform, Pair + 1>(pixels, load_at, out, pitch);
}

// The same for `channels` of them; the last vector ends in zeros.
template <class Transform>
void transform_pixels(const float* const (&pixels)[Transform::kSize][Transform::kSize],
                      std::int64_t channels, float* out, std::int64_t pitch) {
  std::int64_t c = 0;
  for (; c + kWide <= channels; c += kWide) {
    transform_square<Transform>(
        pixels, [=](const float* p) { return load(p + c); }, out + c, pitch);
  }
  if (c < channels) {
    const std::int64_t rest = channels - c;
    transform_square<Transform>(
        pixels, [=](const float* p) { return load_partial(p + c, rest); }, out + c, pitch);
  }
}

// The inputs of one tile, transformed.
template <class Form>
void transform_tile(const Grid& grid, const TilePlace& at, const float* source, const float* zeros,
                    float* out, std::int64_t pitch) {
  const std::int64_t channels = grid.source_channels;
  const float* pixels[Form::kTile][Form::kTile];
  find_pixels(source + at.image * grid.rows.source * grid.cols.source * channels, grid.rows.source,
              grid.cols.source, channels, grid.rows.origin + at.row, grid.cols.origin + at.col,
              zeros, pixels);
  transform_pixels<Form>(pixels, channels, out, pitch);
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

// The outputs of one tile in one panel from the sums of its points, `pitch` apart.
template <class Form>
void finish_tile(const Product<float>& product, const TilePlace& at, const float* sums,
                 std::int64_t pitch, std::int64_t column, const Epilogue<float>& epilogue,
                 float* out) {
  constexpr int kTile = Form::kTile, kOut = Form::kOut;
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
      Form::output(m, rows_done[u]);
    }
    const V offset =
        epilogue.bias == nullptr ? V{} : load_partial(epilogue.bias + column + j, lanes);
    V left[kOut]{};
#pragma GCC unroll 4
    for (int v = 0; v < kOut; ++v) {
      V m[kTile], y[kOut];
#pragma GCC unroll 6
      for (int u = 0; u < kTile; ++u) m[u] = rows_done[u][v];
      Form::output(m, y);
#pragma GCC unroll 4
      for (int u = 0; u < kOut; ++u) {
        y[u] += offset;
        if (epilogue.activation == Activation::relu) y[u] = rectify(y[u]);
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

// `count` channels of 3 x 3 taps, each kCols wide, to points `pitch` apart.
template <class Form>
void transform_taps(const float* taps, std::int64_t tap_pitch, std::int64_t count, float* out,
                    std::int64_t pitch) {
  constexpr int kTile = Form::kTile;
  for (std::int64_t i = 0; i < count * kCols; i += kWide) {
    V rows[3][kTile];
#pragma GCC unroll 3
    for (int u = 0; u < 3; ++u) {
      V g[3];
#pragma GCC unroll 3
      for (int v = 0; v < 3; ++v) g[v] = load(taps + (u * 3 + v) * tap_pitch + i);
      Form::kernel(g, rows[u]);
    }
#pragma GCC unroll 6
    for (int v = 0; v < kTile; ++v) {
      const V g[3] = {rows[0][v], rows[1][v], rows[2][v]};
      V points[kTile];
      Form::kernel(g, points);
#pragma GCC unroll 6
      for (int u = 0; u < kTile; ++u) store(out + (u * kTile + v) * pitch + i, points[u]);
    }
  }
}

// Whether there are 3 x 3 taps side by side, at least that many tiles, and little of them outside
// of the outputs.
template <class Form>
bool tiles_well(const Grid& grid, std::int64_t least) {
  const Axis &rows = grid.rows, &cols = grid.cols;
  if (rows.taps != 3 || cols.taps != 3 || rows.tap_step != 1 || cols.tap_step != 1 ||
      rows.step != 1 || cols.step != 1) {
    return false;
  }
  const std::int64_t tiles = cover<Form>(grid).count;
  return tiles >= least && tiles * Form::kOut * Form::kOut <= 2 * grid.batch * rows.out * cols.out;
}

// With 4 channels on either side the direct way is faster, with 8 it takes 1.1 to 2.4 times as
// long; with 8 tiles 0.9 times, as the transform of the kernel is most of the work.
bool suits_large(const Product<float>& product) {
  return product.groups == 1 && product.depth_channels >= 8 && product.group_columns >= 8 &&
         tiles_well<Large>(product.grid, 12);
}

// A gradient's kernel is never transformed beforehand, which takes as long as these products save.
bool suits_small(const Product<float>& product) {
  return product.groups == 1 && !product.transposed && product.depth_channels >= kSmallChannels &&
         product.group_columns >= kSmallChannels && tiles_well<Small>(product.grid, 8);
}

// Too little work for a team: fewer products, and about as much again for the transforms.
template <class Form>
bool is_parallel(const Product<float>& product) {
  return product.flops() >= (Form::kOut == 4 ? 2 : 1) * kParallelFlops;
}

template <class Form>
std::int64_t kernel_elements(const Product<float>& product) {
  return product.panels() * Form::kPoints * product.depth_channels * kCols;
}

template <class Form>
void transform_all_taps(const Product<float>& product, const float* kernel, float* transformed) {
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
              transform_taps<Form>(taps, grain * kCols, count,
                                   transformed + (panel * Form::kPoints * channels + first) * kCols,
                                   channels * kCols);
            });
}

// Multiplies the transformed inputs of a block by one panel of the transformed kernel.
template <class Form>
void multiply_panel(const Product<float>& product, const Plan& plan, std::int64_t tiles,
                    const float* inputs, const float* kernel, std::int64_t cols, float* sums) {
  const std::int64_t channels = product.depth_channels;
  Tile<float> tile{};
  tile.depth = channels;
  tile.a_stride = plan.stride;
  tile.b_stride = kCols;
  tile.c_stride = kCols;
  tile.cols = round_up(cols, kWide);
  const std::int64_t rows = balanced(tiles, kBlockRows);
  const TileKernel<float> full = find_tile_kernel<float, ALayout::rows>(rows, tile.cols);
  for (std::int64_t point = 0; point < Form::kPoints; ++point) {
    tile.b = kernel + point * channels * kCols;
    for (std::int64_t t = 0; t < tiles; t += rows) {
      const std::int64_t used = min(rows, tiles - t);
      tile.a = inputs + point * plan.pitch + t * plan.stride;
      tile.c = sums + point * plan.sums_pitch + t * kCols;
      (used == rows ? full : find_tile_kernel<float, ALayout::rows>(used, tile.cols))(tile);
    }
  }
}

template <class Form>
void convolve(const Product<float>& product, const float* source, const float* transformed,
              const Epilogue<float>& epilogue, float* out) {
  const Plan plan = make_plan<Form>(product);
  const std::int64_t channels = product.depth_channels, panels = product.panels();
  const std::int64_t cuts = min(panels, max(1, kTasks / 2 / plan.blocks));
  const std::int64_t cut_panels = ceil_div(panels, cuts);
  for_tasks(is_parallel<Form>(product), plan.blocks * ceil_div(panels, cut_panels),
            [&](std::int64_t task) {
              const std::int64_t first = task % plan.blocks * plan.block;
              const std::int64_t tiles = min(plan.block, plan.tiles.count - first);
              float* inputs = reinterpret_cast<float*>(thread_scratch(
                  Scratch::convolution,
                  static_cast<std::size_t>(thread_elements<Form>(product, plan)) * sizeof(float)));
              float* sums = inputs + Form::kPoints * plan.pitch;
              float* zeros = sums + Form::kPoints * plan.sums_pitch;
              clear(zeros, channels);
              for (std::int64_t t = 0; t < tiles; ++t) {
                transform_tile<Form>(product.grid, place<Form>(plan.tiles, first + t), source,
                                     zeros, inputs + t * plan.stride, plan.pitch);
              }
              const std::int64_t first_panel = task / plan.blocks * cut_panels;
              for (std::int64_t panel = first_panel; panel < min(panels, first_panel + cut_panels);
                   ++panel) {
                const std::int64_t column = panel * kCols;
                multiply_panel<Form>(product, plan, tiles, inputs,
                                     transformed + panel * Form::kPoints * channels * kCols,
                                     min(kCols, product.group_columns - column), sums);
                for (std::int64_t t = 0; t < tiles; ++t) {
                  finish_tile<Form>(product, place<Form>(plan.tiles, first + t), sums + t * kCols,
                                    plan.sums_pitch, column, epilogue, out);
                }
              }
            });
}

// f(Form{}) for the form that serves the product.
template <class F>
auto with_form(const Product<float>& product, const F& f) {
  return suits_large(product) ? f(Large{}) : f(Small{});
}

}  // namespace

bool winograd_suits(const Product<float>& product) {
  return suits_large(product) || suits_small(product);
}

std::int64_t winograd_kernel_elements(const Product<float>& product) {
  return with_form(product, [&](auto form) { return kernel_elements<decltype(form)>(product); });
}

void winograd_transform_kernel(const Product<float>& product, const float* kernel,
                               float* transformed) {
  with_form(product,
            [&](auto form) { transform_all_taps<decltype(form)>(product, kernel, transformed); });
}

ConvolutionMemory winograd_transformed_memory(const Product<float>& product) {
  return with_form(product, [&](auto form) -> ConvolutionMemory {
    using Form = decltype(form);
    return {0, thread_elements<Form>(product, make_plan<Form>(product)) * 4};
  });
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
  with_form(product, [&](auto form) {
    convolve<decltype(form)>(product, source, transformed, epilogue, out);
  });
}

namespace {

constexpr int kOut = Large::kOut, kTile = Large::kTile, kPoints = Large::kPoints;

// One tile of dy, transformed.
void transform_gradient_tile(const Product<float>& product, const TilePlace& at, const float* dy,
                             const float* zeros, float* out, std::int64_t pitch) {
  const std::int64_t rows = product.grid.rows.out, cols = product.grid.cols.out;
  const std::int64_t filters = product.group_columns;
  const float* pixels[kOut][kOut];
  find_pixels(dy + at.image * rows * cols * filters, rows, cols, filters, at.row, at.col, zeros,
              pixels);
  transform_pixels<GradientTransform>(pixels, filters, out, pitch);
}

// Transformed tiles of x and dy, and the sums of their products.
struct WeightBlock {
  std::int64_t x_stride, x_pitch, dy_stride, dy_pitch;  // from tile to tile, from point to point
  float *x, *dy;
  float* sums;  // point, channel of x, channel of dy: dy_stride of them
  float* zeros;
};

WeightBlock make_weight_block(const Product<float>& product, std::int64_t tiles,
                              Workspace& workspace) {
  WeightBlock block;
  block.x_stride = tile_stride(product.depth_channels);
  block.dy_stride = tile_stride(product.group_columns);
  block.x_pitch = point_pitch(tiles * block.x_stride);
  block.dy_pitch = point_pitch(tiles * block.dy_stride);
  block.x = workspace.take<float>(kPoints * block.x_pitch);
  block.dy = workspace.take<float>(kPoints * block.dy_pitch);
  block.sums = workspace.take<float>(kPoints * product.depth_channels * block.dy_stride);
  block.zeros = workspace.take<float>(max(block.x_stride, block.dy_stride));
  return block;
}

// Elements of the block for each tile.
std::int64_t weight_tile_elements(const Product<float>& product) {
  return kPoints * (tile_stride(product.depth_channels) + tile_stride(product.group_columns));
}

// Tile `tile` of all becomes tile `slot` of the block.
void transform_pair(const Product<float>& product, const WeightBlock& block, const TilePlace& at,
                    const float* x, const float* dy, std::int64_t slot) {
  transform_tile<Large>(product.grid, at, x, block.zeros, block.x + slot * block.x_stride,
                        block.x_pitch);
  transform_gradient_tile(product, at, dy, block.zeros, block.dy + slot * block.dy_stride,
                          block.dy_pitch);
}

// Sums (or adds to the sums) the products of `tiles` tiles at one point, for `rows` channels of x
// from `row` on.
void multiply_tiles(const Product<float>& product, const WeightBlock& block, std::int64_t point,
                    std::int64_t row, std::int64_t rows, std::int64_t tiles, bool add) {
  const std::int64_t filters = product.group_columns;
  Tile<float> tile{};
  tile.depth = tiles;
  tile.a = block.x + point * block.x_pitch + row;
  tile.a_stride = block.x_stride;
  tile.b_stride = tile.c_stride = block.dy_stride;
  tile.add = add;
  for (std::int64_t column = 0; column < filters; column += kCols) {
    tile.b = block.dy + point * block.dy_pitch + column;
    tile.c = block.sums + (point * product.depth_channels + row) * block.dy_stride + column;
    tile.cols = min(kCols, round_up(filters - column, kWide));
    find_tile_kernel<float, ALayout::columns>(rows, tile.cols)(tile);
  }
}

// The gradients of the kernel's 3 x 3 elements between one channel of x and all of dy.
void finish_channel(const Product<float>& product, const WeightBlock& block, std::int64_t channel,
                    float* dkernel) {
  const std::int64_t channels = product.depth_channels, filters = product.group_columns;
  for (std::int64_t f = 0; f < filters; f += kWide) {
    V rows_done[kTile][3];
#pragma GCC unroll 6
    for (int u = 0; u < kTile; ++u) {
      V sums[kTile];
#pragma GCC unroll 6
      for (int v = 0; v < kTile; ++v) {
        sums[v] = load(block.sums + ((u * kTile + v) * channels + channel) * block.dy_stride + f);
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

constexpr std::int64_t kPieceSums = 64 * 64;      // channels of x times channels of dy
constexpr std::int64_t kPieceBytes = 1280 << 10;  // of a piece's block
constexpr std::int64_t kMinPieceTiles = 32;

// Few channels: a task sums the products of a piece of the tiles, transforming a block of them at
// a time within the second-level cache.
struct PiecePlan {
  std::int64_t piece, pieces;  // tiles of a piece; pieces
  std::int64_t block;          // tiles
  float* partials;             // the gradients of the pieces but the first
};

PiecePlan make_piece_plan(const Product<float>& product, Workspace& workspace) {
  PiecePlan plan;
  const std::int64_t tiles = cover<Large>(product.grid).count;
  const std::int64_t sums = kPoints * product.depth_channels * tile_stride(product.group_columns);
  plan.piece = ceil_div(tiles, max(1, min(kTasks, tiles / kMinPieceTiles)));
  plan.pieces = ceil_div(tiles, plan.piece);
  const std::int64_t affordable = (kPieceBytes / 4 - sums) / weight_tile_elements(product);
  plan.block = balanced(plan.piece, max(16, min(64, affordable)));
  plan.partials =
      workspace.take<float>((plan.pieces - 1) * product.depth() * product.group_columns);
  return plan;
}

std::int64_t piece_bytes(const Product<float>& product, const PiecePlan& plan) {
  Workspace workspace{nullptr};
  make_weight_block(product, plan.block, workspace);
  return workspace.bytes;
}

void run_piece(const Product<float>& product, const PiecePlan& plan, std::int64_t piece,
               const float* x, const float* dy, float* dkernel) {
  Workspace scratch{
      thread_scratch(Scratch::convolution, static_cast<std::size_t>(piece_bytes(product, plan)))};
  const WeightBlock block = make_weight_block(product, plan.block, scratch);
  clear(block.zeros, max(block.x_stride, block.dy_stride));
  const Tiles all = cover<Large>(product.grid);
  const std::int64_t channels = product.depth_channels, rows = balanced(channels, kBlockRows);
  const std::int64_t begin = piece * plan.piece, end = min(all.count, begin + plan.piece);
  for (std::int64_t first = begin; first < end; first += plan.block) {
    const std::int64_t tiles = min(plan.block, end - first);
    for (std::int64_t t = 0; t < tiles; ++t) {
      transform_pair(product, block, place<Large>(all, first + t), x, dy, t);
    }
    for (std::int64_t point = 0; point < kPoints; ++point) {
      for (std::int64_t row = 0; row < channels; row += rows) {
        multiply_tiles(product, block, point, row, min(rows, channels - row), tiles, first > begin);
      }
    }
  }
  for (std::int64_t c = 0; c < channels; ++c) finish_channel(product, block, c, dkernel);
}

void run_pieces(const Product<float>& product, const float* x, const float* dy, float* dkernel,
                Workspace& workspace) {
  const PiecePlan plan = make_piece_plan(product, workspace);
  const std::int64_t size = product.depth() * product.group_columns;
  for_tasks(is_parallel<Large>(product), plan.pieces, [&](std::int64_t piece) {
    float* out = piece == 0 ? dkernel : plan.partials + (piece - 1) * size;
    run_piece(product, plan, piece, x, dy, out);
  });
  if (plan.pieces == 1) return;
  constexpr std::int64_t grain = 2048;
  for_tasks(size * plan.pieces > kParallelElements, ceil_div(size, grain), [&](std::int64_t task) {
    for (std::int64_t piece = 1; piece < plan.pieces; ++piece) {
      const float* partial = plan.partials + (piece - 1) * size;
      for (std::int64_t i = task * grain; i < min(size, (task + 1) * grain); ++i) {
        dkernel[i] += partial[i];
      }
    }
  });
}

constexpr std::int64_t kGroupBytes = 8 << 20;  // of a group's transformed tiles

// Many channels: their sums exceed a cache, so a large group of tiles is transformed and every
// point's product is added to its sums once a group.
std::int64_t group_tiles(const Product<float>& product) {
  return balanced(cover<Large>(product.grid).count,
                  max(kGroupBytes / 4 / weight_tile_elements(product), 64));
}

void run_groups(const Product<float>& product, const float* x, const float* dy, float* dkernel,
                Workspace& workspace) {
  const std::int64_t group = group_tiles(product), channels = product.depth_channels;
  const WeightBlock block = make_weight_block(product, group, workspace);
  clear(block.zeros, max(block.x_stride, block.dy_stride));
  const Tiles all = cover<Large>(product.grid);
  const std::int64_t rows = balanced(channels, kBlockRows), bands = ceil_div(channels, rows);
  constexpr std::int64_t grain = 8;
  for (std::int64_t first = 0; first < all.count; first += group) {
    const std::int64_t tiles = min(group, all.count - first);
    for_tasks(is_parallel<Large>(product), ceil_div(tiles, grain), [&](std::int64_t task) {
      for (std::int64_t t = task * grain; t < min(tiles, (task + 1) * grain); ++t) {
        transform_pair(product, block, place<Large>(all, first + t), x, dy, t);
      }
    });
    for_tasks(is_parallel<Large>(product), kPoints * bands, [&](std::int64_t task) {
      const std::int64_t row = task % bands * rows;
      multiply_tiles(product, block, task / bands, row, min(rows, channels - row), tiles,
                     first > 0);
    });
  }
  for_tasks(channels * product.group_columns > 4096, channels,
            [&](std::int64_t channel) { finish_channel(product, block, channel, dkernel); });
}

bool by_pieces(const Product<float>& product) {
  return product.depth_channels * product.group_columns <= kPieceSums;
}

}  // namespace

// The direct way has kernels of its own for few filters.
bool winograd_suits_weight_gradient(const Product<float>& product) {
  return product.groups == 1 && product.depth_channels >= 8 && product.group_columns >= 12 &&
         tiles_well<Large>(product.grid, 4);
}

ConvolutionMemory winograd_weight_gradient_memory(const Product<float>& product) {
  Workspace workspace{nullptr};
  if (by_pieces(product)) {
    const std::int64_t thread = piece_bytes(product, make_piece_plan(product, workspace));
    return {workspace.bytes, thread};
  }
  make_weight_block(product, group_tiles(product), workspace);
  return {workspace.bytes, 0};
}

void winograd_weight_gradient(const Product<float>& product, const float* x, const float* dy,
                              float* dkernel, void* memory) {
  Workspace workspace{static_cast<std::byte*>(memory)};
  (by_pieces(product) ? run_pieces : run_groups)(product, x, dy, dkernel, workspace);
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
