#include "kernels/indexing.h"

#include "kernels/extents.h"
#include "simd/parallel.h"
#include "simd/vec.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

constexpr std::int64_t kGrain = 32768;         // elements of a task
constexpr std::int64_t kGrainBytes = 1 << 17;  // the same in bytes
constexpr std::int64_t kInlineCopy = 128;      // elements below which a call to copy costs more
constexpr std::int64_t kColumns = 256;         // columns that one task sums

KCORE_INLINE std::int64_t read_index(const Indices& indices, std::int64_t i) {
  return indices.bytes == 4 ? static_cast<const std::int32_t*>(indices.data)[i]
                            : static_cast<const std::int64_t*>(indices.data)[i];
}

// The row that index i means, or -1.
KCORE_INLINE std::int64_t resolve(const Indices& indices, std::int64_t i, std::int64_t extent) {
  std::int64_t index = read_index(indices, i);
  if (index < 0) index += extent;
  return index >= 0 && index < extent ? index : -1;
}

// Rows lie anywhere, so the processor can't guess the next one: ask for those to come.
constexpr std::int64_t kRowsAhead = 8;
constexpr std::int64_t kAheadBytes = 512;  // of a row; its rest is read in order

KCORE_INLINE void prefetch_row(const void* row, std::int64_t bytes) {
  const char* p = static_cast<const char*>(row);
  for (std::int64_t i = 0; i < min(bytes, kAheadBytes); i += 64) __builtin_prefetch(p + i);
  __builtin_prefetch(p + min(bytes, kAheadBytes) - 1);
}

template <class T>
void gather_elements(const IndexedAxis& axis, const void* x, Indices indices, const void* missing,
                     void* out) {
  T hole;
  std::memcpy(&hole, missing, sizeof(T));
  const std::int64_t inner = axis.inner, rows = axis.outer * axis.count;
  if (rows * inner == 0) return;
  const std::int64_t width = min(inner, kGrain), pieces = ceil_div(inner, width);
  const std::int64_t grain = pieces > 1 ? 1 : max(1, kGrain / inner);
  parallel_for(ceil_div(rows, grain) * pieces, [&](std::int64_t task) {
    const std::int64_t column = task % pieces * width;
    const std::int64_t n = min(width, inner - column);
    const std::int64_t first = task / pieces * grain, last = min(rows, first + grain);
    std::int64_t o = first / axis.count, j = first % axis.count;
    for (std::int64_t row = first; row < last; ++row) {
      const std::int64_t index = resolve(indices, j, axis.extent);
      if (j + kRowsAhead < axis.count) {
        const std::int64_t next = resolve(indices, j + kRowsAhead, axis.extent);
        if (next >= 0) {
          prefetch_row(static_cast<const T*>(x) + (o * axis.extent + next) * inner + column,
                       n * static_cast<std::int64_t>(sizeof(T)));
        }
      }
      T* y = static_cast<T*>(out) + row * inner + column;
      const T* source = static_cast<const T*>(x) + (o * axis.extent + index) * inner + column;
      if (index < 0) {
        for (std::int64_t i = 0; i < n; ++i) y[i] = hole;
      } else if (n <= kInlineCopy) {
        std::int64_t i = 0;
        if constexpr (sizeof(T) >= 4) {
          for (; i + kWidth<T> <= n; i += kWidth<T>) store(y + i, load(source + i));
        }
        for (; i < n; ++i) y[i] = source[i];
      } else {
        std::memcpy(y, source, static_cast<std::size_t>(n) * sizeof(T));
      }
      if (++j == axis.count) j = 0, ++o;
    }
  });
}

void gather(const IndexedAxis& axis, const void* x, Indices indices, const void* missing,
            std::int64_t element_bytes, void* out) {
  switch (element_bytes) {
    case 1:
      return gather_elements<std::uint8_t>(axis, x, indices, missing, out);
    case 4:
      return gather_elements<std::uint32_t>(axis, x, indices, missing, out);
    default:
      return gather_elements<std::uint64_t>(axis, x, indices, missing, out);
  }
}

// Integer sums wrap around.
template <class T>
struct Sum {
  using type = T;
};
template <>
struct Sum<std::int32_t> {
  using type = std::uint32_t;
};
template <>
struct Sum<std::int64_t> {
  using type = std::uint64_t;
};

template <class T>
KCORE_INLINE void add_row(const T* x, T* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] += x[i];
}

// A counting sort lists every output row's updates in order, so that a task can own rows.
template <class T>
void scatter_add(const IndexedAxis& axis, const void* updates, Indices indices,
                 std::int64_t* workspace, void* out) {
  using S = typename Sum<T>::type;
  const std::int64_t extent = axis.extent, inner = axis.inner, count = axis.count;
  if (axis.outer * extent * inner == 0) return;
  std::int64_t* ends = workspace;  // ends[r]: where row r's updates end; ends[-1 + 1] is row 0's
  std::int64_t* order = workspace + extent + 1;
  for (std::int64_t r = 0; r <= extent; ++r) ends[r] = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    const std::int64_t row = resolve(indices, j, extent);
    if (row >= 0) ++ends[row + 1];
  }
  for (std::int64_t r = 0; r < extent; ++r) ends[r + 1] += ends[r];
  for (std::int64_t j = 0; j < count; ++j) {
    const std::int64_t row = resolve(indices, j, extent);
    if (row >= 0) order[ends[row]++] = j;
  }
  // Now ends[r] is the end of row r, and the beginning of row r + 1.
  const std::int64_t width = min(inner, kColumns), pieces = ceil_div(inner, width);
  const std::int64_t grain = min(extent, max(1, kGrain / (width * max(1, 1 + count / extent))));
  const std::int64_t groups = ceil_div(extent, grain);
  parallel_for(axis.outer * groups * pieces, [&](std::int64_t task) {
    const std::int64_t column = task % pieces * width;
    const std::int64_t n = min(width, inner - column);
    const std::int64_t first = task / pieces % groups * grain;
    const std::int64_t last = min(extent, first + grain);
    const std::int64_t o = task / pieces / groups;
    const S* x = static_cast<const S*>(updates) + o * count * inner + column;
    S* y = static_cast<S*>(out) + o * extent * inner + column;
    for (std::int64_t r = first; r < last; ++r) {
      std::int64_t k = r == 0 ? 0 : ends[r - 1];
      if (k == ends[r]) {
        std::memset(y + r * inner, 0, static_cast<std::size_t>(n) * sizeof(S));
        continue;
      }
      std::memcpy(y + r * inner, x + order[k] * inner, static_cast<std::size_t>(n) * sizeof(S));
      for (++k; k < ends[r]; ++k) add_row(x + order[k] * inner, y + r * inner, n);
    }
  });
}

void scatter_rows(std::int64_t rows, std::int64_t row_bytes, std::int64_t count,
                  const void* updates, Indices indices, void* out) {
  if (row_bytes == 0) return;
  const std::int64_t width = min(row_bytes, max(64, kGrainBytes / max(1, count)));
  // Tasks own columns: an index that comes twice is written twice, in order, by the same task.
  parallel_for(ceil_div(row_bytes, width), [&](std::int64_t task) {
    const std::int64_t column = task * width, n = min(width, row_bytes - column);
    for (std::int64_t j = 0; j < count; ++j) {
      const std::int64_t row = resolve(indices, j, rows);
      if (row < 0) continue;
      std::memcpy(static_cast<char*>(out) + row * row_bytes + column,
                  static_cast<const char*>(updates) + j * row_bytes + column,
                  static_cast<std::size_t>(n));
    }
  });
}

template <class T>
void take_along_axis_elements(const IndexedAxis& axis, const void* x, Indices indices,
                              const void* missing, void* out) {
  T hole;
  std::memcpy(&hole, missing, sizeof(T));
  const std::int64_t inner = axis.inner, total = axis.outer * axis.count * inner;
  parallel_for(ceil_div(total, kGrain), [&](std::int64_t task) {
    const std::int64_t first = task * kGrain, last = min(total, first + kGrain);
    std::int64_t i = first % inner, j = first / inner % axis.count;
    std::int64_t o = first / inner / axis.count;
    for (std::int64_t e = first; e < last; ++e) {
      const std::int64_t index = resolve(indices, e, axis.extent);
      static_cast<T*>(out)[e] =
          index < 0 ? hole : static_cast<const T*>(x)[(o * axis.extent + index) * inner + i];
      if (++i < inner) continue;
      i = 0;
      if (++j == axis.count) j = 0, ++o;
    }
  });
}

void take_along_axis(const IndexedAxis& axis, const void* x, Indices indices, const void* missing,
                     std::int64_t element_bytes, void* out) {
  switch (element_bytes) {
    case 1:
      return take_along_axis_elements<std::uint8_t>(axis, x, indices, missing, out);
    case 4:
      return take_along_axis_elements<std::uint32_t>(axis, x, indices, missing, out);
    default:
      return take_along_axis_elements<std::uint64_t>(axis, x, indices, missing, out);
  }
}

template <class T>
void scatter_add_along_axis(const IndexedAxis& axis, const void* updates, Indices indices,
                            void* out) {
  using S = typename Sum<T>::type;
  const std::int64_t inner = axis.inner, extent = axis.extent, count = axis.count;
  if (axis.outer * extent * inner == 0) return;
  const std::int64_t width = min(inner, kColumns), pieces = ceil_div(inner, width);
  const std::int64_t grain = pieces > 1 ? 1 : max(1, kGrain / (width * max(1, max(extent, count))));
  parallel_for(ceil_div(axis.outer, grain) * pieces, [&](std::int64_t task) {
    const std::int64_t column = task % pieces * width;
    const std::int64_t n = min(width, inner - column);
    const std::int64_t first = task / pieces * grain, last = min(axis.outer, first + grain);
    for (std::int64_t o = first; o < last; ++o) {
      S* y = static_cast<S*>(out) + o * extent * inner + column;
      for (std::int64_t r = 0; r < extent; ++r) {
        std::memset(y + r * inner, 0, static_cast<std::size_t>(n) * sizeof(S));
      }
      for (std::int64_t j = 0; j < count; ++j) {
        const std::int64_t base = (o * count + j) * inner + column;
        for (std::int64_t i = 0; i < n; ++i) {
          const std::int64_t row = resolve(indices, base + i, extent);
          if (row >= 0) y[row * inner + i] += static_cast<const S*>(updates)[base + i];
        }
      }
    }
  });
}

template <class T>
void one_hot_elements(std::int64_t count, std::int64_t depth, Indices indices, const void* on,
                      const void* off, void* out) {
  T one, zero;
  std::memcpy(&one, on, sizeof(T));
  std::memcpy(&zero, off, sizeof(T));
  if (depth == 0) return;
  const std::int64_t grain = max(1, kGrain / depth);
  parallel_for(ceil_div(count, grain), [&](std::int64_t task) {
    const std::int64_t last = min(count, (task + 1) * grain);
    for (std::int64_t j = task * grain; j < last; ++j) {
      T* y = static_cast<T*>(out) + j * depth;
      for (std::int64_t i = 0; i < depth; ++i) y[i] = zero;
      const std::int64_t index = read_index(indices, j);
      if (index >= 0 && index < depth) y[index] = one;
    }
  });
}

void one_hot(std::int64_t count, std::int64_t depth, Indices indices, const void* on,
             const void* off, std::int64_t element_bytes, void* out) {
  switch (element_bytes) {
    case 1:
      return one_hot_elements<std::uint8_t>(count, depth, indices, on, off, out);
    case 4:
      return one_hot_elements<std::uint32_t>(count, depth, indices, on, off, out);
    default:
      return one_hot_elements<std::uint64_t>(count, depth, indices, on, off, out);
  }
}

}  // namespace

const IndexingKernels indexing_table = {
    gather,
    {scatter_add<std::int32_t>, scatter_add<std::int64_t>, scatter_add<float>, scatter_add<double>},
    scatter_rows,
    take_along_axis,
    {scatter_add_along_axis<std::int32_t>, scatter_add_along_axis<std::int64_t>,
     scatter_add_along_axis<float>, scatter_add_along_axis<double>},
    one_hot,
};

}  // namespace kcore::KCORE_ISA_NAMESPACE
