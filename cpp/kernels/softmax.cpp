#include "kernels/softmax.h"

#include "simd/math.h"
#include "simd/parallel.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

constexpr std::int64_t kSequential = kParallelElements / 4;  // exponentials take longer
constexpr std::int64_t kTask = 4 * 1024;                     // elements of a task

template <class F>
void for_rows(std::int64_t rows, std::int64_t columns, const F& f) {
  const std::int64_t grain = columns < kTask ? (columns > 0 ? kTask / columns : kTask) : 1;
  if (rows * columns <= kSequential) {
    for (std::int64_t row = 0; row < rows; ++row) f(row);
    return;
  }
  parallel_for((rows + grain - 1) / grain, [&](std::int64_t task) {
    const std::int64_t end = (task + 1) * grain < rows ? (task + 1) * grain : rows;
    for (std::int64_t row = task * grain; row < end; ++row) f(row);
  });
}

// Vec<T> that adds up, block by block, so that long rows stay accurate.
template <class T>
struct BlockedSum {
  Vec<T> block{}, total{};
  std::int64_t added = 0;

  __attribute__((always_inline)) void add(Vec<T> v) {
    block += v;
    if ((++added & 63) == 0) {
      total += block;
      block = Vec<T>{};
    }
  }
  T value() const { return horizontal_sum<T>(total + block); }
};

template <class T>
KCORE_INLINE Vec<T> lane_numbers() {
  T lanes[kWidth<T>];
  for (std::int64_t i = 0; i < kWidth<T>; ++i) lanes[i] = static_cast<T>(i);
  Vec<T> v;
  std::memcpy(&v, lanes, sizeof(v));
  return v;
}

// v with the lanes from n on replaced.
template <class T>
KCORE_INLINE Vec<T> keep(Vec<T> v, std::int64_t n, T other) {
  return lane_numbers<T>() < static_cast<T>(n) ? v : splat(other);
}

// Calls f(vector, first column, lanes in use) over a row; the lanes of the last vector that lie
// beyond the row hold `padding`.
template <class T, class F>
KCORE_INLINE void for_vectors(const T* x, std::int64_t columns, T padding, const F& f) {
  std::int64_t i = 0;
  for (; i + kWidth<T> <= columns; i += kWidth<T>) f(load(x + i), i, kWidth<T>);
  if (i < columns) {
    const std::int64_t n = columns - i;
    f(keep<T>(load_partial(x + i, n), n, padding), i, n);
  }
}

template <class T>
KCORE_INLINE void store_lanes(T* y, Vec<T> v, std::int64_t n) {
  if (n == kWidth<T>) {
    store<T>(y, v);
  } else {
    store_partial<T>(y, v, n);
  }
}

template <class T>
constexpr T kLowest = -static_cast<T>(kInfinity);

template <class T>
KCORE_INLINE T row_maximum(const T* x, std::int64_t columns) {
  Vec<T> best = splat(kLowest<T>);
  for_vectors<T>(
      x, columns,
      kLowest<T>, [&](Vec<T> v, std::int64_t, std::int64_t) __attribute__((always_inline)) {
        best = maximum(best, v);
      });
  return fold_lanes<T>(
      best, [](Vec<T> a, Vec<T> b) __attribute__((always_inline)) { return maximum(a, b); });
}

template <class T>
KCORE_INLINE T scalar_log(T x) {
  T lanes[kWidth<T>];
  const Vec<T> v = log(splat(x));
  std::memcpy(lanes, &v, sizeof(v));
  return lanes[0];
}

template <class T>
KCORE_INLINE T row_exp_sum(const T* x, std::int64_t columns, T top) {
  BlockedSum<T> sum;
  for_vectors<T>(
      x, columns,
      kLowest<T>, [&](Vec<T> v, std::int64_t, std::int64_t) __attribute__((always_inline)) {
        sum.add(exp(v - top));
      });
  return sum.value();
}

template <class T>
void softmax_row(const T* x, T* y, std::int64_t columns) {
  const T top = row_maximum<T>(x, columns);
  BlockedSum<T> sum;
  for_vectors<T>(
      x, columns,
      kLowest<T>, [&](Vec<T> v, std::int64_t i, std::int64_t n) __attribute__((always_inline)) {
        const Vec<T> e = exp(v - top);
        sum.add(e);
        store_lanes<T>(y + i, e, n);
      });
  const T scale = T(1) / sum.value();
  for_vectors<T>(
      y, columns,
      T(0), [&](Vec<T> v, std::int64_t i, std::int64_t n) __attribute__((always_inline)) {
        store_lanes<T>(y + i, v * scale, n);
      });
}

template <class T>
void log_softmax_row(const T* x, T* y, std::int64_t columns) {
  const T top = row_maximum<T>(x, columns);
  const T log_sum = scalar_log<T>(row_exp_sum<T>(x, columns, top));
  for_vectors<T>(
      x, columns,
      T(0), [&](Vec<T> v, std::int64_t i, std::int64_t n) __attribute__((always_inline)) {
        store_lanes<T>(y + i, (v - top) - log_sum, n);
      });
}

template <class T>
void softmax_gradient_row(const T* y, const T* dy, T* dx, std::int64_t columns) {
  BlockedSum<T> sum;
  for_vectors<T>(
      y, columns,
      T(0), [&](Vec<T> v, std::int64_t i, std::int64_t n) __attribute__((always_inline)) {
        sum.add(v * (n == kWidth<T> ? load(dy + i) : load_partial(dy + i, n)));
      });
  const T dot = sum.value();
  for_vectors<T>(
      y, columns,
      T(0), [&](Vec<T> v, std::int64_t i, std::int64_t n) __attribute__((always_inline)) {
        const Vec<T> d = n == kWidth<T> ? load(dy + i) : load_partial(dy + i, n);
        store_lanes<T>(dx + i, v * (d - dot), n);
      });
}

template <class T>
void log_softmax_gradient_row(const T* y, const T* dy, T* dx, std::int64_t columns) {
  BlockedSum<T> sum;
  for_vectors<T>(
      dy, columns, T(0), [&](Vec<T> v, std::int64_t, std::int64_t) __attribute__((always_inline)) {
        sum.add(v);
      });
  const T total = sum.value();
  for_vectors<T>(
      y, columns,
      T(0), [&](Vec<T> v, std::int64_t i, std::int64_t n) __attribute__((always_inline)) {
        const Vec<T> d = n == kWidth<T> ? load(dy + i) : load_partial(dy + i, n);
        store_lanes<T>(dx + i, d - exp(v) * total, n);
      });
}

// The class of a row, or -1 if the label isn't one.
KCORE_INLINE std::int64_t class_of(const Labels& labels, std::int64_t row, std::int64_t columns) {
  const std::int64_t label = labels.type == ElementType::int32
                                 ? static_cast<const std::int32_t*>(labels.data)[row]
                                 : static_cast<const std::int64_t*>(labels.data)[row];
  return label >= 0 && label < columns ? label : -1;
}

constexpr bool is_dense(const Labels& labels) {
  return labels.type == ElementType::float32 || labels.type == ElementType::float64;
}

template <class T>
void cross_entropy_row(const T* x, const Labels& labels, std::int64_t row, T* loss, T* log_sum,
                       std::int64_t columns) {
  const T top = row_maximum<T>(x, columns);
  const T log_of_sum = scalar_log<T>(row_exp_sum<T>(x, columns, top));
  log_sum[row] = top + log_of_sum;
  if (!is_dense(labels)) {
    const std::int64_t label = class_of(labels, row, columns);
    loss[row] = label < 0 ? static_cast<T>(kNan) : log_of_sum - (x[label] - top);
    return;
  }
  const T* target = static_cast<const T*>(labels.data) + row * columns;
  BlockedSum<T> sum;
  for_vectors<T>(
      x, columns,
      T(0), [&](Vec<T> v, std::int64_t i, std::int64_t n) __attribute__((always_inline)) {
        const Vec<T> t = n == kWidth<T> ? load(target + i) : load_partial(target + i, n);
        // A class of no weight counts for nothing, even at a logit of -infinity.
        sum.add(t == T(0) ? Vec<T>{} : t * (log_of_sum - (v - top)));
      });
  loss[row] = sum.value();
}

template <class T>
void cross_entropy_gradient_row(const T* x, const Labels& labels, std::int64_t row, T log_sum,
                                T dloss, T* dx, std::int64_t columns) {
  const T* target = nullptr;
  std::int64_t label = -1;
  T weight = dloss;
  if (is_dense(labels)) {
    target = static_cast<const T*>(labels.data) + row * columns;
    BlockedSum<T> sum;
    for_vectors<T>(
        target, columns,
        T(0), [&](Vec<T> v, std::int64_t, std::int64_t) __attribute__((always_inline)) {
          sum.add(v);
        });
    weight = dloss * sum.value();
  } else {
    label = class_of(labels, row, columns);
    if (label < 0) weight = static_cast<T>(kNan);
  }
  for_vectors<T>(
      x, columns,
      T(0), [&](Vec<T> v, std::int64_t i, std::int64_t n) __attribute__((always_inline)) {
        Vec<T> d = exp(v - log_sum) * weight;
        if (target != nullptr) {
          d -= dloss * (n == kWidth<T> ? load(target + i) : load_partial(target + i, n));
        }
        store_lanes<T>(dx + i, d, n);
      });
  if (label >= 0) dx[label] -= dloss;
}

// ---- Narrow rows: a vector holds one column of kWidth<T> rows ----

constexpr std::int64_t kNarrow = 32;  // columns

// A block of rows, transposed; lanes of rows that do not exist hold zero.
template <class T>
struct Tile {
  alignas(64) T lanes[kNarrow * kWidth<T>];

  void read(const T* x, std::int64_t rows, std::int64_t columns) {
    for (std::int64_t j = 0; j < columns; ++j) {
      T* column = lanes + j * kWidth<T>;
      for (std::int64_t row = 0; row < rows; ++row) column[row] = x[row * columns + j];
      for (std::int64_t row = rows; row < kWidth<T>; ++row) column[row] = T(0);
    }
  }

  void write(T* y, std::int64_t rows, std::int64_t columns) const {
    for (std::int64_t j = 0; j < columns; ++j) {
      const T* column = lanes + j * kWidth<T>;
      for (std::int64_t row = 0; row < rows; ++row) y[row * columns + j] = column[row];
    }
  }

  Vec<T> get(std::int64_t j) const { return load(lanes + j * kWidth<T>); }
  void set(std::int64_t j, Vec<T> v) { store<T>(lanes + j * kWidth<T>, v); }
};

template <class T>
KCORE_INLINE Vec<T> tile_maximum(const Tile<T>& x, std::int64_t columns) {
  Vec<T> top = splat(kLowest<T>);
  for (std::int64_t j = 0; j < columns; ++j) top = maximum(top, x.get(j));
  return top;
}

// Calls f(first row, number of rows) for blocks of at most a vector's width.
template <class T, class F>
void for_tiles(std::int64_t rows, std::int64_t columns, const F& f) {
  const std::int64_t tiles = (rows + kWidth<T> - 1) / kWidth<T>;
  const std::int64_t grain = 1 + kTask / (columns * kWidth<T>);
  for_tasks(rows * columns > kSequential, (tiles + grain - 1) / grain, [&](std::int64_t task) {
    const std::int64_t end = (task + 1) * grain < tiles ? (task + 1) * grain : tiles;
    for (std::int64_t tile = task * grain; tile < end; ++tile) {
      const std::int64_t first = tile * kWidth<T>, left = rows - first;
      f(first, left < kWidth<T> ? left : kWidth<T>);
    }
  });
}

template <class T>
void narrow_softmax(const void* x, void* y, std::int64_t rows, std::int64_t columns) {
  for_tiles<T>(rows, columns, [&](std::int64_t first, std::int64_t used) {
    Tile<T> tile;
    tile.read(static_cast<const T*>(x) + first * columns, used, columns);
    const Vec<T> top = tile_maximum(tile, columns);
    Vec<T> sum{};
    for (std::int64_t j = 0; j < columns; ++j) {
      const Vec<T> e = exp(tile.get(j) - top);
      sum += e;
      tile.set(j, e);
    }
    for (std::int64_t j = 0; j < columns; ++j) tile.set(j, tile.get(j) / sum);
    tile.write(static_cast<T*>(y) + first * columns, used, columns);
  });
}

template <class T>
KCORE_INLINE Vec<T> tile_log_sum(const Tile<T>& x, Vec<T> top, std::int64_t columns) {
  Vec<T> sum{};
  for (std::int64_t j = 0; j < columns; ++j) sum += exp(x.get(j) - top);
  return log(sum);
}

template <class T>
void narrow_log_softmax(const void* x, void* y, std::int64_t rows, std::int64_t columns) {
  for_tiles<T>(rows, columns, [&](std::int64_t first, std::int64_t used) {
    Tile<T> tile;
    tile.read(static_cast<const T*>(x) + first * columns, used, columns);
    const Vec<T> top = tile_maximum(tile, columns);
    const Vec<T> log_sum = tile_log_sum(tile, top, columns);
    for (std::int64_t j = 0; j < columns; ++j) tile.set(j, (tile.get(j) - top) - log_sum);
    tile.write(static_cast<T*>(y) + first * columns, used, columns);
  });
}

template <class T>
void narrow_cross_entropy(const T* x, const Labels& labels, T* losses, T* log_sums,
                          std::int64_t rows, std::int64_t columns) {
  for_tiles<T>(rows, columns, [&](std::int64_t first, std::int64_t used) {
    Tile<T> tile;
    tile.read(x + first * columns, used, columns);
    const Vec<T> top = tile_maximum(tile, columns);
    const Vec<T> log_sum = tile_log_sum(tile, top, columns);
    store_lanes<T>(log_sums + first, top + log_sum, used);
    Vec<T> loss{};
    if (is_dense(labels)) {
      Tile<T> target;
      target.read(static_cast<const T*>(labels.data) + first * columns, used, columns);
      for (std::int64_t j = 0; j < columns; ++j) {
        const Vec<T> t = target.get(j);
        // A class of no weight counts for nothing, even at a logit of -infinity.
        loss += t == T(0) ? Vec<T>{} : t * (log_sum - (tile.get(j) - top));
      }
    } else {
      T chosen[kWidth<T>] = {};
      for (std::int64_t row = 0; row < used; ++row) {
        const std::int64_t label = class_of(labels, first + row, columns);
        chosen[row] = label < 0 ? static_cast<T>(kNan) : tile.lanes[label * kWidth<T> + row];
      }
      loss = log_sum - (load(chosen) - top);
    }
    store_lanes<T>(losses + first, loss, used);
  });
}

template <class T, class F>
void map_rows(const void* x, void* y, std::int64_t rows, std::int64_t columns, const F& f) {
  for_rows(rows, columns, [&](std::int64_t row) {
    f(static_cast<const T*>(x) + row * columns, static_cast<T*>(y) + row * columns, columns);
  });
}

template <class T, class F>
void map_rows(const void* y, const void* dy, void* dx, std::int64_t rows, std::int64_t columns,
              const F& f) {
  for_rows(rows, columns, [&](std::int64_t row) {
    f(static_cast<const T*>(y) + row * columns, static_cast<const T*>(dy) + row * columns,
      static_cast<T*>(dx) + row * columns, columns);
  });
}

KCORE_INLINE bool is_narrow(std::int64_t columns) { return columns >= 1 && columns <= kNarrow; }

void softmax(ElementType type, const void* x, void* y, std::int64_t rows, std::int64_t columns) {
  if (is_narrow(columns)) {
    return type == ElementType::float32 ? narrow_softmax<float>(x, y, rows, columns)
                                        : narrow_softmax<double>(x, y, rows, columns);
  }
  return type == ElementType::float32 ? map_rows<float>(x, y, rows, columns, softmax_row<float>)
                                      : map_rows<double>(x, y, rows, columns, softmax_row<double>);
}

void log_softmax(ElementType type, const void* x, void* y, std::int64_t rows,
                 std::int64_t columns) {
  if (is_narrow(columns)) {
    return type == ElementType::float32 ? narrow_log_softmax<float>(x, y, rows, columns)
                                        : narrow_log_softmax<double>(x, y, rows, columns);
  }
  return type == ElementType::float32
             ? map_rows<float>(x, y, rows, columns, log_softmax_row<float>)
             : map_rows<double>(x, y, rows, columns, log_softmax_row<double>);
}

void softmax_gradient(ElementType type, const void* y, const void* dy, void* dx, std::int64_t rows,
                      std::int64_t columns) {
  return type == ElementType::float32
             ? map_rows<float>(y, dy, dx, rows, columns, softmax_gradient_row<float>)
             : map_rows<double>(y, dy, dx, rows, columns, softmax_gradient_row<double>);
}

void log_softmax_gradient(ElementType type, const void* y, const void* dy, void* dx,
                          std::int64_t rows, std::int64_t columns) {
  return type == ElementType::float32
             ? map_rows<float>(y, dy, dx, rows, columns, log_softmax_gradient_row<float>)
             : map_rows<double>(y, dy, dx, rows, columns, log_softmax_gradient_row<double>);
}

template <class T>
void cross_entropy_of(const void* logits, Labels labels, void* losses, void* log_sums,
                      std::int64_t rows, std::int64_t columns) {
  if (is_narrow(columns)) {
    return narrow_cross_entropy(static_cast<const T*>(logits), labels, static_cast<T*>(losses),
                                static_cast<T*>(log_sums), rows, columns);
  }
  for_rows(rows, columns, [&](std::int64_t row) {
    cross_entropy_row<T>(static_cast<const T*>(logits) + row * columns, labels, row,
                         static_cast<T*>(losses), static_cast<T*>(log_sums), columns);
  });
}

void cross_entropy(ElementType type, const void* logits, Labels labels, void* losses,
                   void* log_sums, std::int64_t rows, std::int64_t columns) {
  return type == ElementType::float32
             ? cross_entropy_of<float>(logits, labels, losses, log_sums, rows, columns)
             : cross_entropy_of<double>(logits, labels, losses, log_sums, rows, columns);
}

template <class T>
void cross_entropy_gradient_of(const void* logits, Labels labels, const void* log_sums,
                               const void* dlosses, void* dlogits, std::int64_t rows,
                               std::int64_t columns) {
  for_rows(rows, columns, [&](std::int64_t row) {
    cross_entropy_gradient_row<T>(static_cast<const T*>(logits) + row * columns, labels, row,
                                  static_cast<const T*>(log_sums)[row],
                                  static_cast<const T*>(dlosses)[row],
                                  static_cast<T*>(dlogits) + row * columns, columns);
  });
}

void cross_entropy_gradient(ElementType type, const void* logits, Labels labels,
                            const void* log_sums, const void* dlosses, void* dlogits,
                            std::int64_t rows, std::int64_t columns) {
  return type == ElementType::float32
             ? cross_entropy_gradient_of<float>(logits, labels, log_sums, dlosses, dlogits, rows,
                                                columns)
             : cross_entropy_gradient_of<double>(logits, labels, log_sums, dlosses, dlogits, rows,
                                                 columns);
}

}  // namespace

const SoftmaxKernels softmax_table = {softmax,          log_softmax,
                                      softmax_gradient, log_softmax_gradient,
                                      cross_entropy,    cross_entropy_gradient};

}  // namespace kcore::KCORE_ISA_NAMESPACE
