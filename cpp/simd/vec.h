// The vector type of the instruction set that the including file is compiled for.
//
// `Vec<T>` is a compiler vector, so + - * / comparisons, `?:` and (contracted) fused
// multiply-add are the language's own; this header adds what the language lacks.
// Everything here has internal linkage or lives in the instruction set's own namespace, so that
// the linker can never take one set's code for another's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define KCORE_INLINE static inline __attribute__((always_inline))

namespace kcore::KCORE_ISA_NAMESPACE {

#if defined(__AVX512F__)
constexpr std::size_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr std::size_t kVectorBytes = 32;
#else
constexpr std::size_t kVectorBytes = 16;
#endif

template <class T>
struct VecOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
  typedef T unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};

template <class T>
using Vec = typename VecOf<T>::type;

// Number of elements of a vector.
template <class T>
constexpr std::int64_t kWidth = static_cast<std::int64_t>(kVectorBytes / sizeof(T));

template <class T>
KCORE_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VecOf<T>::unaligned*>(p);
}

// The same, asking for what lies kAheadBytes further on: a loop that runs over much memory has more
// lines on their way than the processor asks for by itself, above all where it computes a lot.
constexpr std::int64_t kAheadBytes = 2048;

template <class T>
KCORE_INLINE Vec<T> load_ahead(const T* p) {
  __builtin_prefetch(reinterpret_cast<const char*>(p) + kAheadBytes);
  return load(p);
}

template <class T>
KCORE_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VecOf<T>::unaligned*>(p) = v;
}

// Outputs of so many bytes leave the caches before anything reads them again. Storing them past the
// caches saves the fetch of each line that a store changes, a third of a copy's traffic.
KCORE_INLINE bool leaves_caches(std::int64_t bytes) { return bytes >= std::int64_t{48} << 20; }

// Stores past the caches, to an address that is a multiple of kVectorBytes. A task that did so ends
// with finish_streaming(), for these stores are otherwise not ordered with those after them.
template <class T>
KCORE_INLINE void stream(T* p, Vec<T> v) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), reinterpret_cast<__m512i>(v));
#elif defined(__AVX2__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(v));
#elif defined(__SSE2__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), reinterpret_cast<__m128i>(v));
#else
  store<T>(p, v);
#endif
}

KCORE_INLINE void finish_streaming() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// The same as memcpy, past the caches but for the ends that aren't whole vectors.
KCORE_INLINE void stream_bytes(void* to, const void* from, std::int64_t bytes) {
  auto* y = static_cast<std::uint8_t*>(to);
  const auto* x = static_cast<const std::uint8_t*>(from);
  constexpr std::int64_t step = kWidth<std::uint8_t>;
  std::int64_t i = -reinterpret_cast<std::intptr_t>(to) & (step - 1);
  if (i > bytes) i = bytes;
  std::memcpy(y, x, static_cast<std::size_t>(i));
  for (; i + step <= bytes; i += step) stream<std::uint8_t>(y + i, load(x + i));
  std::memcpy(y + i, x + i, static_cast<std::size_t>(bytes - i));
}

template <class T>
KCORE_INLINE Vec<T> splat(T x) {
  return x - Vec<T>{};
}

#if defined(__AVX2__) && !defined(__AVX512F__)
// A mask of the first n lanes of that many bytes, as maskload and maskstore want it.
template <int Bytes>
KCORE_INLINE __m256i first_lanes(std::int64_t n) {
  if constexpr (Bytes == 4) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  } else {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
}
#endif

// The first n elements (0 <= n <= kWidth<T>), the rest zero.
template <class T>
KCORE_INLINE Vec<T> load_partial(const T* p, std::int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const auto m = static_cast<__mmask16>((1u << n) - 1u);
    return reinterpret_cast<Vec<T>>(_mm512_maskz_loadu_epi32(m, p));
  } else if constexpr (sizeof(T) == 8) {
    const auto m = static_cast<__mmask8>((1u << n) - 1u);
    return reinterpret_cast<Vec<T>>(_mm512_maskz_loadu_epi64(m, p));
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vec<T>>(
        _mm256_maskload_epi32(reinterpret_cast<const int*>(p), first_lanes<4>(n)));
  } else if constexpr (sizeof(T) == 8) {
    return reinterpret_cast<Vec<T>>(
        _mm256_maskload_epi64(reinterpret_cast<const long long*>(p), first_lanes<8>(n)));
  }
#endif
  Vec<T> v{};
  std::memcpy(&v, p, static_cast<std::size_t>(n) * sizeof(T));
  return v;
}

template <class T>
KCORE_INLINE void store_partial(T* p, Vec<T> v, std::int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1u << n) - 1u),
                             reinterpret_cast<__m512i>(v));
    return;
  } else if constexpr (sizeof(T) == 8) {
    _mm512_mask_storeu_epi64(p, static_cast<__mmask8>((1u << n) - 1u),
                             reinterpret_cast<__m512i>(v));
    return;
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    _mm256_maskstore_epi32(reinterpret_cast<int*>(p), first_lanes<4>(n),
                           reinterpret_cast<__m256i>(v));
    return;
  } else if constexpr (sizeof(T) == 8) {
    _mm256_maskstore_epi64(reinterpret_cast<long long*>(p), first_lanes<8>(n),
                           reinterpret_cast<__m256i>(v));
    return;
  }
#endif
  std::memcpy(p, &v, static_cast<std::size_t>(n) * sizeof(T));
}

template <class T>
constexpr bool kIsFloat = T(0.5) != 0;

// The following take scalars and vectors alike.

// a where it is larger (smaller), else b: also where either is NaN. One instruction of x86, which
// compilers don't find.
template <class V>
KCORE_INLINE V larger_or(V a, V b) {
  return a > b ? a : b;
}
template <class V>
KCORE_INLINE V smaller_or(V a, V b) {
  return a < b ? a : b;
}
#if defined(__AVX512F__)
KCORE_INLINE Vec<float> larger_or(Vec<float> a, Vec<float> b) {
  return _mm512_maskz_max_ps(0xffff, a, b);
}
KCORE_INLINE Vec<double> larger_or(Vec<double> a, Vec<double> b) {
  return _mm512_maskz_max_pd(0xff, a, b);
}
KCORE_INLINE Vec<float> smaller_or(Vec<float> a, Vec<float> b) {
  return _mm512_maskz_min_ps(0xffff, a, b);
}
KCORE_INLINE Vec<double> smaller_or(Vec<double> a, Vec<double> b) {
  return _mm512_maskz_min_pd(0xff, a, b);
}
#elif defined(__AVX2__)
KCORE_INLINE Vec<float> larger_or(Vec<float> a, Vec<float> b) { return _mm256_max_ps(a, b); }
KCORE_INLINE Vec<double> larger_or(Vec<double> a, Vec<double> b) { return _mm256_max_pd(a, b); }
KCORE_INLINE Vec<float> smaller_or(Vec<float> a, Vec<float> b) { return _mm256_min_ps(a, b); }
KCORE_INLINE Vec<double> smaller_or(Vec<double> a, Vec<double> b) { return _mm256_min_pd(a, b); }
#elif defined(__SSE2__)
KCORE_INLINE Vec<float> larger_or(Vec<float> a, Vec<float> b) { return _mm_max_ps(a, b); }
KCORE_INLINE Vec<double> larger_or(Vec<double> a, Vec<double> b) { return _mm_max_pd(a, b); }
KCORE_INLINE Vec<float> smaller_or(Vec<float> a, Vec<float> b) { return _mm_min_ps(a, b); }
KCORE_INLINE Vec<double> smaller_or(Vec<double> a, Vec<double> b) { return _mm_min_pd(a, b); }
#endif

// NaN in either operand gives NaN, as NumPy's maximum and minimum.
template <class V>
KCORE_INLINE V maximum(V a, V b) {
  return a != a ? a : larger_or(a, b);
}

template <class V>
KCORE_INLINE V minimum(V a, V b) {
  return a != a ? a : smaller_or(a, b);
}

// relu: zero for what is below it.
template <class V>
KCORE_INLINE V rectify(V x) {
  return larger_or(V{}, x);
}

// The signed integer of as many bytes: what lane numbers of a shuffle are made of.
template <int Bytes>
struct IndexOf;
template <>
struct IndexOf<4> {
  using type = std::int32_t;
};
template <>
struct IndexOf<8> {
  using type = std::int64_t;
};
template <class T>
using Lanes = Vec<typename IndexOf<sizeof(T)>::type>;

// Lane i is lane lanes[i] of x followed by y. Constant lanes become the set's own shuffles.
template <class T>
KCORE_INLINE Vec<T> shuffle(Vec<T> x, Vec<T> y, Lanes<T> lanes) {
#if defined(__clang__)
  Vec<T> result;
  for (int i = 0; i < kWidth<T>; ++i) {
    result[i] = lanes[i] < kWidth<T> ? x[lanes[i]] : y[lanes[i] - kWidth<T>];
  }
  return result;
#else
  return __builtin_shuffle(x, y, lanes);
#endif
}

// The first lane of a mask (lanes of 0 or -1) that is set, kWidth<T> if there is none.
template <class T>
KCORE_INLINE std::int64_t first_set(Lanes<T> mask) {
#if defined(__AVX512DQ__)
  const auto bits = reinterpret_cast<__m512i>(mask);
  const unsigned set = sizeof(T) == 4 ? _mm512_movepi32_mask(bits) : _mm512_movepi64_mask(bits);
  return __builtin_ctz(set | 1u << kWidth<T>);
#elif defined(__AVX2__)
  const int set = sizeof(T) == 4 ? _mm256_movemask_ps(reinterpret_cast<__m256>(mask))
                                 : _mm256_movemask_pd(reinterpret_cast<__m256d>(mask));
  return __builtin_ctz(static_cast<unsigned>(set) | 1u << kWidth<T>);
#else
  std::int64_t lane = 0;
  while (lane < kWidth<T> && mask[lane] == 0) ++lane;
  return lane;
#endif
}

// {f(0), f(1), ...} for a function of lane numbers: a constant, which a loop over lanes is not.
template <class T, class F, int... Lane>
KCORE_INLINE Lanes<T> make_lanes(const F& f, std::integer_sequence<int, Lane...>) {
  return Lanes<T>{f(Lane)...};
}
template <class T, class F>
KCORE_INLINE Lanes<T> make_lanes(const F& f) {
  return make_lanes<T>(f, std::make_integer_sequence<int, static_cast<int>(kWidth<T>)>());
}

// The elements combined by halves: the order depends on the width alone.
template <class T, class Combine>
KCORE_INLINE T fold_lanes(Vec<T> v, const Combine& combine) {
  constexpr int width = static_cast<int>(kWidth<T>);
#pragma GCC unroll 8
  for (int half = width / 2; half > 0; half /= 2) {
    v = combine(v,
                shuffle<T>(v, v, make_lanes<T>([=](int lane) { return (lane + half) % width; })));
  }
  return v[0];
}

template <class T>
KCORE_INLINE T horizontal_sum(Vec<T> v) {
  return fold_lanes<T>(
      v, [](Vec<T> a, Vec<T> b) __attribute__((always_inline)) { return a + b; });
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
