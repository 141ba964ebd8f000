#include "kernels/pooling.h"

#include "kernels/extents.h"
#include "kernels/staging.h"
#include "simd/parallel.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

constexpr std::int64_t kGrain = 32768;  // elements of a task

struct Span {
  std::int64_t begin, end;
};

// The part of output o's window that exists.
KCORE_INLINE Span window(std::int64_t o, std::int64_t stride, std::int64_t low, std::int64_t pool,
                         std::int64_t extent) {
  const std::int64_t begin = o * stride - low;
  return {max(0, begin), min(extent, begin + pool)};
}

// Whole vectors of channels first, then single ones.
template <class T, class WholeVector, class Single>
KCORE_INLINE void over_channels(std::int64_t channels, const WholeVector& whole,
                                const Single& single) {
  std::int64_t c = 0;
  for (; c + kWidth<T> <= channels; c += kWidth<T>) whole(c);
  for (; c < channels; ++c) single(c);
}

// Calls f(image, output row) for all rows of all images.
template <class F>
KCORE_INLINE void over_rows(std::int64_t batch, std::int64_t rows, std::int64_t row_elements,
                            const F& f) {
  const std::int64_t total = batch * rows, grain = max(1, kGrain / max(1, row_elements));
  parallel_for(ceil_div(total, grain), [&](std::int64_t task) {
    const std::int64_t last = min(total, (task + 1) * grain);
    for (std::int64_t i = task * grain; i < last; ++i) f(i / rows, i % rows);
  });
}

// Integers as wide as T: what a comparison of Vec<T> gives.
template <class T>
using Mask = decltype(Vec<T>{} == Vec<T>{});

// Places of type P, as many as a Vec<T> has elements.
template <class T, class P>
struct PlacesOf {
  typedef P type __attribute__((vector_size(kWidth<T> * sizeof(P))));
  typedef P unaligned
      __attribute__((vector_size(kWidth<T> * sizeof(P)), aligned(alignof(P)), may_alias));
};

template <class T, class P>
KCORE_INLINE Mask<T> load_places(const P* places) {
  using Places = PlacesOf<T, P>;
  const typename Places::type narrow = *reinterpret_cast<const typename Places::unaligned*>(places);
  return __builtin_convertvector(narrow, Mask<T>);
}

template <class T, class P>
KCORE_INLINE void store_places(P* places, Mask<T> wide) {
  using Places = PlacesOf<T, P>;
  *reinterpret_cast<typename Places::unaligned*>(places) =
      __builtin_convertvector(wide, typename Places::type);
}

template <class T>
KCORE_INLINE Mask<T> splat_place(std::int64_t place) {
  const Mask<T> zeros{};
  return zeros + static_cast<decltype(zeros[0] + 0)>(place);
}

// The window of one output.
struct Window {
  Span rows, columns;          // of elements that exist
  std::int64_t row0, column0;  // where it would begin without the images' edges
  std::int64_t pool_width;

  Window(const Pooling& p, std::int64_t oy, std::int64_t ox)
      : rows(window(oy, p.stride_y, p.top, p.pool_height, p.height)),
        columns(window(ox, p.stride_x, p.left, p.pool_width, p.width)),
        row0(oy * p.stride_y - p.top),
        column0(ox * p.stride_x - p.left),
        pool_width(p.pool_width) {}

  std::int64_t place(std::int64_t row, std::int64_t column) const {
    return (row - row0) * pool_width + column - column0;
  }

  // Calls f(row, column, place) for the elements that exist.
  template <class F>
  __attribute__((always_inline)) void each(const F& f) const {
    for (std::int64_t i = rows.begin; i < rows.end; ++i) {
      for (std::int64_t j = columns.begin; j < columns.end; ++j) f(i, j, place(i, j));
    }
  }
};

template <class T>
void max_pool(const Pooling& p, const void* x_data, void* y_data) {
  const std::int64_t row = p.width * p.channels;
  over_rows(p.batch, p.out_height, p.stride_y * row, [&](std::int64_t n, std::int64_t oy) {
    const T* x = static_cast<const T*>(x_data) + n * p.height * row;
    T* y = static_cast<T*>(y_data) + (n * p.out_height + oy) * p.out_width * p.channels;
    for (std::int64_t ox = 0; ox < p.out_width; ++ox, y += p.channels) {
      const Window seen(p, oy, ox);
      const T* first = x + seen.rows.begin * row + seen.columns.begin * p.channels;
      over_channels<T>(
          p.channels,
          [&](std::int64_t c) {
            Vec<T> best = load(first + c);
            seen.each([&](std::int64_t i, std::int64_t j, std::int64_t) {
              best = maximum(best, load_ahead(x + i * row + j * p.channels + c));
            });
            store(y + c, best);
          },
          [&](std::int64_t c) {
            T best = first[c];
            seen.each([&](std::int64_t i, std::int64_t j, std::int64_t) {
              best = maximum(best, x[i * row + j * p.channels + c]);
            });
            y[c] = best;
          });
    }
  });
}

template <class T, class P>
void max_pool_places(const Pooling& p, const void* x_data, void* y_data, void* places_data) {
  const std::int64_t row = p.width * p.channels;
  over_rows(p.batch, p.out_height, p.stride_y * row, [&](std::int64_t n, std::int64_t oy) {
    const T* x = static_cast<const T*>(x_data) + n * p.height * row;
    const std::int64_t start = (n * p.out_height + oy) * p.out_width * p.channels;
    T* y = static_cast<T*>(y_data) + start;
    P* places = static_cast<P*>(places_data) + start;
    for (std::int64_t ox = 0; ox < p.out_width; ++ox, y += p.channels, places += p.channels) {
      const Window seen(p, oy, ox);
      const T* first = x + seen.rows.begin * row + seen.columns.begin * p.channels;
      const std::int64_t first_place = seen.place(seen.rows.begin, seen.columns.begin);
      over_channels<T>(
          p.channels,
          [&](std::int64_t c) {
            Vec<T> best = load(first + c);
            Mask<T> best_place = splat_place<T>(first_place);
            seen.each([&](std::int64_t i, std::int64_t j, std::int64_t place) {
              const Vec<T> value = load_ahead(x + i * row + j * p.channels + c);
              const auto better = (value > best) | ((value != value) & (best == best));
              best = better ? value : best;
              best_place = better ? splat_place<T>(place) : best_place;
            });
            store(y + c, best);
            store_places<T>(places + c, best_place);
          },
          [&](std::int64_t c) {
            T best = first[c];
            std::int64_t best_place = first_place;
            seen.each([&](std::int64_t i, std::int64_t j, std::int64_t place) {
              const T value = x[i * row + j * p.channels + c];
              if (value > best || (value != value && best == best)) {
                best = value;
                best_place = place;
              }
            });
            y[c] = best;
            places[c] = static_cast<P>(best_place);
          });
    }
  });
}

// Adds (or, where windows do not overlap, writes) one window's gradient to the rows in `owned`.
template <class T, class P, bool overlapping>
KCORE_INLINE void max_window_gradient(const Window& seen, const Span& owned, std::int64_t row,
                                      std::int64_t channels, const P* places, const T* dy, T* dx) {
  over_channels<T>(
      channels,
      [&](std::int64_t c) {
        const Vec<T> gradient = load(dy + c), zero{};
        const Mask<T> chosen = load_places<T>(places + c);
        seen.each([&](std::int64_t i, std::int64_t j, std::int64_t place) {
          if (overlapping && (i < owned.begin || i >= owned.end)) return;
          T* at = dx + i * row + j * channels + c;
          const Vec<T> share = chosen == splat_place<T>(place) ? gradient : zero;
          store(at, overlapping ? load(at) + share : share);
        });
      },
      [&](std::int64_t c) {
        seen.each([&](std::int64_t i, std::int64_t j, std::int64_t place) {
          if (overlapping && (i < owned.begin || i >= owned.end)) return;
          T& at = dx[i * row + j * channels + c];
          const T share = places[c] == static_cast<P>(place) ? dy[c] : T{0};
          at = overlapping ? at + share : share;
        });
      });
}

template <class T>
KCORE_INLINE std::int64_t gradient_bytes(const Pooling& p) {
  return p.batch * p.height * p.width * p.channels * static_cast<std::int64_t>(sizeof(T));
}

KCORE_INLINE bool overlapping(const Pooling& p) {
  return p.pool_height > p.stride_y || p.pool_width > p.stride_x;
}

// The bands that a gradient is cut into.
struct Bands {
  Bands(const Pooling& pooling, bool overlapping) : p(pooling) {
    const std::int64_t row = p.width * p.channels;
    rows = max(overlapping ? 8 : 1, kGrain / max(1, p.stride_y * row));
    count = ceil_div(p.out_height, rows);
  }

  // The output rows whose windows a band's are.
  Span out_rows(std::int64_t band) const {
    return {band * rows, min(p.out_height, (band + 1) * rows)};
  }

  // The input rows that it owns.
  Span owned(Span out) const {
    return {out.begin == 0 ? 0 : max(0, out.begin * p.stride_y - p.top),
            out.end == p.out_height ? p.height : max(0, out.end * p.stride_y - p.top)};
  }

  const Pooling& p;
  std::int64_t rows, count;
};

// A task owns a band of input rows: those from the first of its output rows' windows to the next
// band's. Windows that reach in from the band above are gone through again.
template <class T, class P, bool overlapping>
void max_pool_gradient_bands(const Pooling& p, const P* all_places, const T* dy_data, T* dx_data) {
  const std::int64_t row = p.width * p.channels, out_row = p.out_width * p.channels;
  const Bands bands(p, overlapping);
  const bool streamed = leaves_caches(gradient_bytes<T>(p));
  parallel_for(p.batch * bands.count, [&](std::int64_t task) {
    const std::int64_t n = task / bands.count;
    const Span out = bands.out_rows(task % bands.count), owned = bands.owned(out);
    const std::int64_t first = out.begin, last = out.end;
    const P* places = all_places + n * p.out_height * out_row;
    const T* dy = dy_data + n * p.out_height * out_row;
    T* const result = dx_data + (n * p.height + owned.begin) * row;
    const std::int64_t elements = (owned.end - owned.begin) * row;
    T* const staged = stage<T>(streamed, result, elements);
    T* const dx = staged - owned.begin * row;
    // Rows that windows add to, and elements that no window writes.
    std::int64_t zeroed = owned.begin;
    const auto zero_until = [&](std::int64_t end) {
      if (end <= zeroed) return;
      std::memset(dx + zeroed * row, 0, static_cast<std::size_t>((end - zeroed) * row) * sizeof(T));
      zeroed = end;
    };
    std::int64_t oy = first;
    while (overlapping && oy > 0 && (oy - 1) * p.stride_y - p.top + p.pool_height > owned.begin) {
      --oy;
    }
    const bool gaps = p.stride_x > p.pool_width ||
                      (p.out_width - 1) * p.stride_x - p.left + p.pool_width < p.width;
    for (; oy < last; ++oy) {
      const Span rows = window(oy, p.stride_y, p.top, p.pool_height, p.height);
      zero_until(overlapping || gaps ? min(rows.end, owned.end) : rows.begin);
      zeroed = max(zeroed, min(rows.end, owned.end));
      for (std::int64_t ox = 0; ox < p.out_width; ++ox) {
        const std::int64_t at = oy * out_row + ox * p.channels;
        max_window_gradient<T, P, overlapping>(Window(p, oy, ox), owned, row, p.channels,
                                               places + at, dy + at, dx);
      }
    }
    zero_until(owned.end);
    unstage<T>(staged, result, elements);
  });
}

template <class T, class P>
void max_pool_gradient(const Pooling& p, const void* places, const void* dy, void* dx) {
  const auto bands =
      overlapping(p) ? max_pool_gradient_bands<T, P, true> : max_pool_gradient_bands<T, P, false>;
  bands(p, static_cast<const P*>(places), static_cast<const T*>(dy), static_cast<T*>(dx));
}

template <class T, class P>
void max_pool_select(const Pooling& p, const void* places_data, const void* v_data, void* y_data) {
  const std::int64_t row = p.width * p.channels;
  over_rows(p.batch, p.out_height, p.stride_y * row, [&](std::int64_t n, std::int64_t oy) {
    const T* v = static_cast<const T*>(v_data) + n * p.height * row;
    for (std::int64_t ox = 0; ox < p.out_width; ++ox) {
      const std::int64_t at = ((n * p.out_height + oy) * p.out_width + ox) * p.channels;
      const P* places = static_cast<const P*>(places_data) + at;
      T* y = static_cast<T*>(y_data) + at;
      const Window seen(p, oy, ox);
      over_channels<T>(
          p.channels,
          [&](std::int64_t c) {
            Vec<T> taken{};
            const Mask<T> chosen = load_places<T>(places + c);
            seen.each([&](std::int64_t i, std::int64_t j, std::int64_t place) {
              const Vec<T> value = load(v + i * row + j * p.channels + c);
              taken = chosen == splat_place<T>(place) ? value : taken;
            });
            store(y + c, taken);
          },
          [&](std::int64_t c) {
            y[c] = 0;
            seen.each([&](std::int64_t i, std::int64_t j, std::int64_t place) {
              if (places[c] == static_cast<P>(place)) y[c] = v[i * row + j * p.channels + c];
            });
          });
    }
  });
}

template <class T>
void average_pool(const Pooling& p, const void* x_data, void* y_data) {
  const std::int64_t row = p.width * p.channels;
  over_rows(p.batch, p.out_height, p.stride_y * row, [&](std::int64_t n, std::int64_t oy) {
    const T* x = static_cast<const T*>(x_data) + n * p.height * row;
    T* y = static_cast<T*>(y_data) + (n * p.out_height + oy) * p.out_width * p.channels;
    const Span rows = window(oy, p.stride_y, p.top, p.pool_height, p.height);
    for (std::int64_t ox = 0; ox < p.out_width; ++ox, y += p.channels) {
      const Span columns = window(ox, p.stride_x, p.left, p.pool_width, p.width);
      const T count = static_cast<T>((rows.end - rows.begin) * (columns.end - columns.begin));
      over_channels<T>(
          p.channels,
          [&](std::int64_t c) {
            Vec<T> sum{};
            for (std::int64_t i = rows.begin; i < rows.end; ++i) {
              for (std::int64_t j = columns.begin; j < columns.end; ++j) {
                sum += load_ahead(x + i * row + j * p.channels + c);
              }
            }
            store(y + c, sum / count);
          },
          [&](std::int64_t c) {
            T sum = 0;
            for (std::int64_t i = rows.begin; i < rows.end; ++i) {
              for (std::int64_t j = columns.begin; j < columns.end; ++j) {
                sum += x[i * row + j * p.channels + c];
              }
            }
            y[c] = sum / count;
          });
    }
  });
}

// The outputs whose windows hold input i.
KCORE_INLINE Span windows_over(std::int64_t i, std::int64_t stride, std::int64_t low,
                               std::int64_t pool, std::int64_t outputs) {
  const std::int64_t first = i + low - pool + 1;
  return {first <= 0 ? 0 : ceil_div(first, stride), min(outputs, (i + low) / stride + 1)};
}

template <class T>
void average_pool_gradient(const Pooling& p, const void* dy_data, void* dx_data) {
  const std::int64_t row = p.width * p.channels, out_row = p.out_width * p.channels;
  const bool streamed = leaves_caches(gradient_bytes<T>(p));
  over_rows(p.batch, p.height, row, [&](std::int64_t n, std::int64_t iy) {
    const T* dy = static_cast<const T*>(dy_data) + n * p.out_height * out_row;
    T* const result = static_cast<T*>(dx_data) + (n * p.height + iy) * row;
    T* const staged = stage<T>(streamed, result, row);
    T* dx = staged;
    const Span rows = windows_over(iy, p.stride_y, p.top, p.pool_height, p.out_height);
    for (std::int64_t ix = 0; ix < p.width; ++ix, dx += p.channels) {
      const Span columns = windows_over(ix, p.stride_x, p.left, p.pool_width, p.out_width);
      if (rows.end - rows.begin == 1 && columns.end - columns.begin == 1) {
        const Span seen_rows = window(rows.begin, p.stride_y, p.top, p.pool_height, p.height);
        const Span seen = window(columns.begin, p.stride_x, p.left, p.pool_width, p.width);
        const std::int64_t count = (seen_rows.end - seen_rows.begin) * (seen.end - seen.begin);
        const T weight = T{1} / static_cast<T>(count);
        const T* source = dy + rows.begin * out_row + columns.begin * p.channels;
        over_channels<T>(
            p.channels, [&](std::int64_t c) { store(dx + c, load(source + c) * weight); },
            [&](std::int64_t c) { dx[c] = source[c] * weight; });
        continue;
      }
      std::memset(dx, 0, static_cast<std::size_t>(p.channels) * sizeof(T));
      for (std::int64_t oy = rows.begin; oy < rows.end; ++oy) {
        const Span seen_rows = window(oy, p.stride_y, p.top, p.pool_height, p.height);
        for (std::int64_t ox = columns.begin; ox < columns.end; ++ox) {
          const Span seen = window(ox, p.stride_x, p.left, p.pool_width, p.width);
          const std::int64_t count = (seen_rows.end - seen_rows.begin) * (seen.end - seen.begin);
          const T weight = T{1} / static_cast<T>(count);
          const T* source = dy + oy * out_row + ox * p.channels;
          over_channels<T>(
              p.channels,
              [&](std::int64_t c) { store(dx + c, load(dx + c) + load(source + c) * weight); },
              [&](std::int64_t c) { dx[c] += source[c] * weight; });
        }
      }
    }
    unstage<T>(staged, result, row);
  });
}

template <class T>
void resample(std::int64_t batch, std::int64_t channels, const ResamplingAxis& rows,
              const ResamplingAxis& columns, const void* x_data, void* y_data) {
  const std::int64_t row = columns.in_extent * channels, out_row = columns.out_extent * channels;
  over_rows(batch, rows.out_extent, out_row, [&](std::int64_t n, std::int64_t oy) {
    const T* x = static_cast<const T*>(x_data) + n * rows.in_extent * row;
    T* y = static_cast<T*>(y_data) + (n * rows.out_extent + oy) * out_row;
    const std::int64_t row_begin = rows.starts[oy], row_end = rows.starts[oy + 1];
    for (std::int64_t ox = 0; ox < columns.out_extent; ++ox, y += channels) {
      const std::int64_t begin = columns.starts[ox], end = columns.starts[ox + 1];
      over_channels<T>(
          channels,
          [&](std::int64_t c) {
            Vec<T> sum{};
            for (std::int64_t i = row_begin; i < row_end; ++i) {
              const T* line = x + rows.indices[i] * row + c;
              for (std::int64_t j = begin; j < end; ++j) {
                const T weight = static_cast<T>(rows.weights[i] * columns.weights[j]);
                sum += load(line + columns.indices[j] * channels) * weight;
              }
            }
            store(y + c, sum);
          },
          [&](std::int64_t c) {
            T sum = 0;
            for (std::int64_t i = row_begin; i < row_end; ++i) {
              const T* line = x + rows.indices[i] * row + c;
              for (std::int64_t j = begin; j < end; ++j) {
                const T weight = static_cast<T>(rows.weights[i] * columns.weights[j]);
                sum += line[columns.indices[j] * channels] * weight;
              }
            }
            y[c] = sum;
          });
    }
  });
}

template <class T>
ScratchNeed max_pool_gradient_scratch(const Pooling& p) {
  const Bands bands(p, overlapping(p));
  std::int64_t rows = 0;
  for (std::int64_t band = 0; band < bands.count; ++band) {
    const Span owned = bands.owned(bands.out_rows(band));
    rows = max(rows, owned.end - owned.begin);
  }
  return staging_need<T>(p.batch * bands.count, gradient_bytes<T>(p), rows * p.width * p.channels);
}

template <class T>
ScratchNeed average_pool_gradient_scratch(const Pooling& p) {
  return staging_need<T>(p.batch * p.height, gradient_bytes<T>(p), p.width * p.channels);
}

}  // namespace

const PoolingKernels pooling_table = {
    {max_pool<float>, max_pool<double>},
    {{max_pool_places<float, std::uint8_t>, max_pool_places<float, std::int32_t>},
     {max_pool_places<double, std::uint8_t>, max_pool_places<double, std::int32_t>}},
    {{max_pool_gradient<float, std::uint8_t>, max_pool_gradient<float, std::int32_t>},
     {max_pool_gradient<double, std::uint8_t>, max_pool_gradient<double, std::int32_t>}},
    {{max_pool_select<float, std::uint8_t>, max_pool_select<float, std::int32_t>},
     {max_pool_select<double, std::uint8_t>, max_pool_select<double, std::int32_t>}},
    {average_pool<float>, average_pool<double>},
    {average_pool_gradient<float>, average_pool_gradient<double>},
    {resample<float>, resample<double>},
    {max_pool_gradient_scratch<float>, max_pool_gradient_scratch<double>},
    {average_pool_gradient_scratch<float>, average_pool_gradient_scratch<double>},
};

}  // namespace kcore::KCORE_ISA_NAMESPACE
