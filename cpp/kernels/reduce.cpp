#include "kernels/reduce.h"

#include "kernels/extents.h"
#include "simd/parallel.h"
#include "simd/vec.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

constexpr std::int64_t kSequential = kParallelElements;
constexpr std::int64_t kChunk = 4096;      // elements that are added up in one go
constexpr std::int64_t kTask = 16 * 1024;  // elements of a task
constexpr std::int64_t kColumns = 1024;    // columns of a task

// One copy of a loop's code, though what calls it is inlined in several places.
#define KCORE_OUTLINE __attribute__((noinline))

// Calls f(first, last) for ranges that cover [0, units), each of about kTask elements.
template <class F>
void for_ranges(std::int64_t units, std::int64_t elements_of_unit, const F& f) {
  const std::int64_t grain = max(1, kTask / max(1, elements_of_unit));
  if (units * elements_of_unit <= kSequential) {
    f(0, units);
    return;
  }
  parallel_for(ceil_div(units, grain),
               [&](std::int64_t task) { f(task * grain, min(units, (task + 1) * grain)); });
}

// ---- Operations ----

template <class T>
struct Limits {
  static constexpr T low = T(-1) < T(0) ? T(T(1) << (8 * sizeof(T) - 2)) * T(-1) * T(2) : T(0);
  static constexpr T high = static_cast<T>(~low);
};
template <>
struct Limits<float> {
  static constexpr float low = -__builtin_inff(), high = __builtin_inff();
};
template <>
struct Limits<double> {
  static constexpr double low = -__builtin_inf(), high = __builtin_inf();
};

template <class T>
struct UnsignedOf {
  using type = T;
};
template <>
struct UnsignedOf<std::int32_t> {
  using type = std::uint32_t;
};
template <>
struct UnsignedOf<std::int64_t> {
  using type = std::uint64_t;
};

struct Sum {
  template <class T>
  static constexpr T identity = 0;
  template <class V>
  KCORE_INLINE V first(V x) {
    return x;
  }
  template <class V>
  KCORE_INLINE V combine(V a, V b) {
    return a + b;
  }
};

struct SumOfSquares : Sum {
  template <class V>
  KCORE_INLINE V first(V x) {
    return x * x;
  }
};

struct Product {
  template <class T>
  static constexpr T identity = 1;
  template <class V>
  KCORE_INLINE V first(V x) {
    return x;
  }
  template <class V>
  KCORE_INLINE V combine(V a, V b) {
    return a * b;
  }
};

struct Largest {
  template <class T>
  static constexpr T identity = Limits<T>::low;
  template <class V>
  KCORE_INLINE V first(V x) {
    return x;
  }
  template <class V>
  KCORE_INLINE V combine(V a, V b) {
    return maximum(a, b);
  }
};

struct Smallest {
  template <class T>
  static constexpr T identity = Limits<T>::high;
  template <class V>
  KCORE_INLINE V first(V x) {
    return x;
  }
  template <class V>
  KCORE_INLINE V combine(V a, V b) {
    return minimum(a, b);
  }
};

// ---- Rows: inner == 1 ----

template <class T>
constexpr bool kHasLanes = sizeof(T) >= 4;  // shuffles and masked loads

template <class T, class Op>
KCORE_INLINE T fold(Vec<T> v) {
  if constexpr (kHasLanes<T>) {
    return fold_lanes<T>(
        v, [](Vec<T> a, Vec<T> b) __attribute__((always_inline)) { return Op::combine(a, b); });
  } else {
    T lanes[kWidth<T>];
    std::memcpy(lanes, &v, sizeof(v));
    for (std::int64_t half = kWidth<T> / 2; half > 0; half /= 2) {
      for (std::int64_t i = 0; i < half; ++i) {
        lanes[i] = static_cast<T>(Op::combine(lanes[i], lanes[i + half]));
      }
    }
    return lanes[0];
  }
}

// The elements of a last, incomplete vector, padded with the identity.
template <class T, class Op>
KCORE_INLINE Vec<T> load_rest(const T* x, std::int64_t n) {
  if constexpr (kHasLanes<T>) {
    using Lane = typename IndexOf<sizeof(T)>::type;
    const Lanes<T> lane = make_lanes<T>([](int i) { return i; });
    const Vec<T> v = Op::first(load_partial(x, n));
    return lane < static_cast<Lane>(n) ? v : splat<T>(Op::template identity<T>);
  } else {
    T lanes[kWidth<T>];
    for (std::int64_t i = 0; i < kWidth<T>; ++i) {
      lanes[i] = i < n ? static_cast<T>(Op::first(x[i])) : Op::template identity<T>;
    }
    Vec<T> v;
    std::memcpy(&v, lanes, sizeof(v));
    return v;
  }
}

template <class T, class Op>
KCORE_OUTLINE T reduce_chunk(const T* x, std::int64_t count) {
  constexpr std::int64_t W = kWidth<T>;
  std::int64_t i = 0;
  Vec<T> a = splat<T>(Op::template identity<T>);
  if (count >= 4 * W) {
    Vec<T> b = a, c = a, d = a;
    for (; i + 4 * W <= count; i += 4 * W) {
      a = Op::combine(a, Op::first(load_ahead(x + i)));
      b = Op::combine(b, Op::first(load_ahead(x + i + W)));
      c = Op::combine(c, Op::first(load_ahead(x + i + 2 * W)));
      d = Op::combine(d, Op::first(load_ahead(x + i + 3 * W)));
    }
    a = Op::combine(Op::combine(a, b), Op::combine(c, d));
  }
  for (; i + W <= count; i += W) a = Op::combine(a, Op::first(load_ahead(x + i)));
  if (i < count) a = Op::combine(a, load_rest<T, Op>(x + i, count - i));
  return fold<T, Op>(a);
}

// Pairwise, in place.
template <class T, class Op>
T combine_chunks(T* x, std::int64_t count) {
  while (count > 1) {
    const std::int64_t half = (count + 1) / 2;
    for (std::int64_t i = 0; i + half < count; ++i) {
      x[i] = static_cast<T>(Op::combine(x[i], x[i + half]));
    }
    count = half;
  }
  return x[0];
}

template <class T, class Op>
void reduce_rows(const T* x, T* y, std::int64_t rows, std::int64_t count, T* partial) {
  const std::int64_t chunks = ceil_div(count, kChunk);
  if (chunks <= 1) {
    for_ranges(rows, count, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = first; row < last; ++row) {
        y[row] = reduce_chunk<T, Op>(x + row * count, count);
      }
    });
    return;
  }
  for_ranges(rows * chunks, kChunk, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t unit = first; unit < last; ++unit) {
      const std::int64_t row = unit / chunks, begin = unit % chunks * kChunk;
      partial[unit] = reduce_chunk<T, Op>(x + row * count + begin, min(kChunk, count - begin));
    }
  });
  for (std::int64_t row = 0; row < rows; ++row) {
    y[row] = combine_chunks<T, Op>(partial + row * chunks, chunks);
  }
}

// ---- Columns: inner > 1 ----

// y[j] = combination of `rows` rows of x, which are `stride` apart.
template <class T, class Op>
KCORE_OUTLINE void reduce_strip(const T* x, T* y, std::int64_t rows, std::int64_t stride,
                                std::int64_t columns) {
  constexpr std::int64_t W = kWidth<T>;
  for (std::int64_t j = 0; j < columns; ++j) y[j] = Op::template identity<T>;
  std::int64_t r = 0;
  for (; r + 8 <= rows; r += 8) {
    const T* p = x + r * stride;
    std::int64_t j = 0;
    for (; j + W <= columns; j += W) {
      Vec<T> v[8];
      for (int k = 0; k < 8; ++k) v[k] = Op::first(load(p + k * stride + j));
      const Vec<T> low = Op::combine(Op::combine(v[0], v[1]), Op::combine(v[2], v[3]));
      const Vec<T> high = Op::combine(Op::combine(v[4], v[5]), Op::combine(v[6], v[7]));
      store<T>(y + j, Op::combine(load(y + j), Op::combine(low, high)));
    }
    for (; j < columns; ++j) {
      T v[8];
      for (int k = 0; k < 8; ++k) v[k] = static_cast<T>(Op::first(p[k * stride + j]));
      const T low = Op::combine(Op::combine(v[0], v[1]), Op::combine(v[2], v[3]));
      const T high = Op::combine(Op::combine(v[4], v[5]), Op::combine(v[6], v[7]));
      y[j] = static_cast<T>(Op::combine(y[j], static_cast<T>(Op::combine(low, high))));
    }
  }
  for (; r < rows; ++r) {
    const T* p = x + r * stride;
    for (std::int64_t j = 0; j < columns; ++j) {
      y[j] = static_cast<T>(Op::combine(y[j], static_cast<T>(Op::first(p[j]))));
    }
  }
}

// The same for columns fewer than a vector has lanes, the rows lying one after the other:
// `columns` vectors hold kWidth rows, and a lane always meets the same column again.
template <class T, class Op>
KCORE_OUTLINE void reduce_narrow_strip(const T* x, T* y, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t W = kWidth<T>;
  for (std::int64_t j = 0; j < columns; ++j) y[j] = Op::template identity<T>;
  std::int64_t r = 0;
  if (rows >= W) {
    Vec<T> sums[W];
    for (std::int64_t j = 0; j < columns; ++j) sums[j] = splat<T>(Op::template identity<T>);
    for (; r + W <= rows; r += W) {
      const T* p = x + r * columns;
      for (std::int64_t j = 0; j < columns; ++j) {
        sums[j] = Op::combine(sums[j], Op::first(load(p + j * W)));
      }
    }
    T lanes[W * W];
    std::memcpy(lanes, sums, static_cast<std::size_t>(columns) * sizeof(Vec<T>));
    for (std::int64_t k = 0; k < W; ++k) {
      for (std::int64_t j = 0; j < columns; ++j) {
        y[j] = static_cast<T>(Op::combine(y[j], lanes[k * columns + j]));
      }
    }
  }
  for (; r < rows; ++r) {
    for (std::int64_t j = 0; j < columns; ++j) {
      y[j] = static_cast<T>(Op::combine(y[j], static_cast<T>(Op::first(x[r * columns + j]))));
    }
  }
}

std::int64_t rows_of_chunk(std::int64_t inner) { return max(16, kTask / min(inner, kColumns)); }

template <class T, class Op>
void reduce_columns(const T* x, T* y, Extents e, T* partial) {
  const std::int64_t rows = rows_of_chunk(e.inner);
  const std::int64_t chunks = ceil_div(e.count, rows), strips = ceil_div(e.inner, kColumns);
  T* const sums = chunks > 1 ? partial : y;
  const std::int64_t unit_elements = min(rows, e.count) * min(kColumns, e.inner);
  for_ranges(e.outer * chunks * strips, unit_elements, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t unit = first; unit < last; ++unit) {
      const std::int64_t strip = unit % strips * kColumns, block = unit / strips;
      const std::int64_t begin = block % chunks * rows, outer = block / chunks;
      const T* from = x + (outer * e.count + begin) * e.inner + strip;
      T* to = sums + block * e.inner + strip;
      const std::int64_t n = min(rows, e.count - begin);
      if (e.inner < kWidth<T>) {
        reduce_narrow_strip<T, Op>(from, to, n, e.inner);
      } else {
        reduce_strip<T, Op>(from, to, n, e.inner, min(kColumns, e.inner - strip));
      }
    }
  });
  if (chunks <= 1) return;
  for_ranges(e.outer, chunks * e.inner, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t outer = first; outer < last; ++outer) {
      T* p = partial + outer * chunks * e.inner;
      for (std::int64_t n = chunks; n > 1; n = (n + 1) / 2) {
        const std::int64_t half = (n + 1) / 2 * e.inner, rest = n * e.inner - half;
        for (std::int64_t i = 0; i < rest; ++i) {
          p[i] = static_cast<T>(Op::combine(p[i], p[i + half]));
        }
      }
      std::memcpy(y + outer * e.inner, p, static_cast<std::size_t>(e.inner) * sizeof(T));
    }
  });
}

std::int64_t width_of(ElementType type) {
  switch (type) {
    case ElementType::boolean:
    case ElementType::uint8:
      return 1;
    case ElementType::int32:
    case ElementType::float32:
      return 4;
    default:
      return 8;
  }
}

std::int64_t reduce_workspace(ElementType type, Extents e) {
  if (e.outer * e.inner == 0) return 0;
  const std::int64_t chunks = ceil_div(e.count, e.inner == 1 ? kChunk : rows_of_chunk(e.inner));
  return chunks > 1 ? e.outer * chunks * e.inner * width_of(type) : 0;
}

template <class T, class Op>
void reduce_with(const void* x, void* y, Extents e, double divisor, std::byte* workspace) {
  T* out = static_cast<T*>(y);
  if (e.inner == 1) {
    reduce_rows<T, Op>(static_cast<const T*>(x), out, e.outer, e.count,
                       reinterpret_cast<T*>(workspace));
  } else {
    reduce_columns<T, Op>(static_cast<const T*>(x), out, e, reinterpret_cast<T*>(workspace));
  }
  if constexpr (kIsFloat<T>) {
    const std::int64_t n = e.outer * e.inner;
    const T d = static_cast<T>(divisor);
    if (divisor != 0) {
      for (std::int64_t i = 0; i < n; ++i) out[i] /= d;
    }
  }
}

// T: for sums and products of integers the unsigned type, so that they wrap around.
template <class T>
void reduce_type(Reduction kind, const void* x, void* y, Extents e, double divisor,
                 std::byte* workspace) {
  using U = typename UnsignedOf<T>::type;
  switch (kind) {
    case Reduction::sum:
      return reduce_with<U, Sum>(x, y, e, divisor, workspace);
    case Reduction::sum_of_squares:
      return reduce_with<U, SumOfSquares>(x, y, e, divisor, workspace);
    case Reduction::prod:
      return reduce_with<U, Product>(x, y, e, 0, workspace);
    case Reduction::max:
      return reduce_with<T, Largest>(x, y, e, 0, workspace);
    case Reduction::min:
      return reduce_with<T, Smallest>(x, y, e, 0, workspace);
  }
}

void reduce(Reduction kind, ElementType type, const void* x, void* y, Extents e, double divisor,
            std::byte* workspace) {
  if (e.outer * e.inner == 0) return;
  switch (type) {
    case ElementType::boolean:
    case ElementType::uint8:
      return reduce_type<std::uint8_t>(kind, x, y, e, divisor, workspace);
    case ElementType::int32:
      return reduce_type<std::int32_t>(kind, x, y, e, divisor, workspace);
    case ElementType::int64:
      return reduce_type<std::int64_t>(kind, x, y, e, divisor, workspace);
    case ElementType::float32:
      return reduce_type<float>(kind, x, y, e, divisor, workspace);
    case ElementType::float64:
      return reduce_type<double>(kind, x, y, e, divisor, workspace);
  }
}

// ---- Index of the extremum ----

// Where x has its first element equal to `best`, or its first NaN if that is one.
template <class T>
KCORE_OUTLINE std::int64_t find(const T* x, std::int64_t count, T best) {
  std::int64_t i = 0;
  if constexpr (kHasLanes<T>) {
    constexpr std::int64_t W = kWidth<T>;
    const bool number = best == best;
    const auto is_best = [=](Vec<T> v) __attribute__((always_inline)) {
      return number ? v == best : v != v;
    };
    // Four vectors are looked through at once, then the one that has it.
    for (; i + 4 * W <= count; i += 4 * W) {
      const Lanes<T> any = is_best(load(x + i)) | is_best(load(x + i + W)) |
                           is_best(load(x + i + 2 * W)) | is_best(load(x + i + 3 * W));
      if (first_set<T>(any) < W) break;
    }
    for (; i < count; i += W) {
      const Vec<T> v = i + W <= count ? load(x + i) : load_partial(x + i, count - i);
      const std::int64_t lane = first_set<T>(is_best(v));
      if (lane < W) return i + lane;
    }
  } else {
    while (x[i] != best) ++i;
  }
  return i;
}

// Whether x replaces the best so far: it is better, or the first NaN.
struct Above {
  template <class V>
  KCORE_INLINE auto replaces(V x, V best) {
    return (x > best) | ((x != x) & (best == best));
  }
};
struct Below {
  template <class V>
  KCORE_INLINE auto replaces(V x, V best) {
    return (x < best) | ((x != x) & (best == best));
  }
};

// For each of `columns` columns, at most two vectors, the row of its extremum. Rows are counted in
// integers as wide as T.
template <class T, class Better, class Index>
KCORE_OUTLINE void arg_columns(const T* x, std::int64_t rows, std::int64_t stride,
                               std::int64_t columns, Index* index) {
  constexpr std::int64_t W = kWidth<T>;
  using Lane = typename IndexOf<sizeof(T)>::type;
  const std::int64_t second = max(0, columns - W);
  const auto at = [&](std::int64_t row, std::int64_t part) {
    const T* p = x + row * stride + part * W;
    if (columns == 2 * W) return load_ahead(p);
    return load_partial(p, part == 0 ? min(columns, W) : second);
  };
  Vec<T> best[2] = {at(0, 0), at(0, 1)};
  Lanes<T> places[2] = {};
  for (std::int64_t row = 1; row < rows; ++row) {
    for (int part = 0; part < 2; ++part) {
      const Vec<T> v = at(row, part);
      const Lanes<T> moves = Better::replaces(v, best[part]);
      best[part] = moves ? v : best[part];
      places[part] = moves ? splat<Lane>(static_cast<Lane>(row)) : places[part];
    }
  }
  Lane lanes[2 * W];
  std::memcpy(lanes, places, sizeof(places));
  for (std::int64_t j = 0; j < columns; ++j) index[j] = static_cast<Index>(lanes[j]);
}

// The same for bytes, one by one.
template <class Better, class Index>
KCORE_OUTLINE void arg_columns_of_bytes(const std::uint8_t* x, std::int64_t rows,
                                        std::int64_t stride, std::int64_t columns, Index* index) {
  for (std::int64_t j = 0; j < columns; ++j) {
    std::int64_t best = 0;
    for (std::int64_t row = 1; row < rows; ++row) {
      if (Better::replaces(x[row * stride + j], x[best * stride + j])) best = row;
    }
    index[j] = static_cast<Index>(best);
  }
}

template <class T, class Op, class Better, class Index>
void arg_reduce_with(const T* x, Index* index, Extents e) {
  if (e.inner == 1) {
    for_ranges(e.outer, e.count, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = first; row < last; ++row) {
        const T* p = x + row * e.count;
        index[row] = static_cast<Index>(find<T>(p, e.count, reduce_chunk<T, Op>(p, e.count)));
      }
    });
    return;
  }
  constexpr std::int64_t kStrip = 2 * kWidth<T>;
  const std::int64_t strips = ceil_div(e.inner, kStrip);
  for_ranges(e.outer * strips, e.count * kStrip, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t unit = first; unit < last; ++unit) {
      const std::int64_t strip = unit % strips * kStrip, outer = unit / strips;
      const T* p = x + outer * e.count * e.inner + strip;
      const std::int64_t columns = min(kStrip, e.inner - strip);
      Index* to = index + outer * e.inner + strip;
      if constexpr (kHasLanes<T>) {
        arg_columns<T, Better>(p, e.count, e.inner, columns, to);
      } else {
        arg_columns_of_bytes<Better>(p, e.count, e.inner, columns, to);
      }
    }
  });
}

template <class T, class Op, class Better>
void arg_reduce_to(const T* x, void* index, bool wide, Extents e) {
  if (wide) return arg_reduce_with<T, Op, Better>(x, static_cast<std::int64_t*>(index), e);
  arg_reduce_with<T, Op, Better>(x, static_cast<std::int32_t*>(index), e);
}

template <class T>
void arg_reduce_type(bool largest, const void* x, void* index, bool wide, Extents e) {
  const T* p = static_cast<const T*>(x);
  largest ? arg_reduce_to<T, Largest, Above>(p, index, wide, e)
          : arg_reduce_to<T, Smallest, Below>(p, index, wide, e);
}

void arg_reduce(bool largest, ElementType type, const void* x, void* index, bool wide, Extents e) {
  switch (type) {
    case ElementType::boolean:
    case ElementType::uint8:
      return arg_reduce_type<std::uint8_t>(largest, x, index, wide, e);
    case ElementType::int32:
      return arg_reduce_type<std::int32_t>(largest, x, index, wide, e);
    case ElementType::int64:
      return arg_reduce_type<std::int64_t>(largest, x, index, wide, e);
    case ElementType::float32:
      return arg_reduce_type<float>(largest, x, index, wide, e);
    case ElementType::float64:
      return arg_reduce_type<double>(largest, x, index, wide, e);
  }
}

// ---- Running sums ----

template <class T>
struct AccumulatorOf {
  using type = typename UnsignedOf<T>::type;
};
template <>
struct AccumulatorOf<float> {
  using type = double;
};

template <class T, class Op>
void cumulate_with(Cumulation how, const T* x, T* y, Extents e) {
  using A = typename AccumulatorOf<T>::type;
  const std::int64_t strips = ceil_div(e.inner, kColumns);
  const std::int64_t unit_elements = e.count * min(kColumns, e.inner);
  for_ranges(e.outer * strips, unit_elements, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t unit = first; unit < last; ++unit) {
      const std::int64_t strip = unit % strips * kColumns, outer = unit / strips;
      const std::int64_t columns = min(kColumns, e.inner - strip);
      A sums[kColumns];
      for (std::int64_t j = 0; j < columns; ++j) sums[j] = Op::template identity<A>;
      for (std::int64_t i = 0; i < e.count; ++i) {
        const std::int64_t r = how.reverse ? e.count - 1 - i : i;
        const std::int64_t at = (outer * e.count + r) * e.inner + strip;
        for (std::int64_t j = 0; j < columns; ++j) {
          const A before = sums[j];
          sums[j] = static_cast<A>(Op::combine(before, static_cast<A>(x[at + j])));
          y[at + j] = static_cast<T>(how.exclusive ? before : sums[j]);
        }
      }
    }
  });
}

template <class T>
void cumulate_type(Cumulation how, const void* x, void* y, Extents e) {
  const T* in = static_cast<const T*>(x);
  T* out = static_cast<T*>(y);
  return how.product ? cumulate_with<T, Product>(how, in, out, e)
                     : cumulate_with<T, Sum>(how, in, out, e);
}

void cumulate(Cumulation how, ElementType type, const void* x, void* y, Extents e) {
  switch (type) {
    case ElementType::boolean:
    case ElementType::uint8:
      return cumulate_type<std::uint8_t>(how, x, y, e);
    case ElementType::int32:
      return cumulate_type<std::int32_t>(how, x, y, e);
    case ElementType::int64:
      return cumulate_type<std::int64_t>(how, x, y, e);
    case ElementType::float32:
      return cumulate_type<float>(how, x, y, e);
    case ElementType::float64:
      return cumulate_type<double>(how, x, y, e);
  }
}

}  // namespace

const ReduceKernels reduce_table = {reduce, reduce_workspace, arg_reduce, cumulate};

}  // namespace kcore::KCORE_ISA_NAMESPACE
