#include "kernels/movement.h"

#include "kernels/extents.h"
#include "kernels/staging.h"
#include "simd/parallel.h"
#include "simd/vec.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

constexpr std::int64_t kGrain = 32768;         // elements of a task
constexpr std::int64_t kGrainBytes = 1 << 17;  // the same for byte-wise kernels
constexpr std::int64_t kMemcpyBytes = 96;      // shorter rows are copied in line

template <class T>
KCORE_INLINE void copy_row(const T* in, T* out, std::int64_t n, bool streamed = false) {
  if (streamed) {
    stream_bytes(out, in, n * static_cast<std::int64_t>(sizeof(T)));
  } else if (n * static_cast<std::int64_t>(sizeof(T)) >= kMemcpyBytes) {
    std::memcpy(out, in, static_cast<std::size_t>(n) * sizeof(T));
  } else {
    for (std::int64_t i = 0; i < n; ++i) out[i] = in[i];
  }
}

template <class T>
KCORE_INLINE void fill_row(T* out, std::int64_t n, T value) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = value;
}

// A square of kWidth<T> rows and columns, transposed in registers: log2(width) rounds of
// interleaving row i with row i + width / 2. Asks for the rows of the next square below: the
// processor can't guess them.
template <class T>
KCORE_INLINE void transpose_square(const T* in, std::int64_t in_stride, T* out,
                                   std::int64_t out_stride) {
  constexpr int width = static_cast<int>(kWidth<T>);
  Vec<T> low, high;
  for (int i = 0; i < width; ++i) {
    low[i] = static_cast<T>(i / 2 + (i % 2) * width);
    high[i] = static_cast<T>(width / 2 + i / 2 + (i % 2) * width);
  }
  Vec<T> rows[width], next[width];
#pragma GCC unroll 16
  for (int i = 0; i < width; ++i) {
    rows[i] = load(in + i * in_stride);
    __builtin_prefetch(in + (i + width) * in_stride);
  }
#pragma GCC unroll 4
  for (int round = 1; round < width; round *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < width / 2; ++i) {
      next[2 * i] = __builtin_shuffle(rows[i], rows[i + width / 2], low);
      next[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + width / 2], high);
    }
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i) rows[i] = next[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < width; ++i) store<T>(out + i * out_stride, rows[i]);
}

// Pixels of a known few channels, to planes and back.
template <class T, int channels>
void deinterleave(const T* in, T* out, std::int64_t out_stride, std::int64_t pixels) {
  for (std::int64_t q = 0; q < pixels; ++q) {
    for (int i = 0; i < channels; ++i) out[i * out_stride + q] = in[q * channels + i];
  }
}

template <class T, int channels>
void interleave(const T* in, std::int64_t in_stride, T* out, std::int64_t pixels) {
  for (std::int64_t p = 0; p < pixels; ++p) {
    for (int i = 0; i < channels; ++i) out[p * channels + i] = in[i * in_stride + p];
  }
}

// out[p * out_stride + q] = in[q * in_stride + p].
template <class T>
void transpose_block(const T* in, std::int64_t in_stride, T* out, std::int64_t out_stride,
                     std::int64_t np, std::int64_t nq) {
  if (np == 3 && in_stride == 3) return deinterleave<T, 3>(in, out, out_stride, nq);
  if (np == 4 && in_stride == 4) return deinterleave<T, 4>(in, out, out_stride, nq);
  if (nq == 3 && out_stride == 3) return interleave<T, 3>(in, in_stride, out, np);
  if (nq == 4 && out_stride == 4) return interleave<T, 4>(in, in_stride, out, np);
  std::int64_t whole_p = 0, whole_q = 0;
  if constexpr (sizeof(T) >= 4) {
    constexpr std::int64_t width = kWidth<T>;
    whole_p = np - np % width;
    whole_q = nq - nq % width;
    for (std::int64_t q = 0; q < whole_q; q += width) {
      for (std::int64_t p = 0; p < whole_p; p += width) {
        transpose_square<T>(in + q * in_stride + p, in_stride, out + p * out_stride + q,
                            out_stride);
      }
    }
    for (std::int64_t q = whole_q; q < nq; ++q) {
      for (std::int64_t p = 0; p < whole_p; ++p) out[p * out_stride + q] = in[q * in_stride + p];
    }
  }
  // Few rows left (an image's three channels): blocks of columns keep the input in cache.
  constexpr std::int64_t kColumns = 64;
  for (std::int64_t q0 = 0; q0 < nq; q0 += kColumns) {
    const std::int64_t q1 = min(nq, q0 + kColumns);
    for (std::int64_t p = whole_p; p < np; ++p) {
      for (std::int64_t q = q0; q < q1; ++q) out[p * out_stride + q] = in[q * in_stride + p];
    }
  }
}

// Of a transposed block: no power of two, whose lines would share a set.
template <class T>
KCORE_INLINE std::int64_t staging_pitch(std::int64_t nq) {
  return nq + kWidth<T>;
}

// The same past the caches. Memory is read and written by long runs, which it likes; the lines in
// between stay close.
template <class T>
void transpose_streamed(const T* in, std::int64_t in_stride, T* out, std::int64_t out_stride,
                        std::int64_t np, std::int64_t nq) {
  const std::int64_t pitch = staging_pitch<T>(nq);
  T* block = stage<T>(true, out, np * pitch);
  transpose_block<T>(in, in_stride, block, pitch, np, nq);
  for (std::int64_t p = 0; p < np; ++p) {
    stream_bytes(out + p * out_stride, block + p * pitch,
                 nq * static_cast<std::int64_t>(sizeof(T)));
  }
}

// The two innermost loops, p around q.
struct Plane {
  std::int64_t in_p, in_q, out_p, out_q;
  bool streamed;  // the result leaves the caches anyway
};

template <class T>
void copy_plane(const T* in, T* out, const Plane& s, std::int64_t np, std::int64_t nq) {
  if (s.in_q == 1 && s.out_q == 1) {
    for (std::int64_t p = 0; p < np; ++p)
      copy_row(in + p * s.in_p, out + p * s.out_p, nq, s.streamed);
  } else if (s.in_p == 1 && s.out_q == 1 && np > 1) {
    const auto transpose = s.streamed ? transpose_streamed<T> : transpose_block<T>;
    transpose(in, s.in_q, out, s.out_p, np, nq);
  } else if (s.in_q == 0 && s.out_q == 1) {
    for (std::int64_t p = 0; p < np; ++p) fill_row(out + p * s.out_p, nq, in[p * s.in_p]);
  } else {
    for (std::int64_t p = 0; p < np; ++p) {
      const T* x = in + p * s.in_p;
      T* y = out + p * s.out_p;
      for (std::int64_t q = 0; q < nq; ++q) y[q * s.out_q] = x[q * s.in_q];
    }
  }
}

// How a copy is gone through: the dimensions in the order of the loops, and tasks of some planes,
// or a part of one.
struct Traversal {
  explicit Traversal(const StridedCopy& copy) : copy(copy), outer_rank(copy.rank - 2) {
    for (int d = 0; d < copy.rank; ++d) order[d] = d;
    pair_transposition();
    const int p = copy.rank - 2, q = copy.rank - 1;
    if (q >= 0) {
      plane.in_q = copy.in_strides[order[q]];
      plane.out_q = copy.out_strides[order[q]];
    }
    if (p >= 0) {
      plane.in_p = copy.in_strides[order[p]];
      plane.out_p = copy.out_strides[order[p]];
    }
    np = extent(p);
    nq = extent(q);
    for (int d = 0; d < p; ++d) outer *= extent(d);
    elements = np * nq * outer;
    if (elements == 0) return;
    plane.streamed = leaves_caches(elements * copy.element_bytes);
    q_chunk = min(nq, transposing() ? 256 : kGrain);
    p_chunk = kGrain / q_chunk;
    if (p_chunk > 64) p_chunk -= p_chunk % 64;
    p_chunk = min(np, p_chunk);
    p_chunks = ceil_div(np, p_chunk);
    q_chunks = ceil_div(nq, q_chunk);
    planes = p_chunks * q_chunks > 1 ? 1 : min(outer, 1 + (kGrain - 1) / (np * nq));
  }

  // A transposition pairs the output's innermost dimension with the input's.
  void pair_transposition() {
    const int q_dim = copy.rank - 1;
    if (copy.rank < 2 || copy.in_strides[q_dim] == 1) return;
    for (int d = q_dim - 1; d >= 0; --d) {
      if (copy.in_strides[d] != 1 || copy.extents[d] < 2) continue;
      for (int e = d; e + 1 < q_dim; ++e) order[e] = order[e + 1];
      order[q_dim - 1] = d;
      break;
    }
  }

  std::int64_t tasks() const { return ceil_div(outer, planes) * p_chunks * q_chunks; }

  bool transposing() const { return plane.in_q != 1 && plane.in_p == 1 && np > 1; }

  std::int64_t extent(int position) const {
    return position < 0 ? 1 : copy.extents[order[position]];
  }

  const StridedCopy& copy;
  int order[kMaxCopyRank] = {};
  int outer_rank;
  Plane plane{0, 0, 0, 0, false};
  std::int64_t np, nq, outer = 1, elements;
  std::int64_t p_chunk = 0, q_chunk = 0, p_chunks = 0, q_chunks = 0, planes = 0;
};

template <class T>
void strided_copy_elements(const StridedCopy& copy, const T* in, T* out) {
  const Traversal t(copy);
  if (t.elements == 0) return;
  in += copy.in_offset;
  out += copy.out_offset;
  parallel_for(t.tasks(), [&](std::int64_t task) {
    const std::int64_t q0 = task % t.q_chunks * t.q_chunk;
    const std::int64_t p0 = task / t.q_chunks % t.p_chunks * t.p_chunk;
    const std::int64_t first = task / t.q_chunks / t.p_chunks * t.planes;
    const std::int64_t last = min(t.outer, first + t.planes);
    const std::int64_t pn = min(t.p_chunk, t.np - p0), qn = min(t.q_chunk, t.nq - q0);
    std::int64_t index[kMaxCopyRank] = {};
    const T* x = in + p0 * t.plane.in_p + q0 * t.plane.in_q;
    T* y = out + p0 * t.plane.out_p + q0 * t.plane.out_q;
    std::int64_t rest = first;
    for (int d = t.outer_rank - 1; d >= 0; --d) {
      index[d] = rest % t.extent(d);
      rest /= t.extent(d);
      x += index[d] * copy.in_strides[t.order[d]];
      y += index[d] * copy.out_strides[t.order[d]];
    }
    for (std::int64_t i = first; i < last; ++i) {
      copy_plane(x, y, t.plane, pn, qn);
      for (int d = t.outer_rank - 1; d >= 0; --d) {
        x += copy.in_strides[t.order[d]];
        y += copy.out_strides[t.order[d]];
        if (++index[d] < t.extent(d)) break;
        index[d] = 0;
        x -= copy.in_strides[t.order[d]] * t.extent(d);
        y -= copy.out_strides[t.order[d]] * t.extent(d);
      }
    }
    if (t.plane.streamed) finish_streaming();
  });
}

template <class T>
ScratchNeed transposition_scratch(const Traversal& t) {
  return staging_need<T>(t.tasks(), t.elements * t.copy.element_bytes,
                         t.p_chunk * staging_pitch<T>(t.q_chunk));
}

// f(an element of the copy's width).
template <class F>
KCORE_INLINE auto with_element(const StridedCopy& copy, const F& f) {
  switch (copy.element_bytes) {
    case 1:
      return f(std::uint8_t{});
    case 4:
      return f(std::uint32_t{});
    default:
      return f(std::uint64_t{});
  }
}

void strided_copy(const StridedCopy& copy, const void* in, void* out) {
  with_element(copy, [&](auto element) {
    using T = decltype(element);
    strided_copy_elements(copy, static_cast<const T*>(in), static_cast<T*>(out));
  });
}

ScratchNeed strided_copy_scratch(const StridedCopy& copy) {
  const Traversal t(copy);
  if (t.elements == 0 || !t.transposing() || t.plane.out_q != 1) return {};
  return with_element(copy,
                      [&](auto element) { return transposition_scratch<decltype(element)>(t); });
}

template <class T>
void pad_elements(const Padding& padding, const T* in, T value, T* out) {
  const int row = padding.rank - 1;
  const std::int64_t in_width = padding.in_extents[row], out_width = padding.out_extents[row];
  const std::int64_t low = padding.low[row];
  std::int64_t rows = 1;
  for (int d = 0; d < row; ++d) rows *= padding.out_extents[d];
  if (rows * out_width == 0) return;
  const std::int64_t grain = 1 + kGrain / out_width;
  parallel_for(ceil_div(rows, grain), [&](std::int64_t task) {
    const std::int64_t last = min(rows, (task + 1) * grain);
    for (std::int64_t i = task * grain; i < last; ++i) {
      T* y = out + i * out_width;
      bool inside = in_width > 0;
      std::int64_t rest = i, source = 0, stride = 1;
      for (int d = row - 1; d >= 0; --d) {
        const std::int64_t index = rest % padding.out_extents[d] - padding.low[d];
        rest /= padding.out_extents[d];
        inside = inside && index >= 0 && index < padding.in_extents[d];
        source += index * stride;
        stride *= padding.in_extents[d];
      }
      if (inside) {
        fill_row(y, low, value);
        copy_row(in + source * in_width, y + low, in_width);
        fill_row(y + low + in_width, out_width - low - in_width, value);
      } else {
        fill_row(y, out_width, value);
      }
    }
  });
}

template <class T>
void pad_pattern(const Padding& padding, const void* in, const void* value, void* out) {
  T pattern;
  std::memcpy(&pattern, value, sizeof(T));
  pad_elements(padding, static_cast<const T*>(in), pattern, static_cast<T*>(out));
}

void pad(const Padding& padding, const void* in, const void* value, void* out) {
  switch (padding.element_bytes) {
    case 1:
      return pad_pattern<std::uint8_t>(padding, in, value, out);
    case 4:
      return pad_pattern<std::uint32_t>(padding, in, value, out);
    default:
      return pad_pattern<std::uint64_t>(padding, in, value, out);
  }
}

KCORE_INLINE void copy_column(const char* in, std::int64_t width, char* out, std::int64_t out_width,
                              std::int64_t rows) {
  const auto copy = [&](std::int64_t bytes) {
    for (std::int64_t r = 0; r < rows; ++r) {
      std::memcpy(out + r * out_width, in + r * width, static_cast<std::size_t>(bytes));
    }
  };
  switch (width) {  // a known width is a single move
    case 1:
      return copy(1);
    case 4:
      return copy(4);
    case 8:
      return copy(8);
    case 16:
      return copy(16);
    case 32:
      return copy(32);
    case 64:
      return copy(64);
    default:
      return copy(width);
  }
}

void concatenate(std::int64_t inputs, const void* const* in, const std::int64_t* widths,
                 std::int64_t rows, void* out) {
  std::int64_t out_width = 0;
  for (std::int64_t i = 0; i < inputs; ++i) out_width += widths[i];
  if (rows * out_width == 0) return;
  // A block of rows stays in cache while every input writes its part; rows that are long by
  // themselves (axis 0) are cut instead.
  const std::int64_t row_chunk = min(rows, 1 + (kGrainBytes - 1) / out_width);
  const std::int64_t row_chunks = ceil_div(rows, row_chunk);
  const std::int64_t pieces = row_chunk > 1 ? 1 : ceil_div(out_width, kGrainBytes);
  parallel_for(row_chunks * pieces, [&](std::int64_t task) {
    const std::int64_t first = task / pieces * row_chunk;
    const std::int64_t count = min(row_chunk, rows - first);
    const std::int64_t begin = pieces > 1 ? task % pieces * kGrainBytes : 0;
    const std::int64_t end = pieces > 1 ? min(out_width, begin + kGrainBytes) : out_width;
    std::int64_t offset = 0;
    for (std::int64_t i = 0; i < inputs; ++i) {
      const char* x = static_cast<const char*>(in[i]) + first * widths[i];
      char* y = static_cast<char*>(out) + first * out_width + offset;
      if (pieces == 1) {
        copy_column(x, widths[i], y, out_width, count);
      } else {
        const std::int64_t from = begin > offset ? begin - offset : 0;
        const std::int64_t to = min(widths[i], end - offset);
        if (from < to) std::memcpy(y + from, x + from, static_cast<std::size_t>(to - from));
      }
      offset += widths[i];
    }
  });
}

}  // namespace

const MovementKernels movement_table = {strided_copy, strided_copy_scratch, pad, concatenate};

}  // namespace kcore::KCORE_ISA_NAMESPACE
