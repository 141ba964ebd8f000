// Copies of operands in the order in which micro-kernels read them. A panel is `width` rows of A
// (or columns of B) for `depth` steps: panel[p * width + i]. Transposition happens here.
#pragma once

#include "kernels/extents.h"
#include "simd/vec.h"

namespace kcore::KCORE_ISA_NAMESPACE {

// Transposes a square of vectors: exchanges the off-diagonal blocks of every 2 x 2 square, from
// single elements to halves.
template <class T>
KCORE_INLINE void transpose(Vec<T> (&v)[kWidth<T>]) {
  constexpr int width = static_cast<int>(kWidth<T>);
#pragma GCC unroll 8
  for (int step = 1; step < width; step *= 2) {
    const auto low =
        make_lanes<T>([=](int lane) { return (lane & step) == 0 ? lane : width + lane - step; });
    const auto high =
        make_lanes<T>([=](int lane) { return (lane & step) == 0 ? lane + step : width + lane; });
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i) {
      if ((i & step) != 0) continue;
      const Vec<T> x = v[i], y = v[i + step];
      v[i] = shuffle<T>(x, y, low);
      v[i + step] = shuffle<T>(x, y, high);
    }
  }
}

// to[i] = from[i] for i < used, 0 for the rest of `width`.
template <class T>
KCORE_INLINE void copy_step(const T* from, std::int64_t used, std::int64_t width, T* to) {
  constexpr std::int64_t lanes = kWidth<T>;
  for (std::int64_t i = 0; i < width; i += lanes) {
    const Vec<T> v = i + lanes <= used ? load(from + i)
                     : i < used        ? load_partial(from + i, used - i)
                                       : Vec<T>{};
    i + lanes <= width ? store(to + i, v) : store_partial(to + i, v, width - i);
  }
}

// panel[p * width + i] = source[p * stride + i] for i < used, 0 for the rest.
template <class T>
void pack_columns(const T* source, std::int64_t stride, std::int64_t used, std::int64_t width,
                  std::int64_t depth, T* panel) {
  constexpr std::int64_t lanes = kWidth<T>;
  if (used == width && used % lanes == 0) {
    for (std::int64_t p = 0; p < depth; ++p) {
      for (std::int64_t i = 0; i < width; i += lanes) {
        __builtin_prefetch(source + (p + 8) * stride + i);
        store(panel + p * width + i, load(source + p * stride + i));
      }
    }
    return;
  }
  for (std::int64_t p = 0; p < depth; ++p) {
    copy_step<T>(source + p * stride, used, width, panel + p * width);
  }
}

// The same into as many panels as `used` columns fill, some side by side at a time: a line of the
// source serves two panels.
template <class T>
void pack_column_panels(const T* source, std::int64_t stride, std::int64_t used, std::int64_t width,
                        std::int64_t depth, T* panels) {
  constexpr std::int64_t line = 64 / std::int64_t{sizeof(T)};
  const std::int64_t group = 4 * width;
  for (std::int64_t first = 0; first < used; first += group) {
    const std::int64_t end = min(used, first + group);
    for (std::int64_t p = 0; p < depth; ++p) {
      const T* row = source + p * stride;
      for (std::int64_t i = first; i < end; i += line) __builtin_prefetch(row + 8 * stride + i);
      for (std::int64_t i = first; i < end; i += width) {
        copy_step<T>(row + i, min(width, end - i), width, panels + i * depth + p * width);
      }
    }
  }
}

// panel[p * width + i] = source[i * stride + p] for i < used, 0 for the rest.
template <class T>
void pack_rows(const T* source, std::int64_t stride, std::int64_t used, std::int64_t width,
               std::int64_t depth, T* panel) {
  constexpr std::int64_t lanes = kWidth<T>;
  for (std::int64_t p = 0; p < depth; p += lanes) {
    const std::int64_t steps = depth - p < lanes ? depth - p : lanes;
    for (std::int64_t i = 0; i < width; i += lanes) {
      const std::int64_t count = used - i < lanes ? used - i : lanes;
      const std::int64_t room = width - i < lanes ? width - i : lanes;
      const T* from = source + i * stride + p;
      T* to = panel + p * width + i;
      Vec<T> square[lanes];
      if (steps == lanes) {
#pragma GCC unroll 16
        for (std::int64_t r = 0; r < lanes; ++r) {
          if (r < count) {
            __builtin_prefetch(from + r * stride + 2 * lanes);
            square[r] = load(from + r * stride);
          } else {
            square[r] = Vec<T>{};
          }
        }
      } else {
#pragma GCC unroll 16
        for (std::int64_t r = 0; r < lanes; ++r) {
          square[r] = r < count ? load_partial(from + r * stride, steps) : Vec<T>{};
        }
      }
      transpose<T>(square);
      if (room == lanes && steps == lanes) {
#pragma GCC unroll 16
        for (std::int64_t r = 0; r < lanes; ++r) store(to + r * width, square[r]);
      } else {
#pragma GCC unroll 16
        for (std::int64_t r = 0; r < lanes; ++r) {
          if (r < steps) store_partial(to + r * width, square[r], room);
        }
      }
    }
  }
}

// Either: rows of `source` run along depth, or across the panel.
template <class T>
void pack_panel(bool along_depth, const T* source, std::int64_t stride, std::int64_t used,
                std::int64_t width, std::int64_t depth, T* panel) {
  along_depth ? pack_rows<T>(source, stride, used, width, depth, panel)
              : pack_columns<T>(source, stride, used, width, depth, panel);
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
