// Elementary functions of vectors. float32: polynomials, within about 2 ulp unless said otherwise.
// float64: the C library's function, lane by lane.
//
// The polynomials are near-minimax fits on the intervals named beside them. Special values follow
// C99 Annex F: NaN gives NaN, and infinities, zeros and subnormals are treated in full.
#pragma once

#include <math.h>

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

KCORE_INLINE Floats absolute(Floats x) {
  return reinterpret_cast<Floats>(reinterpret_cast<Ints>(x) & 0x7fffffff);
}

KCORE_INLINE Doubles absolute(Doubles x) {
  return reinterpret_cast<Doubles>(reinterpret_cast<Longs>(x) & 0x7fffffffffffffffLL);
}

// |x| with the sign of s, for x >= 0.
KCORE_INLINE Floats with_sign(Floats x, Floats s) {
  return reinterpret_cast<Floats>(reinterpret_cast<Ints>(x) |
                                  (reinterpret_cast<Ints>(s) & (-0x7fffffff - 1)));
}

KCORE_INLINE Floats square_root(Floats x) {
  return lanes<float>(x, [](float v) { return __builtin_sqrtf(v); });
}

KCORE_INLINE Doubles square_root(Doubles x) {
  return lanes<double>(x, [](double v) { return __builtin_sqrt(v); });
}

namespace math {

// Adding and subtracting it rounds |x| < 2^22 to an integer; the sum's low bits are that integer.
constexpr float kRound = 12582912.0f;
constexpr double kRoundDouble = 6755399441055744.0;
// ln 2 in two parts; multiples of the first by integers below 2^15 are exact.
constexpr float kLn2High = 0.693359375f;
constexpr float kLn2Low = -2.12194440e-4f;

KCORE_INLINE Ints integer(Floats rounded) {
  using Unsigned = Vec<std::uint32_t>;
  return reinterpret_cast<Ints>(reinterpret_cast<Unsigned>(rounded) - 0x4b400000u);
}

KCORE_INLINE Floats power_of_two(Ints k) {
  using Unsigned = Vec<std::uint32_t>;
  return reinterpret_cast<Floats>((reinterpret_cast<Unsigned>(k) + 127u) << 23);
}

// log(x) + c.
KCORE_INLINE Floats log_plus(Floats x, Floats c) {
  const Ints subnormal = x < 1.17549435e-38f;
  const Ints b = reinterpret_cast<Ints>(subnormal ? x * 8388608.0f : x);
  using Unsigned = Vec<std::uint32_t>;
  // The mantissa is in [sqrt(1/2), sqrt(2)).
  const Ints e = reinterpret_cast<Ints>(reinterpret_cast<Unsigned>(b) - 0x3f3504f3u) >> 23;
  const Floats m = reinterpret_cast<Floats>(reinterpret_cast<Unsigned>(b) -
                                            (reinterpret_cast<Unsigned>(e) << 23));
  const Floats f = m - 1.0f;
  const Floats n = __builtin_convertvector(e + (subnormal & -23), Floats);
  // (log(1 + f) - f + f^2/2) / f^3
  Floats p = f * 6.746097485e-02f - 1.167500742e-01f;
  p = p * f + 1.188807640e-01f;
  p = p * f - 1.240569942e-01f;
  p = p * f + 1.421957654e-01f;
  p = p * f - 1.666798937e-01f;
  p = p * f + 2.000211733e-01f;
  p = p * f - 2.500000974e-01f;
  p = p * f + 3.333331262e-01f;
  const Floats f2 = f * f;
  Floats y = f2 * f * p;
  y += n * kLn2Low + c;
  y -= 0.5f * f2;
  y = (f + y) + n * kLn2High;
  y = x == kInfinity ? x : y;
  y = x == 0.0f ? splat(-kInfinity) : y;
  return (x < 0.0f) | (x != x) ? splat(kNan) : y;
}

struct Reduced {
  Floats r;  // x minus quadrant * pi/2, at most pi/4
  Ints quadrant;
};

constexpr float kTrigonometricLimit = 1e6f;

using HalfFloats = float __attribute__((vector_size(kVectorBytes / 2)));
using HalfInts = std::int32_t __attribute__((vector_size(kVectorBytes / 2)));

// Cody-Waite in double precision, so that results near zero are accurate; |x| <= 1e6.
KCORE_INLINE Reduced reduce(Floats x) {
  HalfFloats parts[2], r[2];
  HalfInts quadrant[2];
  std::memcpy(parts, &x, sizeof(x));
  for (int i = 0; i < 2; ++i) {
    const Doubles v = __builtin_convertvector(parts[i], Doubles);
    const Doubles t = v * 0.63661977236758134308 + kRoundDouble;
    const Doubles n = t - kRoundDouble;
    const Doubles s = (v - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11;
    r[i] = __builtin_convertvector(s, HalfFloats);
    quadrant[i] = __builtin_convertvector(reinterpret_cast<Longs>(t) & 3, HalfInts);
  }
  Reduced result;
  std::memcpy(&result.r, r, sizeof(r));
  std::memcpy(&result.quadrant, quadrant, sizeof(quadrant));
  return result;
}

// sin(r + quadrant * pi/2).
KCORE_INLINE Floats sine_of(Reduced x) {
  const Floats t = x.r * x.r;
  Floats s = t * 2.717944948e-06f - 1.983929658e-04f;
  s = s * t + 8.333329268e-03f;
  s = s * t - 1.666666664e-01f;
  s = x.r + x.r * t * s;
  Floats c = t * 2.443507123e-05f - 1.388733913e-03f;
  c = c * t + 4.166664631e-02f;
  c = (1.0f - 0.5f * t) + t * t * c;
  const Ints sign = (x.quadrant & 2) << 30;
  const Floats y = (x.quadrant & 1) != 0 ? c : s;
  return reinterpret_cast<Floats>(reinterpret_cast<Ints>(y) ^ sign);
}

KCORE_INLINE bool beyond_reduction(Floats x) { return any(~(absolute(x) <= kTrigonometricLimit)); }

// x ** y for 0 < x < infinity and finite y; the result is clamped to 2^±200.
KCORE_INLINE Doubles power_of_positive(Doubles x, Doubles y) {
  const Longs b = reinterpret_cast<Longs>(x);
  const Longs e = (b - 0x3fe6a09e667f3bcdLL) >> 52;  // the mantissa is in [sqrt(1/2), sqrt(2))
  const Doubles m = reinterpret_cast<Doubles>(b - (e << 52));
  const Doubles n = reinterpret_cast<Doubles>(e + 0x4338000000000000LL) - kRoundDouble;
  const Doubles s = (m - 1.0) / (m + 1.0);
  const Doubles t = s * s;
  // 2 atanh(s) / (s ln 2)
  Doubles p = t * 2.82896179499430800e-01 + 3.19905842828785258e-01;
  p = p * t + 4.12209252850088248e-01;
  p = p * t + 5.77077942306502223e-01;
  p = p * t + 9.61796694113811301e-01;
  p = p * t + 2.88539008177784950e+00;
  Doubles z = y * (s * p + n);
  z = z > 200.0 ? splat(200.0) : z;
  z = z < -200.0 ? splat(-200.0) : z;
  const Doubles rounded = z + kRoundDouble;
  const Doubles r = z - (rounded - kRoundDouble);
  // 2 ** r on [-1/2, 1/2]
  Doubles q = r * 1.01470332676526110e-07 + 1.32592454392869674e-06;
  q = q * r + 1.52529995708565555e-05;
  q = q * r + 1.54034356964307041e-04;
  q = q * r + 1.33335575950784511e-03;
  q = q * r + 9.61812919092991554e-03;
  q = q * r + 5.55041086688227506e-02;
  q = q * r + 2.40226506956557534e-01;
  q = q * r + 6.93147180559870457e-01;
  q = q * r + 1.0;
  const Longs k = reinterpret_cast<Longs>(rounded) - 0x4338000000000000LL;
  return q * reinterpret_cast<Doubles>((k + 1023) << 52);
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

KCORE_INLINE Floats exp(Floats x) {
  x = x > 89.0f ? splat(89.0f) : x;
  x = x < -104.0f ? splat(-104.0f) : x;
  const Floats t = x * 1.44269504f + math::kRound;
  const Floats n = t - math::kRound;
  const Floats r = (x - n * math::kLn2High) - n * math::kLn2Low;
  // (e^r - 1 - r) / r^2 on [-ln(2)/2, ln(2)/2]
  Floats q = r * 1.381507888e-03f + 8.368697167e-03f;
  q = q * r + 4.166838165e-02f;
  q = q * r + 1.666652080e-01f;
  q = q * r + 4.999999345e-01f;
  const Floats y = (r * r * q + r) + 1.0f;
  const Ints k = math::integer(t);
  const Ints half = k >> 1;  // two factors, so that subnormal results and 2^128 are reached
  return y * math::power_of_two(half) * math::power_of_two(k - half);
}

KCORE_INLINE Floats expm1(Floats x) {
  x = x > 89.0f ? splat(89.0f) : x;
  Floats c = x < -20.0f ? splat(-20.0f) : x;
  const Floats t = c * 1.44269504f + math::kRound;
  const Floats n = t - math::kRound;
  const Floats r = (c - n * math::kLn2High) - n * math::kLn2Low;
  Floats q = r * 1.984616376e-04f + 1.394060620e-03f;
  q = q * r + 8.333388983e-03f;
  q = q * r + 4.166636120e-02f;
  q = q * r + 1.666666637e-01f;
  q = q * r + 5.000000044e-01f;
  const Floats p = r * r * q + r;
  const Floats half = math::power_of_two(math::integer(t) - 1);
  const Floats y = 2.0f * (half * p + (half - 0.5f));
  return x == 0.0f ? x : y;  // keeps the sign of zero
}

KCORE_INLINE Floats log(Floats x) { return math::log_plus(x, Floats{}); }

KCORE_INLINE Floats log1p(Floats x) {
  const Floats u = x + 1.0f;
  const Floats lost = x >= 1.0f ? 1.0f - (u - x) : x - (u - 1.0f);
  const Floats c = (u == 0.0f) | (u == kInfinity) ? Floats{} : lost / u;
  return x == 0.0f ? x : math::log_plus(u, c);
}

KCORE_INLINE Floats tanh(Floats x) {
  const Floats e = expm1(-2.0f * absolute(x));
  return with_sign(absolute(e / (e + 2.0f)), x);
}

KCORE_INLINE Floats sigmoid(Floats x) {
  const Floats e = exp(-absolute(x));
  return (x < 0.0f ? e : splat(1.0f)) / (e + 1.0f);
}

KCORE_INLINE Floats softplus(Floats x) {
  const Floats positive = x < 0.0f ? Floats{} : x;
  return positive + log1p(exp(-absolute(x)));
}

KCORE_INLINE Floats erf(Floats x) {
  Floats a = absolute(x);
  a = a > 4.0f ? splat(4.0f) : a;
  const Floats t = a * a;
  // erf(a) / a on [0, 1]
  Floats p = t * 7.853989530e-05f - 8.010226139e-04f;
  p = p * t + 5.188330518e-03f;
  p = p * t - 2.685381286e-02f;
  p = p * t + 1.128358515e-01f;
  p = p * t - 3.761262582e-01f;
  p = p * t + 1.128379166e+00f;
  // -log(erfc(a)) on [0.9, 4]
  const Floats d = a - 2.4f;
  Floats q = d * -1.065613693e-06f + 1.575385309e-05f;
  q = q * d - 8.865792787e-05f;
  q = q * d + 4.650121131e-04f;
  q = q * d - 2.387787804e-03f;
  q = q * d + 1.177227830e-02f;
  q = q * d + 9.405040661e-01f;
  q = q * d + 5.164236431e+00f;
  q = q * d + 7.280974893e+00f;
  const Floats y = a < 0.95f ? a * p : 1.0f - exp(-q);
  return with_sign(absolute(y), x);
}

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

KCORE_INLINE Floats sin(Floats x) {
  if (math::beyond_reduction(x)) return lanes<float>(x, [](float v) { return ::sinf(v); });
  const Floats y = math::sine_of(math::reduce(x));
  return x == 0.0f ? x : y;
}

KCORE_INLINE Floats cos(Floats x) {
  if (math::beyond_reduction(x)) return lanes<float>(x, [](float v) { return ::cosf(v); });
  math::Reduced reduced = math::reduce(x);
  reduced.quadrant += 1;
  return math::sine_of(reduced);
}

KCORE_INLINE Floats pow(Floats x, Floats y) {
  const Ints plain = (x > 0.0f) & (x < kInfinity) & (absolute(y) < kInfinity);
  if (any(~plain)) return lanes<float>(x, y, [](float a, float b) { return ::powf(a, b); });
  math::HalfFloats a[2], b[2];
  std::memcpy(a, &x, sizeof(x));
  std::memcpy(b, &y, sizeof(y));
  for (int i = 0; i < 2; ++i) {
    a[i] = __builtin_convertvector(math::power_of_positive(__builtin_convertvector(a[i], Doubles),
                                                           __builtin_convertvector(b[i], Doubles)),
                                   math::HalfFloats);
  }
  std::memcpy(&x, a, sizeof(x));
  return x;
}

// Functions that each have a C library routine for float and for double.
#define KCORE_LIBRARY_FUNCTION(name, float_routine, double_routine)      \
  KCORE_INLINE Floats name(Floats x) {                                   \
    return lanes<float>(x, [](float v) { return float_routine(v); });    \
  }                                                                      \
  KCORE_INLINE Doubles name(Doubles x) {                                 \
    return lanes<double>(x, [](double v) { return double_routine(v); }); \
  }

KCORE_LIBRARY_FUNCTION(floor, __builtin_floorf, __builtin_floor)
KCORE_LIBRARY_FUNCTION(ceil, __builtin_ceilf, __builtin_ceil)
KCORE_LIBRARY_FUNCTION(trunc, __builtin_truncf, __builtin_trunc)
KCORE_LIBRARY_FUNCTION(round_to_even, __builtin_rintf, __builtin_rint)
KCORE_LIBRARY_FUNCTION(log2, ::log2f, ::log2)
KCORE_LIBRARY_FUNCTION(log10, ::log10f, ::log10)
KCORE_LIBRARY_FUNCTION(tan, ::tanf, ::tan)
KCORE_LIBRARY_FUNCTION(asin, ::asinf, ::asin)
KCORE_LIBRARY_FUNCTION(acos, ::acosf, ::acos)
KCORE_LIBRARY_FUNCTION(atan, ::atanf, ::atan)
KCORE_LIBRARY_FUNCTION(sinh, ::sinhf, ::sinh)
KCORE_LIBRARY_FUNCTION(cosh, ::coshf, ::cosh)
KCORE_LIBRARY_FUNCTION(asinh, ::asinhf, ::asinh)
KCORE_LIBRARY_FUNCTION(acosh, ::acoshf, ::acosh)
KCORE_LIBRARY_FUNCTION(atanh, ::atanhf, ::atanh)

#undef KCORE_LIBRARY_FUNCTION

#define KCORE_LIBRARY_FUNCTION(name)                             \
  KCORE_INLINE Doubles name(Doubles x) {                         \
    return lanes<double>(x, [](double v) { return ::name(v); }); \
  }

KCORE_LIBRARY_FUNCTION(exp)
KCORE_LIBRARY_FUNCTION(expm1)
KCORE_LIBRARY_FUNCTION(log)
KCORE_LIBRARY_FUNCTION(log1p)
KCORE_LIBRARY_FUNCTION(tanh)
KCORE_LIBRARY_FUNCTION(erf)
KCORE_LIBRARY_FUNCTION(sin)
KCORE_LIBRARY_FUNCTION(cos)

#undef KCORE_LIBRARY_FUNCTION

KCORE_INLINE Doubles pow(Doubles x, Doubles y) {
  return lanes<double>(x, y, [](double a, double b) { return ::pow(a, b); });
}

KCORE_INLINE Floats atan2(Floats y, Floats x) {
  return lanes<float>(y, x, [](float a, float b) { return ::atan2f(a, b); });
}

KCORE_INLINE Doubles atan2(Doubles y, Doubles x) {
  return lanes<double>(y, x, [](double a, double b) { return ::atan2(a, b); });
}

KCORE_INLINE Doubles sigmoid(Doubles x) {
  const Doubles e = exp(-absolute(x));
  return (x < 0.0 ? e : splat(1.0)) / (e + 1.0);
}

KCORE_INLINE Doubles softplus(Doubles x) {
  return (x < 0.0 ? Doubles{} : x) + log1p(exp(-absolute(x)));
}

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
