// The register-blocked heart of every product, and the block sizes that go with it (after BLIS:
// Van Zee & van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", 2015).
//
// A tile is kBlockRows x kBlockCols<T> of C. Its accumulators stay in registers while `depth`
// steps of a column of A (one broadcast a row) and a row of B (kBlockVectors vectors) stream by.
// Every element of C is summed in the order of depth whatever the tile's extents, so cutting
// rows and columns differently never changes a bit.
#pragma once

#include "kernels/epilogue.h"
#include "kernels/extents.h"
#include "simd/math.h"
#include "simd/vec.h"

namespace kcore::KCORE_ISA_NAMESPACE {

// Accumulators, one row of B and one broadcast fill the registers: 28 + 2 + 1 of 32 (AVX-512),
// 12 + 2 + 1 of 16 (AVX2), 8 + 2 + 2 of 16 (SSE2, where the product needs a register too).
#if defined(__AVX512F__)
constexpr int kBlockRows = 14;
#elif defined(__AVX2__)
constexpr int kBlockRows = 6;
#elif defined(__aarch64__)
constexpr int kBlockRows = 12;
#else
constexpr int kBlockRows = 4;
#endif
constexpr int kBlockVectors = 2;

template <class T>
constexpr std::int64_t kBlockCols = kBlockVectors* kWidth<T>;

// Steps of depth that a panel holds at most. A panel of B and the panels of a block of A pass from
// the second-level cache, asked for ahead; that B's exceeds the first level costs less than one
// more pass over C would.
template <class T>
constexpr std::int64_t kBlockDepth = 4096 / static_cast<std::int64_t>(sizeof(T));

// Steps of depth that large tiles of matrices write out: the fewer vectors a step multiplies, the
// dearer is the loop around it. (Convolutions gain nothing by it.)
constexpr int kUnrolledSteps = kBlockRows >= 12 ? 4 : 8;

// acc[i][j] += a(p, i) * b(p, j) for p in [0, depth): `a` gives a scalar, `b` a vector.
template <class T, bool Unrolled = false, int Rows, int Vectors, class A, class B>
KCORE_INLINE void multiply_accumulate(std::int64_t depth, const A& a, const B& b,
                                      Vec<T> (&acc)[Rows][Vectors]) {
  const auto step = [&](std::int64_t p) __attribute__((always_inline)) {
    Vec<T> row[Vectors];
#pragma GCC unroll 16
    for (int j = 0; j < Vectors; ++j) row[j] = b(p, j);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Vec<T> x = splat<T>(a(p, i));
#pragma GCC unroll 16
      for (int j = 0; j < Vectors; ++j) acc[i][j] += x * row[j];
    }
  };
  if constexpr (Unrolled) {
#pragma GCC unroll kUnrolledSteps
    for (std::int64_t p = 0; p < depth; ++p) step(p);
  } else {
#pragma GCC unroll 2
    for (std::int64_t p = 0; p < depth; ++p) step(p);
  }
}

// Rows of a matrix that will be read next: asked for, into the second-level cache, while a tile is
// computed.
template <class T>
struct Ahead {
  const T* at = nullptr;
  std::int64_t stride = 0, rows = 0, cols = 0;
  std::int64_t at_once = 0;  // rows to ask for

  // Asks for the next rows, and leaves them behind.
  void ask() {
    constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
    std::int64_t count = min(at_once, rows);
    rows -= count;
    for (; count > 0; --count, at += stride) {
      for (std::int64_t col = 0; col < cols; col += line) __builtin_prefetch(at + col, 0, 2);
      __builtin_prefetch(at + cols - 1, 0, 2);
    }
  }
};

// One tile of C and what it is made from.
template <class T>
struct Tile {
  std::int64_t depth;
  const T* a;
  std::int64_t a_stride;  // see TileKernel
  const T* b;
  std::int64_t b_stride;                     // from one step of depth to the next
  std::int64_t pair_stride = 2 * kWidth<T>;  // of b, from two vectors of a step to the next two
  T* c;
  std::int64_t c_stride;
  std::int64_t cols;          // valid columns: more than Vectors - 1 vectors of them
  bool add;                   // to what C holds
  const T* addend = nullptr;  // added in place of C, laid out as it is, or null
  const T* bias;              // of the first column, or null
  Activation activation;
  Ahead<T> ahead = {};
  T* copy = nullptr;  // where the rows of B go that are read, as a panel, or null
};

template <class T>
KCORE_INLINE Vec<T> activate(Vec<T> x, Activation activation) {
  switch (activation) {
    case Activation::none:
      break;
    case Activation::relu:
      return rectify(x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::tanh:
      return tanh(x);
    case Activation::softplus:
      return softplus(x);
  }
  return x;
}

// Applies the activation to a block of C that has just been stored.
template <class T>
__attribute__((noinline)) void activate_block(T* c, std::int64_t stride, std::int64_t rows,
                                              std::int64_t cols, Activation activation) {
  constexpr std::int64_t width = kWidth<T>;
  for (std::int64_t i = 0; i < rows; ++i, c += stride) {
    std::int64_t j = 0;
    for (; j + width <= cols; j += width) store(c + j, activate<T>(load(c + j), activation));
    if (j < cols) {
      store_partial(c + j, activate<T>(load_partial(c + j, cols - j), activation), cols - j);
    }
  }
}

// Adds C and bias, applies the activation and stores the accumulators. Only relu is done in
// registers: unrolled over them, the others would be most of the code.
template <class T, int Rows, int Vectors>
KCORE_INLINE void store_tile(const Tile<T>& tile, Vec<T> (&acc)[Rows][Vectors]) {
  constexpr std::int64_t width = kWidth<T>;
  const std::int64_t last = tile.cols - (Vectors - 1) * width;
  const auto store_all = [&](auto load_at, auto store_at) __attribute__((always_inline)) {
    const T* addend = tile.addend != nullptr ? tile.addend : tile.add ? tile.c : nullptr;
    if (addend != nullptr) {
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 16
        for (int j = 0; j < Vectors; ++j) {
          acc[i][j] += load_at(addend + i * tile.c_stride + j * width, j);
        }
      }
    }
    if (tile.bias != nullptr) {
#pragma GCC unroll 16
      for (int j = 0; j < Vectors; ++j) {
        const Vec<T> bias = load_at(tile.bias + j * width, j);
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) acc[i][j] += bias;
      }
    }
    if (tile.activation == Activation::relu) {
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 16
        for (int j = 0; j < Vectors; ++j) acc[i][j] = rectify(acc[i][j]);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 16
      for (int j = 0; j < Vectors; ++j) {
        store_at(tile.c + i * tile.c_stride + j * width, acc[i][j], j);
      }
    }
  };
  if (last == width) {
    store_all([](const T* p, int) { return load(p); }, [](T* p, Vec<T> v, int) { store(p, v); });
  } else {
    store_all([&](const T* p, int j) { return j < Vectors - 1 ? load(p) : load_partial(p, last); },
              [&](T* p, Vec<T> v, int j) {
                if (j < Vectors - 1) {
                  store(p, v);
                } else {
                  store_partial(p, v, last);
                }
              });
  }
}

// How a tile finds the scalar of row i at step p of depth.
enum class ALayout {
  columns,  // a[p * a_stride + i]: a packed panel (a_stride = rows), or a transposed A in place
  rows,     // a[i * a_stride + p]: A in place
};

// What lies far away is asked for every so many steps. C is asked for when the last of them begin:
// earlier, A and B would push out rows that share a set of the first-level cache, as they do where
// the stride is a power of two.
constexpr std::int64_t kStepsToAsk = 64;
constexpr std::int64_t kStepsToFetch = 32;  // fewer end before C could come

// How far ahead the elements of a panel of A are asked for: 14 lines. Left to the processor's own
// prefetching, a tenth of the time goes in waiting for the second level.
template <class T>
constexpr std::int64_t kPrefetchA = 896 / static_cast<std::int64_t>(sizeof(T));

// The rows of an A in place, as one register for every three of them reaches them: the processor
// adds the stride and its double by itself. Left alone the compiler keeps one a row, more than
// there are.
template <class T, int Rows>
struct RowPointers {
  static constexpr int kCount = (Rows + 2) / 3;
  const T* at[kCount];
  std::int64_t stride;

  RowPointers(const T* a, std::int64_t row_stride) : stride(row_stride) {
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) {
      at[i] = a + 3 * i * stride;
      asm("" : "+r"(at[i]));
    }
  }

  T operator()(int i) const { return at[i / 3][i % 3 * stride]; }

  void advance() {
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) ++at[i];
  }
};

constexpr std::int64_t kPageBytes = 4096;

// Partial: B is read in place and ends at the last valid column.
template <class T, int Rows, int Vectors, ALayout Layout, bool Partial = false>
void tile_kernel(const Tile<T>& tile) {
  constexpr bool kLarge = Rows + 2 >= kBlockRows && Vectors == kBlockVectors;
  Vec<T> acc[Rows][Vectors] = {};
  const T* a = tile.a;
  const T* b = tile.b;
  const std::int64_t a_stride = tile.a_stride, b_stride = tile.b_stride;
  const std::int64_t pair_stride = tile.pair_stride;
  const std::int64_t last = tile.cols - (Vectors - 1) * kWidth<T>;
  // B in place: its next rows are pages away at worst, where prefetching them costs more than it
  // gains.
  const std::int64_t ahead =
      b_stride * static_cast<std::int64_t>(sizeof(T)) <= kPageBytes ? 8 * b_stride : 0;
  RowPointers<T, Layout == ALayout::rows ? Rows : 1> rows(a, a_stride);
  Ahead<T> next = tile.ahead;
  T* copy = tile.copy;
  std::int64_t left = tile.depth;
  while (left > 0) {
    const std::int64_t rest = left % kStepsToAsk, steps = rest > 0 ? rest : kStepsToAsk;
    next.ask();
    if (left <= kStepsToAsk && tile.depth >= kStepsToFetch) {
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 16
        for (int j = 0; j < Vectors; ++j) {
          __builtin_prefetch(tile.c + i * tile.c_stride + j * kWidth<T>, 1);
        }
      }
    }
    const auto a_at = [&](std::int64_t p, int i) __attribute__((always_inline)) {
      if constexpr (Layout == ALayout::columns) {
        if (i == 0) __builtin_prefetch(a + p * a_stride + kPrefetchA<T>);
        return a[p * a_stride + i];
      } else {
        const T x = rows(i);
        if (i == Rows - 1) rows.advance();
        return x;
      }
    };
    const auto b_at = [=](std::int64_t p, int j) __attribute__((always_inline)) {
      const T* row = b + p * b_stride + j / 2 * pair_stride + j % 2 * kWidth<T>;
      if (j * kVectorBytes % 64 == 0) __builtin_prefetch(row + ahead);  // once a line
      return Partial && j == Vectors - 1 ? load_partial(row, last) : load(row);
    };
    if (Vectors == kBlockVectors && copy != nullptr) {
      const auto copied = [=](std::int64_t p, int j) __attribute__((always_inline)) {
        const Vec<T> v = b_at(p, j);
        store(copy + p * kBlockCols<T> + j * kWidth<T>, v);
        return v;
      };
      multiply_accumulate<T, kLarge>(steps, a_at, copied, acc);
      copy += steps * kBlockCols<T>;
    } else {
      multiply_accumulate<T, kLarge>(steps, a_at, b_at, acc);
    }
    left -= steps;
    if (Layout == ALayout::columns) a += steps * a_stride;
    b += steps * b_stride;
  }
  store_tile<T>(tile, acc);
  if (tile.activation > Activation::relu) {
    activate_block<T>(tile.c, tile.c_stride, Rows, tile.cols, tile.activation);
  }
}

template <class T>
using TileKernel = void (*)(const Tile<T>&);

// The kernel for that many rows (1..kBlockRows) and columns (1..kBlockCols<T>).
template <class T, ALayout Layout, int Rows = kBlockRows>
TileKernel<T> find_tile_kernel(std::int64_t rows, std::int64_t cols) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return find_tile_kernel<T, Layout, Rows - 1>(rows, cols);
  }
  return cols > kWidth<T> ? tile_kernel<T, Rows, 2, Layout> : tile_kernel<T, Rows, 1, Layout>;
}

// The largest block such that `extent` is cut into as many blocks as by `limit`, evenly.
KCORE_INLINE std::int64_t balanced(std::int64_t extent, std::int64_t limit) {
  const std::int64_t blocks = ceil_div(extent, limit);
  return blocks == 0 ? 1 : ceil_div(extent, blocks);
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
