// Elementary functions of vectors, within about 2 ulp unless said otherwise; trigonometry.h has
// those of angles.
//
// The polynomials are near-minimax fits on the intervals named beside them, highest power first.
// Special values follow C99 Annex F: NaN gives NaN, and infinities, zeros and subnormals are
// treated in full.
#pragma once

#include <math.h>

#include "simd/pieces.h"
#include "simd/vec.h"

namespace kcore::KCORE_ISA_NAMESPACE {

using Floats = Vec<float>;
using Ints = Vec<std::int32_t>;
using Doubles = Vec<double>;
using Longs = Vec<std::int64_t>;

constexpr float kInfinity = __builtin_inff();
constexpr float kNan = __builtin_nanf("");

// Applies a function of scalars to each lane.
template <class T, class F>
KCORE_INLINE Vec<T> lanes(Vec<T> x, const F& f) {
  T in[kWidth<T>], out[kWidth<T>];
  std::memcpy(in, &x, sizeof(x));
  for (std::int64_t i = 0; i < kWidth<T>; ++i) out[i] = f(in[i]);
  std::memcpy(&x, out, sizeof(x));
  return x;
}

template <class T, class F>
KCORE_INLINE Vec<T> lanes(Vec<T> x, Vec<T> y, const F& f) {
  T a[kWidth<T>], b[kWidth<T>], out[kWidth<T>];
  std::memcpy(a, &x, sizeof(x));
  std::memcpy(b, &y, sizeof(y));
  for (std::int64_t i = 0; i < kWidth<T>; ++i) out[i] = f(a[i], b[i]);
  std::memcpy(&x, out, sizeof(x));
  return x;
}

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)

// x * y + z rounded once, which the compiler's own fusing doesn't promise.
template <class T>
KCORE_INLINE Vec<T> multiply_add(Vec<T> x, Vec<T> y, Vec<T> z) {
  T a[kWidth<T>], b[kWidth<T>], c[kWidth<T>];
  std::memcpy(a, &x, sizeof(x));
  std::memcpy(b, &y, sizeof(y));
  std::memcpy(c, &z, sizeof(z));
  for (std::int64_t i = 0; i < kWidth<T>; ++i) {
    if constexpr (sizeof(T) == sizeof(float)) {
      c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    } else {
      c[i] = __builtin_fma(a[i], b[i], c[i]);
    }
  }
  std::memcpy(&z, c, sizeof(z));
  return z;
}

#endif

// Whether the mask (lanes of 0 or -1) has a lane set.
KCORE_INLINE bool any(Ints mask) {
#if defined(__AVX512DQ__)
  return _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask)) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps(reinterpret_cast<__m256>(mask)) != 0;
#else
  std::int64_t halves[2];
  std::memcpy(halves, &mask, sizeof(mask));
  return (halves[0] | halves[1]) != 0;
#endif
}

KCORE_INLINE bool any(Longs mask) { return any(reinterpret_cast<Ints>(mask)); }

KCORE_INLINE Floats absolute(Floats x) {
  return reinterpret_cast<Floats>(reinterpret_cast<Ints>(x) & 0x7fffffff);
}

KCORE_INLINE Doubles absolute(Doubles x) {
  return reinterpret_cast<Doubles>(reinterpret_cast<Longs>(x) & 0x7fffffffffffffffLL);
}

// |x| with the sign of s, where x is not negative or has that sign already.
#if defined(__AVX512F__)
KCORE_INLINE Floats with_sign(Floats x, Floats s) {
  return reinterpret_cast<Floats>(
      _mm512_ternarylogic_epi32(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(s),
                                _mm512_set1_epi32(-0x7fffffff - 1), 0xf8));
}

KCORE_INLINE Doubles with_sign(Doubles x, Doubles s) {
  return reinterpret_cast<Doubles>(
      _mm512_ternarylogic_epi64(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(s),
                                _mm512_set1_epi64(-0x7fffffffffffffffLL - 1), 0xf8));
}
#else
KCORE_INLINE Floats with_sign(Floats x, Floats s) {
  return reinterpret_cast<Floats>(reinterpret_cast<Ints>(x) |
                                  (reinterpret_cast<Ints>(s) & (-0x7fffffff - 1)));
}

KCORE_INLINE Doubles with_sign(Doubles x, Doubles s) {
  return reinterpret_cast<Doubles>(reinterpret_cast<Longs>(x) |
                                   (reinterpret_cast<Longs>(s) & (-0x7fffffffffffffffLL - 1)));
}
#endif

KCORE_INLINE Floats square_root(Floats x) {
  return lanes<float>(x, [](float v) { return __builtin_sqrtf(v); });
}

KCORE_INLINE Doubles square_root(Doubles x) {
  return lanes<double>(x, [](double v) { return __builtin_sqrt(v); });
}

namespace math {

// What each format has of its own. Adding and subtracting kRound rounds |x| < 2^22 (2^51) to an
// integer, which the sum's low bits are. A constant in two parts is the sum of both; multiples of
// kLn2 and kLog10Of2 by exponents are exact.
template <class T>
struct Format;

template <>
struct Format<float> {
  using Bits = std::uint32_t;
  static constexpr int kMantissa = 23;
  static constexpr Bits kBias = 127, kRoundBits = 0x4b400000u;
  static constexpr float kRound = 12582912.0f;
  static constexpr float kLn2 = 0.693145751953125f, kLn2Low = 1.428606820e-06f;
  static constexpr float kLog2e = 1.44269504f, kLog2eLow = 1.925962991e-08f;
  static constexpr float kLog10e = 4.342944819e-01f, kLog10eLow = -1.010305005e-08f;
  static constexpr float kLog10Of2 = 3.010253906e-01f, kLog10Of2Low = 4.605038981e-06f;
  static constexpr float kSmallestNormal = 1.17549435e-38f;
  // Beyond these, exp is infinite, even half of it, or 0; expm1 is infinite or -1.
  static constexpr float kExpHigh = 90, kExpLow = -104, kExpm1High = 89, kExpm1Low = -20;
  // (e^r - 1 - r) / r^2 on [-ln(2)/2, ln(2)/2]
  static constexpr float kExp[] = {1.381507888e-03f, 8.368697167e-03f, 4.166838165e-02f,
                                   1.666652080e-01f, 4.999999345e-01f};
  static constexpr float kExpm1[] = {1.984616376e-04f, 1.394060620e-03f, 8.333388983e-03f,
                                     4.166636120e-02f, 1.666666637e-01f, 5.000000044e-01f};
  // (sinh(x) - x) / x^3, of x^2, on [0, 1]
  static constexpr float kSinh[] = {2.816640517e-06f, 1.983622933e-04f, 8.333349600e-03f,
                                    1.666666716e-01f};
  // log1p(x) / x on [0, 1], of x - kLog1pCentre, where its rounding is near exact
  static constexpr float kLog1pCentre = 0.3984375f;
  static constexpr float kLog1p[] = {
      -3.185582813e-03f, 8.215738460e-03f,  -1.227216329e-02f, 1.818585210e-02f,  -2.942817286e-02f,
      4.916183650e-02f,  -8.496453613e-02f, 1.557357162e-01f,  -3.177231550e-01f, 8.416766524e-01f};
};

template <>
struct Format<double> {
  using Bits = std::uint64_t;
  static constexpr int kMantissa = 52;
  static constexpr Bits kBias = 1023, kRoundBits = 0x4338000000000000u;
  static constexpr double kRound = 6755399441055744.0;
  static constexpr double kLn2 = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kLog2e = 1.44269504088896340736, kLog2eLow = 2.03552737409310331e-17;
  static constexpr double kLog10e = 4.34294481903251817e-01, kLog10eLow = 1.09831965021676507e-17;
  static constexpr double kLog10Of2 = 3.01029995663157024e-01;
  static constexpr double kLog10Of2Low = 8.24171258602357198e-13;
  static constexpr double kSmallestNormal = 2.2250738585072014e-308;
  static constexpr double kExpHigh = 711, kExpLow = -746, kExpm1High = 710, kExpm1Low = -45;
  static constexpr double kExp[] = {2.51137102978318647e-08, 2.76258007248801406e-07,
                                    2.75572306057093106e-06, 2.48015063902465469e-05,
                                    1.98412698997335027e-04, 1.38888889298728743e-03,
                                    8.33333333331631732e-03, 4.16666666665866173e-02,
                                    1.66666666666666824e-01, 5.00000000000000333e-01};
  static constexpr auto& kExpm1 = kExp;
  static constexpr double kSinh[] = {7.75913285590167448e-13, 1.60572468612119700e-10,
                                     2.50521233048311280e-08, 2.75573191560103635e-06,
                                     1.98412698414351740e-04, 8.33333333333314413e-03,
                                     1.66666666666666685e-01};
  static constexpr double kLog1pCentre = 0.5;
  static constexpr double kLog1p[] = {
      2.50419373868002409e-05,  -3.83905290042924755e-05, 2.75242718080863968e-05,
      -4.47950665215839097e-05, 8.97328252825238391e-05,  -1.42116681825891095e-04,
      2.21074343471154572e-04,  -3.54815941116442776e-04, 5.73065424326860747e-04,
      -9.28858165289464261e-04, 1.51538282108674744e-03,  -2.49184112254028593e-03,
      4.13617912203639859e-03,  -6.94539497914398955e-03, 1.18337921096494294e-02,
      -2.05488119189910605e-02, 3.66118545231582868e-02,  -6.76886433109661345e-02,
      1.32609753754202891e-01,  -2.88527099099323892e-01, 8.10930216216328770e-01};
};

template <class T>
using BitsOf = Vec<typename Format<T>::Bits>;

template <class T>
KCORE_INLINE BitsOf<T> bits(Vec<T> x) {
  return reinterpret_cast<BitsOf<T>>(x);
}

constexpr int kLongPolynomial = 8;

// By Horner's rule; a long one as two, of every other coefficient: the processor has more to do at
// once, where it would wait for each product.
template <class T, int N>
KCORE_INLINE Vec<T> polynomial(Vec<T> x, const T (&coefficients)[N]) {
  if constexpr (N < kLongPolynomial) {
    Vec<T> y = x * coefficients[0] + coefficients[1];
#pragma GCC unroll 32
    for (int i = 2; i < N; ++i) y = y * x + coefficients[i];
    return y;
  } else {
    const Vec<T> square = x * x;
    Vec<T> y = splat<T>(coefficients[0]), z = splat<T>(coefficients[1]);
#pragma GCC unroll 32
    for (int i = 2; i + 1 < N; i += 2) {
      y = y * square + coefficients[i];
      z = z * square + coefficients[i + 1];
    }
    return N % 2 == 0 ? y * x + z : (y * square + coefficients[N - 1]) + z * x;
  }
}

// The integer n of a sum n + kRound.
template <class T>
KCORE_INLINE BitsOf<T> integer(Vec<T> sum) {
  return bits<T>(sum) - Format<T>::kRoundBits;
}

// y * 2^n, rounded once, for integers n.
template <class T>
KCORE_INLINE Vec<T> scale(Vec<T> y, Vec<T> n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vec<T>>(
        _mm512_maskz_scalef_ps(0xffff, reinterpret_cast<__m512>(y), reinterpret_cast<__m512>(n)));
  } else {
    return reinterpret_cast<Vec<T>>(
        _mm512_maskz_scalef_pd(0xff, reinterpret_cast<__m512d>(y), reinterpret_cast<__m512d>(n)));
  }
#else
  // Two factors reach beyond the normal numbers.
  constexpr auto kBias = Format<T>::kBias;
  const BitsOf<T> k = integer<T>(n + Format<T>::kRound);
  const BitsOf<T> half = ((k + 2 * kBias) >> 1) - kBias;
  const auto power = [](BitsOf<T> i) __attribute__((always_inline)) {
    return reinterpret_cast<Vec<T>>((i + kBias) << Format<T>::kMantissa);
  };
  return y * power(half) * power(k - half);
#endif
}

// factor * 2^n of a sum n + kRound, where that and 2^n are normal numbers.
template <class T>
KCORE_INLINE Vec<T> power_of_two(Vec<T> sum, T factor = 1) {
#if defined(__AVX512F__)
  return scale<T>(splat(factor), sum - Format<T>::kRound);
#else
  return reinterpret_cast<Vec<T>>(bits<T>(splat(factor)) + (bits<T>(sum) << Format<T>::kMantissa));
#endif
}

// e^x = y * 2^n.
template <class T>
struct Exponential {
  Vec<T> y, n;
};

// For x between kExpLow and kExpHigh, or NaN.
template <class T>
KCORE_INLINE Exponential<T> exponential_between(Vec<T> x) {
  using F = Format<T>;
  const Vec<T> n = (x * F::kLog2e + F::kRound) - F::kRound;
  const Vec<T> r = (x - n * F::kLn2) - n * F::kLn2Low;
  return {(r * r * polynomial<T>(r, F::kExp) + r) + T(1), n};
}

// exp(x) of x below kExpHigh, or NaN. What is too small for a number is 0 without a product that
// underflows: some processors take a hundred cycles for that.
template <class T>
KCORE_INLINE Vec<T> exp_below_high(Vec<T> x) {
  const Vec<T> low = splat(Format<T>::kExpLow);
#if defined(__AVX512F__)
  const Exponential<T> e = exponential_between<T>(x);
  if constexpr (sizeof(T) == 4) {
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, low, _CMP_NLT_UQ), e.y, e.n);
  } else {
    return _mm512_maskz_scalef_pd(_mm512_cmp_pd_mask(x, low, _CMP_NLT_UQ), e.y, e.n);
  }
#else
  const Lanes<T> far = x < low;
  const Exponential<T> e = exponential_between<T>(far ? Vec<T>{} : x);
  return far ? Vec<T>{} : scale<T>(e.y, e.n);
#endif
}

template <class T>
KCORE_INLINE Vec<T> exp(Vec<T> x) {
  return exp_below_high<T>(smaller_or(splat(Format<T>::kExpHigh), x));
}

// exp(-|x|)
template <class T>
KCORE_INLINE Vec<T> exp_of_negative(Vec<T> x) {
  return exp_below_high<T>(-absolute(x));
}

// e^x = (1 + p) * 2^n, `sum` being n + kRound.
template <class T>
struct Expm1 {
  Vec<T> p, sum;
};

// For x between kExpm1Low and kExpm1High, or NaN.
template <class T>
KCORE_INLINE Expm1<T> expm1_parts(Vec<T> x) {
  using F = Format<T>;
  const Vec<T> sum = x * F::kLog2e + F::kRound, n = sum - F::kRound;
  const Vec<T> r = (x - n * F::kLn2) - n * F::kLn2Low;
  return {r * r * polynomial<T>(r, F::kExpm1) + r, sum};
}

template <class T>
KCORE_INLINE Vec<T> expm1(Vec<T> x) {
  using F = Format<T>;
  const Vec<T> below = smaller_or(splat(F::kExpm1High), x);
  const Expm1<T> e = expm1_parts<T>(larger_or(splat(F::kExpm1Low), below));
  const Vec<T> half = power_of_two<T>(e.sum, T(0.5));  // 2^n may be too large
  return with_sign(T(2) * (half * e.p + (half - T(0.5))), x);
}

// The same for x <= 0, the sign of zero aside.
template <class T>
KCORE_INLINE Vec<T> expm1_of_negative(Vec<T> x) {
  const Expm1<T> e = expm1_parts<T>(larger_or(splat(Format<T>::kExpm1Low), x));
  const Vec<T> power = power_of_two<T>(e.sum);
  return power * e.p + (power - T(1));
}

// A positive number is m 2^n, m in [3/4, 3/2).
template <class T>
struct Split {
  Vec<T> m, n;
};

#if defined(__AVX512F__)

// An infinite n of 0 and infinity, and NaN of what is negative, make their logarithms what they
// should be.
constexpr bool kSplitsAll = true;

constexpr auto kNoNegative = static_cast<_MM_MANTISSA_SIGN_ENUM>(3);  // -0 gives 1, others NaN

KCORE_INLINE Split<float> split(Floats x) {
  const Floats m = _mm512_maskz_getmant_ps(0xffff, x, _MM_MANT_NORM_p75_1p5, kNoNegative);
  return {m, Floats(_mm512_maskz_getexp_ps(0xffff, x)) - Floats(_mm512_maskz_getexp_ps(0xffff, m))};
}

KCORE_INLINE Split<double> split(Doubles x) {
  const Doubles m = _mm512_maskz_getmant_pd(0xff, x, _MM_MANT_NORM_p75_1p5, kNoNegative);
  return {m, Doubles(_mm512_maskz_getexp_pd(0xff, x)) - Doubles(_mm512_maskz_getexp_pd(0xff, m))};
}

template <class V>
KCORE_INLINE auto split_normal(V x) {
  return split(x);
}

#else

constexpr bool kSplitsAll = false;

KCORE_INLINE Split<float> split_normal(Floats x) {
  const BitsOf<float> b = bits<float>(x);
  const Ints e = reinterpret_cast<Ints>(b - 0x3f400000u) >> 23;
  return {reinterpret_cast<Floats>(b - (reinterpret_cast<BitsOf<float>>(e) << 23)),
          __builtin_convertvector(e, Floats)};
}

KCORE_INLINE Split<double> split_normal(Doubles x) {
  const BitsOf<double> b = bits<double>(x);
  // n + 1024: few instruction sets shift signed integers as wide or convert them.
  const BitsOf<double> e = (b - 0x3fe8000000000000u + 0x4000000000000000u) >> 52;
  return {reinterpret_cast<Doubles>(b - (e << 52) + 0x4000000000000000u),
          reinterpret_cast<Doubles>(e + 0x4330000000000000u) - (4503599627370496.0 + 1024)};
}

template <class V>
KCORE_INLINE auto split(V x) {
  using T = std::remove_reference_t<decltype(x[0])>;
  using F = Format<T>;
  constexpr T kRaise = T(std::int64_t{1} << F::kMantissa);
  const Lanes<T> subnormal = x < F::kSmallestNormal;
  Split<T> parts = split_normal(subnormal ? x * kRaise : x);
  parts.n -= subnormal ? splat(T(F::kMantissa)) : Vec<T>{};
  return parts;
}

#endif

// log(1 + f) - f + f^2 / 2
KCORE_INLINE Floats logarithm_rest(Floats f, Floats square) {
  constexpr float kRest[] = {-4.518254474e-02f, 1.048114672e-01f,  -1.317209750e-01f,
                             1.448081434e-01f,  -1.664722562e-01f, 1.999077350e-01f,
                             -2.500009537e-01f, 3.333345056e-01f};
  return square * f * polynomial<float>(f, kRest);
}

KCORE_INLINE Doubles logarithm_rest(Doubles f, Doubles square) {
  // (2 atanh(s) - 2 s) / s^3, of s^2, where s = f / (2 + f)
  constexpr double kRest[] = {1.38450076801401312e-01, 1.31733228667188063e-01,
                              1.53911274877003373e-01, 1.81816654316948656e-01,
                              2.22222243031744759e-01, 2.85714285557787717e-01,
                              4.00000000000568123e-01, 6.66666666666665964e-01};
  const Doubles s = f / (f + 2.0), t = s * s;
  return s * (0.5 * square + t * polynomial<double>(t, kRest));
}

// log(x) = f - square / 2 + rest + n ln(2).
template <class T>
struct Logarithm {
  Vec<T> f, square, rest, n;

  // Of (1 + f) 2^n.
  KCORE_INLINE Logarithm of(Vec<T> f, Vec<T> n) {
    const Vec<T> square = f * f;
    return {f, square, logarithm_rest(f, square), n};
  }
};

template <class T>
KCORE_INLINE Logarithm<T> logarithm(Vec<T> x) {
  const Split<T> parts = split(x);
  return Logarithm<T>::of(parts.m - T(1), parts.n);
}

template <class T>
KCORE_INLINE Vec<T> natural(const Logarithm<T>& l) {
  using F = Format<T>;
  return (l.f + ((l.rest + l.n * F::kLn2Low) - T(0.5) * l.square)) + l.n * F::kLn2;
}

// log(x) to some base, which is y where x is positive and finite.
template <class T>
KCORE_INLINE Vec<T> whole_logarithm(Vec<T> x, Vec<T> y) {
  if constexpr (kSplitsAll) return y;
  y = x == T(kInfinity) ? x : y;
  y = x == T(0) ? splat(T(-kInfinity)) : y;
  return (x < T(0)) | (x != x) ? splat(T(kNan)) : y;
}

template <class T>
KCORE_INLINE Vec<T> log(Vec<T> x) {
  return whole_logarithm<T>(x, natural<T>(logarithm<T>(x)));
}

template <class T>
KCORE_INLINE Vec<T> log2(Vec<T> x) {
  using F = Format<T>;
  const Logarithm<T> l = logarithm<T>(x);
  const Vec<T> low = (l.rest - T(0.5) * l.square) * F::kLog2e + l.f * F::kLog2eLow;
  return whole_logarithm<T>(x, (l.f * F::kLog2e + low) + l.n);
}

template <class T>
KCORE_INLINE Vec<T> log10(Vec<T> x) {
  using F = Format<T>;
  const Logarithm<T> l = logarithm<T>(x);
  Vec<T> low = (l.rest - T(0.5) * l.square) * F::kLog10e + l.f * F::kLog10eLow;
  low += l.n * F::kLog10Of2Low;
  return whole_logarithm<T>(x, (l.f * F::kLog10e + low) + l.n * F::kLog10Of2);
}

// 1 + x is (1 + f) 2^n; f is taken from x itself, of which the sum loses digits.
template <class T>
KCORE_INLINE Vec<T> log1p(Vec<T> x) {
  const Vec<T> u = x + T(1);
  const Split<T> parts = split_normal(u);  // or 0
  const Vec<T> power = power_of_two<T>(Format<T>::kRound - parts.n);
  const Vec<T> f = absolute(parts.n) < T(100) ? x * power + (power - T(1)) : parts.m - T(1);
  const Vec<T> y = natural<T>(Logarithm<T>::of(f, parts.n));
  return with_sign(whole_logarithm<T>(u, y), x);
}

#if defined(__AVX512F__)

// An odd function of which `pieces` has f(a) / a for a in [0, limit]; from there on it is 1.
template <class T, int Terms>
KCORE_INLINE Vec<T> odd_by_pieces(Vec<T> x, const Pieces<T, Terms>& pieces) {
  constexpr T kRound = Format<T>::kRound;
  const Vec<T> a = absolute(x);
  const Vec<T> sum = a * pieces.density + kRound, t = a * pieces.density - (sum - kRound);
  const Lanes<T> piece = reinterpret_cast<Lanes<T>>(sum);  // shuffles look at its low bits alone
  const auto coefficient = [&](int i) __attribute__((always_inline)) {
    const T* table = pieces.coefficients[i];
    return shuffle<T>(load(table), load(table + kWidth<T>), piece);
  };
  Vec<T> y = coefficient(0);
#pragma GCC unroll 32
  for (int i = 1; i < Terms; ++i) y = y * t + coefficient(i);
  return with_sign(a >= pieces.limit ? splat(T(1)) : a * y, x);
}

#endif

template <class T>
KCORE_INLINE Vec<T> tanh(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return odd_by_pieces<T>(x, kTanhPieces);
#endif
  const Vec<T> e = expm1_of_negative<T>(T(-2) * absolute(x));
  return with_sign(absolute(e / (e + T(2))), x);
}

// exp(x) / 2 of x >= 0 or NaN, which is finite where sinh and cosh are.
template <class T>
KCORE_INLINE Vec<T> half_exp(Vec<T> x) {
  const Exponential<T> e = exponential_between<T>(smaller_or(splat(Format<T>::kExpHigh), x));
  return scale<T>(T(0.5) * e.y, e.n);
}

template <class T>
KCORE_INLINE Vec<T> sinh(Vec<T> x) {
  const Vec<T> a = absolute(x), t = a * a, e = half_exp<T>(a);
  const Vec<T> near = a + a * t * polynomial<T>(t, Format<T>::kSinh);
  return with_sign(a < T(1) ? near : e - T(0.25) / e, x);
}

template <class T>
KCORE_INLINE Vec<T> cosh(Vec<T> x) {
  const Vec<T> e = half_exp<T>(absolute(x));
  return e + T(0.25) / e;
}

// log(1 + x), and log(2 x) where `far`.
template <class T>
KCORE_INLINE Vec<T> log1p_or_far(Vec<T> x, Vec<T> near, Lanes<T> far) {
  const Vec<T> y = log1p<T>(far ? x - T(1) : near);
  return far ? y + T(M_LN2) : y;
}

// Beyond it, x and sqrt(x^2 + 1) are the same.
template <class T>
constexpr T kFar = T(sizeof(T) == 4 ? 1e4 : 1e9);

template <class T>
KCORE_INLINE Vec<T> asinh(Vec<T> x) {
  const Vec<T> a = absolute(x), t = a * a;
  const Vec<T> near = a + t / (square_root(t + T(1)) + T(1));
  return with_sign(absolute(log1p_or_far<T>(a, near, a > kFar<T>)), x);
}

template <class T>
KCORE_INLINE Vec<T> acosh(Vec<T> x) {
  const Vec<T> a = x - T(1);
  const Vec<T> near = a + square_root(a * a + T(2) * a);
  return log1p_or_far<T>(x, near, x > kFar<T>);
}

template <class T>
KCORE_INLINE Vec<T> atanh(Vec<T> x) {
  const Vec<T> a = absolute(x), t = T(2) * a;
  return with_sign(T(0.5) * log1p<T>(t + t * a / (T(1) - a)), x);
}

template <class T>
KCORE_INLINE Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> e = exp_of_negative<T>(x);
  return (x < T(0) ? e : splat(T(1))) / (e + T(1));
}

template <class T>
KCORE_INLINE Vec<T> softplus(Vec<T> x) {
  using F = Format<T>;
  const Vec<T> e = exp_of_negative<T>(x);
  return e * polynomial<T>(e - F::kLog1pCentre, F::kLog1p) + rectify(x);
}

using HalfFloats = float __attribute__((vector_size(kVectorBytes / 2)));

// A vector of floats as doubles. The compiler would convert by way of memory.
struct WideFloats {
  Doubles low, high;
};

KCORE_INLINE WideFloats widen(Floats x) {
#if defined(__AVX512F__)
  return {_mm512_maskz_cvtps_pd(0xff, __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7)),
          _mm512_maskz_cvtps_pd(0xff, _mm512_maskz_extractf32x8_ps(0xff, x, 1))};
#elif defined(__AVX2__)
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
#else
  HalfFloats halves[2];
  std::memcpy(halves, &x, sizeof(x));
  return {__builtin_convertvector(halves[0], Doubles), __builtin_convertvector(halves[1], Doubles)};
#endif
}

KCORE_INLINE Floats narrow(WideFloats x) {
#if defined(__AVX512F__)
  const __m512 low = _mm512_castps256_ps512(_mm512_maskz_cvtpd_ps(0xff, x.low));
  return _mm512_maskz_insertf32x8(0xffff, low, _mm512_maskz_cvtpd_ps(0xff, x.high), 1);
#elif defined(__AVX2__)
  return _mm256_set_m128(_mm256_cvtpd_ps(x.high), _mm256_cvtpd_ps(x.low));
#else
  const HalfFloats halves[2] = {__builtin_convertvector(x.low, HalfFloats),
                                __builtin_convertvector(x.high, HalfFloats)};
  Floats y;
  std::memcpy(&y, halves, sizeof(y));
  return y;
#endif
}

// psi(x): recurrence up to 6, then the asymptotic series; reflection below zero.
static inline double digamma_of(double x) {
  if (x == 0) return __builtin_copysign(__builtin_inf(), -x);
  if (x < 0) {
    if (x == __builtin_floor(x)) return __builtin_nan("");
    return digamma_of(1 - x) - M_PI / ::tan(M_PI * (x - __builtin_floor(x)));
  }
  if (x != x || x > 1e300) return x;
  double shift = 0;
  while (x < 10) {
    shift -= 1 / x;
    x += 1;
  }
  const double t = 1 / (x * x);
  const double series =
      t * (1.0 / 12 -
           t * (1.0 / 120 - t * (1.0 / 252 - t * (1.0 / 240 - t * (1.0 / 132 - t * 691 / 32760)))));
  return shift + ::log(x) - 0.5 / x - series;
}

}  // namespace math

// The function of math:: that has that name, for either format.
#define KCORE_FUNCTION(name)                                          \
  KCORE_INLINE Floats name(Floats x) { return math::name<float>(x); } \
  KCORE_INLINE Doubles name(Doubles x) { return math::name<double>(x); }

KCORE_FUNCTION(exp)
KCORE_FUNCTION(expm1)
KCORE_FUNCTION(log)
KCORE_FUNCTION(log1p)
KCORE_FUNCTION(log2)
KCORE_FUNCTION(log10)
KCORE_FUNCTION(sinh)
KCORE_FUNCTION(cosh)
KCORE_FUNCTION(tanh)
KCORE_FUNCTION(asinh)
KCORE_FUNCTION(acosh)
KCORE_FUNCTION(atanh)
KCORE_FUNCTION(sigmoid)
KCORE_FUNCTION(softplus)

#if defined(__AVX512F__)

KCORE_INLINE Floats erf(Floats x) { return math::odd_by_pieces<float>(x, math::kErfPieces); }
KCORE_INLINE Doubles erf(Doubles x) { return math::odd_by_pieces<double>(x, math::kWideErfPieces); }

#else

KCORE_INLINE Floats erf(Floats x) {
  // -log(erfc(a)) / a on [0, 4]
  constexpr float kErf[] = {-9.256398698e-06f, 1.176428486e-04f,  -6.328437012e-04f,
                            1.667041564e-03f,  -1.604110585e-04f, -1.915305667e-02f,
                            1.027778313e-01f,  6.366193891e-01f,  1.128379226e+00f};
  const Floats a = smaller_or(splat(4.0f), absolute(x));
  const Floats rest = math::expm1_of_negative<float>(-a * math::polynomial<float>(a, kErf));
  return with_sign(absolute(rest), x);
}

KCORE_INLINE Doubles erf(Doubles x) {
  // erf(a) / a, of a^2, on [0, 0.96]
  constexpr double kNear[] = {
      -8.08104234971985643e-10, 1.38639892294112926e-08,  -1.62398030624356508e-07,
      1.64512690307470005e-06,  -1.49250292973309918e-05, 1.20553091560660498e-04,
      -8.54832642024346912e-04, 5.22397761574582703e-03,  -2.68661706442107351e-02,
      1.12837916709506089e-01,  -3.76126389031836650e-01, 1.12837916709551256e+00};
  // -log(erfc(a)), of a - 2.5, on [0.94, 5.95]
  constexpr double kFar[] = {
      -1.22288627846704506e-12, 1.64578360164774422e-13,  1.00803923124134422e-11,
      -1.17073550357883285e-11, 1.38163926980999289e-10,  -8.99592436773211552e-10,
      3.51998118903822242e-09,  -1.08254856917071242e-08, 1.26696946780949891e-08,
      1.55898730299517188e-07,  -1.76906484976686975e-06, 1.27558403981808578e-05,
      -7.70307712661974595e-05, 4.20932572485839930e-04,  -2.16547690243695844e-03,
      1.08580727364558979e-02,  9.43893733524036826e-01,  5.35268075098644758e+00,
      7.80681527272726861e+00};
  Doubles a = absolute(x);
  a = a > 5.95 ? splat(5.95) : a;
  const Doubles near = a * math::polynomial<double>(a * a, kNear);
  const Doubles far = 1.0 - exp(-math::polynomial<double>(a - 2.5, kFar));
  return with_sign(absolute(a < 0.95 ? near : far), x);
}

#endif

// Within about 4 ulp.
KCORE_INLINE Floats erfinv(Floats x) {
  const Floats w = -log((1.0f - x) * (1.0f + x));
  const Floats c = w - 2.5f;
  // erfinv(x) / x on w in [0, 5]
  Floats p = c * -8.533254525e-09f + 2.357514537e-08f;
  p = p * c + 4.629170878e-07f;
  p = p * c - 3.466584954e-06f;
  p = p * c - 4.949992994e-06f;
  p = p * c + 2.183578750e-04f;
  p = p * c - 1.252761483e-03f;
  p = p * c - 4.177401206e-03f;
  p = p * c + 2.466402935e-01f;
  p = p * c + 1.501409362e+00f;
  const Floats s = square_root(w) - 3.0f;
  // the same on w in [5, 17]
  Floats q = s * 9.849632968e-05f - 2.910129593e-04f;
  q = q * s - 3.300318431e-05f;
  q = q * s + 1.461591297e-03f;
  q = q * s - 3.609467485e-03f;
  q = q * s + 5.696170984e-03f;
  q = q * s - 7.634707024e-03f;
  q = q * s + 9.444177701e-03f;
  q = q * s + 1.001674799e+00f;
  q = q * s + 2.832976820e+00f;
  return x * (w < 5.0f ? p : q);
}

#define KCORE_ROUNDING(name, routine)                                          \
  KCORE_INLINE Floats name(Floats x) {                                         \
    return lanes<float>(x, [](float v) { return __builtin_##routine##f(v); }); \
  }                                                                            \
  KCORE_INLINE Doubles name(Doubles x) {                                       \
    return lanes<double>(x, [](double v) { return __builtin_##routine(v); });  \
  }

KCORE_ROUNDING(floor, floor)
KCORE_ROUNDING(ceil, ceil)
KCORE_ROUNDING(trunc, trunc)
KCORE_ROUNDING(round_to_even, rint)

#undef KCORE_ROUNDING

// The reentrant routines: lgamma itself writes a global.
KCORE_INLINE Floats lgamma(Floats x) {
  return lanes<float>(x, [](float v) {
    int sign;
    return ::lgammaf_r(v, &sign);
  });
}

KCORE_INLINE Doubles lgamma(Doubles x) {
  return lanes<double>(x, [](double v) {
    int sign;
    return ::lgamma_r(v, &sign);
  });
}

KCORE_INLINE Floats digamma(Floats x) {
  return lanes<float>(x, [](float v) { return static_cast<float>(math::digamma_of(v)); });
}

KCORE_INLINE Doubles digamma(Doubles x) {
  return lanes<double>(x, [](double v) { return math::digamma_of(v); });
}

// A closed approximation, then Halley steps on erf or erfc.
KCORE_INLINE Doubles erfinv(Doubles x) {
  return lanes<double>(x, [](double v) -> double {
    const double a = __builtin_fabs(v);
    if (!(a < 1)) return a == 1 ? v * __builtin_inf() : __builtin_nan("");
    if (a < 1e-8) return v * 0.88622692545275801365;
    // S. Winitzki's approximation, relative error 2e-3.
    const double w = ::log((1 - a) * (1 + a)), h = 4.3307467508 + 0.5 * w;
    double y = a < 1e-3 ? a * 0.88622692545275801365
                        : __builtin_sqrt(__builtin_sqrt(h * h - w / 0.147) - h);
    for (int i = 0; i < 4; ++i) {
      const double error = a < 0.5 ? ::erf(y) - a : (1 - a) - ::erfc(y);
      const double step = error * 0.88622692545275801365 * ::exp(y * y);
      y -= step / (1 + y * step);  // Halley
    }
    return __builtin_copysign(y, v);
  });
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
