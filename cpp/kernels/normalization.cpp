#include "kernels/normalization.h"

#include <cmath>

#include "kernels/extents.h"
#include "kernels/staging.h"
#include "simd/parallel.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

constexpr std::int64_t kColumns = 512;  // columns that a task combines

struct Blocks {
  std::int64_t rows, size, count;

  Blocks(std::int64_t all_rows, std::int64_t columns)
      : rows(all_rows),
        size(normalization_block(columns)),
        count(ceil_div(all_rows, normalization_block(columns))) {}
  std::int64_t begin(std::int64_t block) const { return block * size; }
  std::int64_t end(std::int64_t block) const { return min(rows, (block + 1) * size); }
};

template <int n>
struct Rows {
  static constexpr int value = n;
};

// f(c) on whole vectors of columns, then g(c) on single ones.
template <class T, class F, class G>
KCORE_INLINE void over_columns(std::int64_t columns, const F& f, const G& g) {
  std::int64_t c = 0;
  for (; c + kWidth<T> <= columns; c += kWidth<T>) f(c);
  for (; c < columns; ++c) g(c);
}

constexpr std::int64_t kStaged = 4096;  // elements that are written past the caches at once

KCORE_INLINE std::int64_t staged_rows(std::int64_t columns) { return 1 + kStaged / columns; }

// Calls f(r, row r of y) for the rows of a block, to write there.
template <class T, class F>
KCORE_INLINE void write_rows(const Blocks& blocks, std::int64_t block, std::int64_t columns, T* y,
                             const F& f) {
  const bool streamed = leaves_caches(blocks.rows * columns * static_cast<std::int64_t>(sizeof(T)));
  const std::int64_t end = blocks.end(block);
  const std::int64_t group = streamed ? staged_rows(columns) : blocks.size;
  for (std::int64_t first = blocks.begin(block); first < end; first += group) {
    const std::int64_t last = min(end, first + group), count = (last - first) * columns;
    T* to = stage<T>(streamed, y + first * columns, count);
    for (std::int64_t r = first; r < last; ++r) f(r, to + (r - first) * columns);
    unstage<T>(to, y + first * columns, count);
  }
}

// The sums over a block's rows of two quantities, which `vector` and `single` add for (row,
// column); the second is optional. Four rows at a time, so that memory is read along the rows.
template <class T, class Vector, class Single>
KCORE_INLINE void sum_block(std::int64_t begin, std::int64_t end, std::int64_t columns, T* first,
                            T* second, const Vector& vector, const Single& single) {
  if (columns == 0) return;
  std::memset(first, 0, static_cast<std::size_t>(columns) * sizeof(T));
  if (second != nullptr) std::memset(second, 0, static_cast<std::size_t>(columns) * sizeof(T));
  const auto add_rows = [&](std::int64_t r, auto rows) {
    over_columns<T>(
        columns,
        [&](std::int64_t c) {
          Vec<T> a = load(first + c), b{};
          if (second != nullptr) b = load(second + c);
#pragma GCC unroll 4
          for (int k = 0; k < rows.value; ++k) vector(r + k, c, a, b);
          store(first + c, a);
          if (second != nullptr) store(second + c, b);
        },
        [&](std::int64_t c) {
          T b = second != nullptr ? second[c] : T{0};
          for (int k = 0; k < rows.value; ++k) single(r + k, c, first[c], b);
          if (second != nullptr) second[c] = b;
        });
  };
  std::int64_t r = begin;
  for (; r + 4 <= end; r += 4) add_rows(r, Rows<4>{});
  for (; r < end; ++r) add_rows(r, Rows<1>{});
}

// Per block: `sums` holds the columns' means, `squares` their sums of squared deviations.
template <class T>
void block_statistics(const Blocks& blocks, std::int64_t block, std::int64_t columns, const T* x,
                      T* sums, T* squares) {
  const std::int64_t begin = blocks.begin(block), end = blocks.end(block);
  sum_block<T>(
      begin, end, columns, sums, static_cast<T*>(nullptr),
      [&](std::int64_t r, std::int64_t c, Vec<T>& a, Vec<T>&) {
        a += load_ahead(x + r * columns + c);
      },
      [&](std::int64_t r, std::int64_t c, T& a, T&) { a += x[r * columns + c]; });
  const T count = static_cast<T>(end - begin);
  for (std::int64_t c = 0; c < columns; ++c) sums[c] /= count;
  sum_block<T>(
      begin, end, columns, squares, static_cast<T*>(nullptr),
      [&](std::int64_t r, std::int64_t c, Vec<T>& a, Vec<T>&) {
        const Vec<T> d = load(x + r * columns + c) - load(sums + c);
        a += d * d;
      },
      [&](std::int64_t r, std::int64_t c, T& a, T&) {
        const T d = x[r * columns + c] - sums[c];
        a += d * d;
      });
}

template <class T>
void combine_statistics(const Blocks& blocks, std::int64_t columns, const T* partial, T* mean,
                        T* variance) {
  parallel_for(ceil_div(columns, kColumns), [&](std::int64_t task) {
    const std::int64_t first = task * kColumns, n = min(kColumns, columns - first);
    double average[kColumns] = {}, squares[kColumns] = {}, rows = 0;
    for (std::int64_t block = 0; block < blocks.count; ++block) {
      const T* means = partial + block * 2 * columns + first;
      const T* deviations = means + columns;
      const double more = static_cast<double>(blocks.end(block) - blocks.begin(block));
      const double before = rows, share = more / (rows + more);
      rows += more;
      for (std::int64_t c = 0; c < n; ++c) {
        const double d = static_cast<double>(means[c]) - average[c];
        average[c] += d * share;
        squares[c] += static_cast<double>(deviations[c]) + d * d * (before * share);
      }
    }
    for (std::int64_t c = 0; c < n; ++c) {
      variance[first + c] = static_cast<T>(squares[c] / rows);
      mean[first + c] = static_cast<T>(rows > 0 ? average[c] : squares[c] / rows);
    }
  });
}

// y = (x - mean) * scale + beta by blocks of rows.
template <class T, bool relu>
void normalize(const Blocks& blocks, std::int64_t columns, const T* x, const T* mean,
               const T* scale, const T* beta, T* y) {
  parallel_for(blocks.count, [&](std::int64_t block) {
    write_rows<T>(blocks, block, columns, y, [&](std::int64_t r, T* out) {
      const T* in = x + r * columns;
      over_columns<T>(
          columns,
          [&](std::int64_t c) {
            const Vec<T> centred = load_ahead(in + c) - load(mean + c);
            const Vec<T> value = centred * load(scale + c) + load(beta + c);
            store(out + c, relu ? rectify(value) : value);
          },
          [&](std::int64_t c) {
            const T value = (in[c] - mean[c]) * scale[c] + beta[c];
            out[c] = relu ? rectify(value) : value;
          });
    });
  });
}

template <class T>
void batch_scale(std::int64_t columns, double epsilon, const T* gamma, const T* variance,
                 T* scale) {
  for (std::int64_t c = 0; c < columns; ++c) {
    scale[c] = gamma[c] / __builtin_sqrt(variance[c] + static_cast<T>(epsilon));
  }
}

template <class T>
void batch_norm_training(std::int64_t rows, std::int64_t columns, double epsilon, bool relu,
                         const void* x, const void* gamma, const void* beta, void* y, void* mean,
                         void* variance, std::byte* workspace) {
  const Blocks blocks(rows, columns);
  T* partial = reinterpret_cast<T*>(workspace);
  parallel_for(blocks.count, [&](std::int64_t block) {
    T* sums = partial + block * 2 * columns;
    block_statistics(blocks, block, columns, static_cast<const T*>(x), sums, sums + columns);
  });
  combine_statistics(blocks, columns, partial, static_cast<T*>(mean), static_cast<T*>(variance));
  T* scale = partial + blocks.count * 2 * columns;
  batch_scale(columns, epsilon, static_cast<const T*>(gamma), static_cast<const T*>(variance),
              scale);
  const auto apply = relu ? normalize<T, true> : normalize<T, false>;
  apply(blocks, columns, static_cast<const T*>(x), static_cast<const T*>(mean), scale,
        static_cast<const T*>(beta), static_cast<T*>(y));
}

template <class T>
void batch_norm_inference(std::int64_t rows, std::int64_t columns, double epsilon, const void* x,
                          const void* gamma, const void* beta, const void* mean,
                          const void* variance, void* y, std::byte* workspace) {
  T* scale = reinterpret_cast<T*>(workspace);
  batch_scale(columns, epsilon, static_cast<const T*>(gamma), static_cast<const T*>(variance),
              scale);
  normalize<T, false>(Blocks(rows, columns), columns, static_cast<const T*>(x),
                      static_cast<const T*>(mean), scale, static_cast<const T*>(beta),
                      static_cast<T*>(y));
}

// The sums over all rows, from those over the blocks.
template <class T>
void combine_sums(const Blocks& blocks, std::int64_t columns, const T* partial, T* first,
                  T* second) {
  parallel_for(ceil_div(columns, kColumns), [&](std::int64_t task) {
    const std::int64_t begin = task * kColumns, n = min(kColumns, columns - begin);
    double a[kColumns] = {}, b[kColumns] = {};
    for (std::int64_t block = 0; block < blocks.count; ++block) {
      const T* sums = partial + block * 2 * columns + begin;
      for (std::int64_t c = 0; c < n; ++c) a[c] += static_cast<double>(sums[c]);
      for (std::int64_t c = 0; c < n; ++c) b[c] += static_cast<double>(sums[columns + c]);
    }
    for (std::int64_t c = 0; c < n; ++c) {
      first[begin + c] = static_cast<T>(a[c]);
      second[begin + c] = static_cast<T>(b[c]);
    }
  });
}

template <class T>
void batch_norm_gradient(std::int64_t rows, std::int64_t columns, double epsilon,
                         const void* dy_data, const void* x_data, const void* gamma_data,
                         const void* mean_data, const void* variance_data, void* dx_data,
                         void* dgamma_data, void* dbeta_data, std::byte* workspace) {
  const T *dy = static_cast<const T*>(dy_data), *x = static_cast<const T*>(x_data);
  const T *gamma = static_cast<const T*>(gamma_data), *mean = static_cast<const T*>(mean_data);
  const T* variance = static_cast<const T*>(variance_data);
  T *dx = static_cast<T*>(dx_data), *dgamma = static_cast<T*>(dgamma_data);
  T* dbeta = static_cast<T*>(dbeta_data);
  const Blocks blocks(rows, columns);
  T* partial = reinterpret_cast<T*>(workspace);
  parallel_for(blocks.count, [&](std::int64_t block) {
    T* sums = partial + block * 2 * columns;
    sum_block<T>(
        blocks.begin(block), blocks.end(block), columns, sums, sums + columns,
        [&](std::int64_t r, std::int64_t c, Vec<T>& a, Vec<T>& b) {
          const Vec<T> g = load_ahead(dy + r * columns + c);
          a += g;
          b += g * (load_ahead(x + r * columns + c) - load(mean + c));
        },
        [&](std::int64_t r, std::int64_t c, T& a, T& b) {
          const T g = dy[r * columns + c];
          a += g;
          b += g * (x[r * columns + c] - mean[c]);
        });
  });
  combine_sums(blocks, columns, partial, dbeta, dgamma);
  // dx = scale * (dy - sum(dy) / rows) - slope * (x - mean), where scale is gamma / s, slope is
  // scale * sum(dy * (x - mean)) / (rows * s^2), and s^2 is variance + epsilon; dgamma still lacks
  // its division by s.
  T *scale = partial, *slope = partial + columns, *average = partial + 2 * columns;
  const T count = static_cast<T>(rows);
  for (std::int64_t c = 0; c < columns; ++c) {
    const T square = variance[c] + static_cast<T>(epsilon);
    const T inverse = T{1} / __builtin_sqrt(square);
    scale[c] = gamma[c] * inverse;
    slope[c] = scale[c] * (dgamma[c] / (count * square));
    average[c] = dbeta[c] / count;
    dgamma[c] *= inverse;
  }
  parallel_for(blocks.count, [&](std::int64_t block) {
    write_rows<T>(blocks, block, columns, dx, [&](std::int64_t r, T* out) {
      const T *g = dy + r * columns, *in = x + r * columns;
      over_columns<T>(
          columns,
          [&](std::int64_t c) {
            const Vec<T> centred = load_ahead(in + c) - load(mean + c);
            const Vec<T> gradient = load_ahead(g + c) - load(average + c);
            store(out + c, gradient * load(scale + c) - centred * load(slope + c));
          },
          [&](std::int64_t c) {
            out[c] = (g[c] - average[c]) * scale[c] - (in[c] - mean[c]) * slope[c];
          });
    });
  });
}

// Sum over a row of what the two functions give, four vectors at once.
template <class T, class F, class G>
KCORE_INLINE T sum_row(std::int64_t columns, const F& f, const G& g) {
  constexpr std::int64_t width = kWidth<T>;
  Vec<T> sums[4] = {};
  std::int64_t c = 0;
  for (; c + 4 * width <= columns; c += 4 * width) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) sums[k] += f(c + k * width);
  }
  for (; c + width <= columns; c += width) sums[0] += f(c);
  T rest = 0;
  for (; c < columns; ++c) rest += g(c);
  return horizontal_sum<T>((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

// Two sums over a row, which the functions add to.
template <class T, class Vector, class Single>
KCORE_INLINE void sum_row_twice(std::int64_t columns, T& first, T& second, const Vector& vector,
                                const Single& single) {
  constexpr std::int64_t width = kWidth<T>;
  Vec<T> a[2] = {}, b[2] = {};
  std::int64_t c = 0;
  for (; c + 2 * width <= columns; c += 2 * width) {
    vector(c, a[0], b[0]);
    vector(c + width, a[1], b[1]);
  }
  for (; c + width <= columns; c += width) vector(c, a[0], b[0]);
  first = second = 0;
  for (; c < columns; ++c) single(c, first, second);
  first += horizontal_sum<T>(a[0] + a[1]);
  second += horizontal_sum<T>(b[0] + b[1]);
}

template <class T>
void layer_norm(std::int64_t rows, std::int64_t columns, double epsilon, const void* x_data,
                const void* gamma_data, const void* beta_data, void* y_data, void* mean_data,
                void* inverse_data) {
  const T *gamma = static_cast<const T*>(gamma_data), *beta = static_cast<const T*>(beta_data);
  const T count = static_cast<T>(columns);
  const Blocks blocks(rows, columns);
  parallel_for(blocks.count, [&](std::int64_t block) {
    write_rows<T>(blocks, block, columns, static_cast<T*>(y_data), [&](std::int64_t r, T* y) {
      const T* x = static_cast<const T*>(x_data) + r * columns;
      const T mean = sum_row<T>(
                         columns, [&](std::int64_t c) { return load_ahead(x + c); },
                         [&](std::int64_t c) { return x[c]; }) /
                     count;
      const T variance = sum_row<T>(
                             columns,
                             [&](std::int64_t c) {
                               const Vec<T> d = load(x + c) - mean;
                               return d * d;
                             },
                             [&](std::int64_t c) { return (x[c] - mean) * (x[c] - mean); }) /
                         count;
      const T inverse = T{1} / __builtin_sqrt(variance + static_cast<T>(epsilon));
      static_cast<T*>(mean_data)[r] = mean;
      static_cast<T*>(inverse_data)[r] = inverse;
      over_columns<T>(
          columns,
          [&](std::int64_t c) {
            store(y + c, (load(x + c) - mean) * inverse * load(gamma + c) + load(beta + c));
          },
          [&](std::int64_t c) { y[c] = (x[c] - mean) * inverse * gamma[c] + beta[c]; });
    });
  });
}

template <class T>
void layer_norm_gradient(std::int64_t rows, std::int64_t columns, const void* dy_data,
                         const void* x_data, const void* gamma_data, const void* mean_data,
                         const void* inverse_data, void* dx_data, void* dgamma_data,
                         void* dbeta_data, std::byte* workspace) {
  const T* gamma = static_cast<const T*>(gamma_data);
  const T count = static_cast<T>(columns);
  const Blocks blocks(rows, columns);
  T* partial = reinterpret_cast<T*>(workspace);
  parallel_for(blocks.count, [&](std::int64_t block) {
    T *dbeta = partial + block * 2 * columns, *dgamma = dbeta + columns;
    if (columns > 0) std::memset(dbeta, 0, static_cast<std::size_t>(2 * columns) * sizeof(T));
    write_rows<T>(blocks, block, columns, static_cast<T*>(dx_data), [&](std::int64_t r, T* dx) {
      const T* dy = static_cast<const T*>(dy_data) + r * columns;
      const T* x = static_cast<const T*>(x_data) + r * columns;
      const T mean = static_cast<const T*>(mean_data)[r];
      const T inverse = static_cast<const T*>(inverse_data)[r];
      T average, slope;
      sum_row_twice<T>(
          columns, average, slope,
          [&](std::int64_t c, Vec<T>& a, Vec<T>& b) {
            const Vec<T> share = load_ahead(dy + c) * load(gamma + c);
            a += share;
            b += share * (load_ahead(x + c) - mean);
          },
          [&](std::int64_t c, T& a, T& b) {
            const T share = dy[c] * gamma[c];
            a += share;
            b += share * (x[c] - mean);
          });
      average /= count;
      slope *= inverse / count;
      over_columns<T>(
          columns,
          [&](std::int64_t c) {
            const Vec<T> g = load(dy + c), normal = (load(x + c) - mean) * inverse;
            store(dbeta + c, load(dbeta + c) + g);
            store(dgamma + c, load(dgamma + c) + g * normal);
            store(dx + c, (g * load(gamma + c) - average - normal * slope) * inverse);
          },
          [&](std::int64_t c) {
            const T normal = (x[c] - mean) * inverse;
            dbeta[c] += dy[c];
            dgamma[c] += dy[c] * normal;
            dx[c] = (dy[c] * gamma[c] - average - normal * slope) * inverse;
          });
    });
  });
  combine_sums(blocks, columns, partial, static_cast<T*>(dbeta_data), static_cast<T*>(dgamma_data));
}

template <class T>
ScratchNeed scratch(std::int64_t rows, std::int64_t columns) {
  if (rows * columns == 0) return {};
  const Blocks blocks(rows, columns);
  const std::int64_t staged = min(min(rows, blocks.size), staged_rows(columns));
  return staging_need<T>(blocks.count, rows * columns * std::int64_t{sizeof(T)}, staged * columns);
}

}  // namespace

const NormalizationKernels normalization_table = {
    {batch_norm_training<float>, batch_norm_training<double>},
    {batch_norm_gradient<float>, batch_norm_gradient<double>},
    {batch_norm_inference<float>, batch_norm_inference<double>},
    {layer_norm<float>, layer_norm<double>},
    {layer_norm_gradient<float>, layer_norm_gradient<double>},
    {scratch<float>, scratch<double>},
};

}  // namespace kcore::KCORE_ISA_NAMESPACE
