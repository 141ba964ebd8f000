// Powers of vectors, within about 2 ulp.
#pragma once

#include "simd/math.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace math {

// x / y within 2^-42, for y in [1, 4].
KCORE_INLINE Doubles near_quotient(Doubles x, Doubles y) {
#if defined(__AVX512F__)
  // A division takes as long as thirty of these. 1 / y = r (1 + e + e^2 + ...), e below 2^-14.
  const Doubles r = _mm512_maskz_rcp14_pd(0xff, y), e = 1.0 - y * r, q = x * r;
  return q * (e * e + e) + q;
#else
  return x / y;
#endif
}

// x ** y for 0 < x < infinity and finite y; the result is clamped to 2^±200.
KCORE_INLINE Doubles power_of_positive(Doubles x, Doubles y) {
  // 2 atanh(s) / (s ln 2), of s^2, for s of m in [3/4, 3/2)
  constexpr double kLog2[] = {2.90874255089579870e-01, 3.19281177507573288e-01,
                              4.12226293161568502e-01, 5.77077754103378138e-01,
                              9.61796694831777987e-01, 2.88539008177742051e+00};
  // 2 ** r on [-1/2, 1/2], error 2^-34
  constexpr double kExp2[] = {1.52019559588114432e-05, 1.54692921583748580e-04,
                              1.33339224053685961e-03, 9.61802725077266253e-03,
                              5.55041035365939212e-02, 2.40226511981732088e-01,
                              6.93147180728376111e-01, 9.99999999961673991e-01};
  const Split<double> parts = split_normal(x);
  const Doubles s = near_quotient(parts.m - 1.0, parts.m + 1.0);
  Doubles z = y * (s * polynomial<double>(s * s, kLog2) + parts.n);
  z = larger_or(splat(-200.0), smaller_or(splat(200.0), z));
  const Doubles sum = z + Format<double>::kRound, n = sum - Format<double>::kRound;
  return polynomial<double>(z - n, kExp2) * power_of_two<double>(sum);
}

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)

// A number as the sum of two.
struct Pair {
  Doubles high, low;
};

// a + b where a is 0 or the greater.
KCORE_INLINE Pair pair_sum(Doubles a, Doubles b) {
  const Doubles high = a + b;
  return {high, b - (high - a)};
}

KCORE_INLINE Pair pair_product(Doubles a, Doubles b) {
  const Doubles high = a * b;
  return {high, multiply_add<double>(a, b, -high)};
}

KCORE_INLINE Pair pair_product(Pair a, Pair b) {
  Pair y = pair_product(a.high, b.high);
  y.low += a.high * b.low + a.low * b.high;
  return y;
}

// log2(x), relative error some 2^-65, for positive finite x.
KCORE_INLINE Pair log2_pair(Doubles x) {
  const Split<double> parts = split(x);
  // s = (m - 1) / (m + 1); log2(m) = 2 / ln(2) * (s + s^3 / 3 + s^5 * kTail(s^2)).
  const Doubles f = parts.m - 1.0, g = parts.m + 1.0, g_low = parts.m - (g - 1.0);
  const Doubles inverse = 1.0 / g, quotient = f * inverse;
  const Pair s = {quotient, (multiply_add<double>(-quotient, g, f) - quotient * g_low) * inverse};
  const Pair square = pair_product(s, s);
  constexpr double kTail[] = {6.28644137007906417e-02, 5.79606916126729349e-02,
                              6.67057895633473563e-02, 7.69220311453079619e-02,
                              9.09091076656373398e-02, 1.11111110955935080e-01,
                              1.42857142857887615e-01, 1.99999999999998623e-01};
  const Pair third = {splat(3.33333333333333315e-01), splat(1.85037170770859413e-17)};
  const Pair cubic = pair_product(square, third);
  const Doubles rest = square.high * square.high * polynomial<double>(square.high, kTail);
  Pair sum = pair_sum(splat(1.0), cubic.high);
  sum = pair_sum(sum.high, sum.low + (cubic.low + rest));
  const Pair scale = {splat(2 * Format<double>::kLog2e), splat(2 * Format<double>::kLog2eLow)};
  const Pair y = pair_product(pair_product(s, sum), scale);
  const Pair result = pair_sum(parts.n, y.high);
  return {result.high, result.low + y.low};
}

// |x| ** y for finite operands, x not 0.
KCORE_INLINE Doubles power_of_magnitude(Doubles x, Doubles y) {
  const Pair log = log2_pair(absolute(x));
  const Pair exact = pair_product(y, log.high);
  // Beyond these bounds the power is infinite or 0.
  Doubles z = exact.high > 1100.0 ? splat(1100.0) : exact.high;
  z = z < -1100.0 ? splat(-1100.0) : z;
  const Doubles low = z == exact.high ? exact.low + y * log.low : Doubles{};
  const Doubles n = (z + Format<double>::kRound) - Format<double>::kRound;
  const Doubles r = ((z - n) + low) * M_LN2;
  return math::scale<double>((r * r * polynomial<double>(r, Format<double>::kExp) + r) + 1.0, n);
}

#else

KCORE_INLINE Doubles power_of_magnitude(Doubles x, Doubles y) {
  return lanes<double>(x, y, [](double a, double b) { return ::pow(__builtin_fabs(a), b); });
}

#endif

KCORE_INLINE Floats power_of_magnitude(Floats x, Floats y) {
  const WideFloats a = widen(absolute(x)), b = widen(y);
  return narrow({power_of_positive(a.low, b.low), power_of_positive(a.high, b.high)});
}

KCORE_INLINE float power(float x, float y) { return ::powf(x, y); }
KCORE_INLINE double power(double x, double y) { return ::pow(x, y); }

// Zeros, infinities and NaN are the C library's.
template <class T>
KCORE_INLINE Vec<T> pow(Vec<T> x, Vec<T> y) {
  const Vec<T> a = absolute(x);
  const Lanes<T> plain = (a > T(0)) & (a < T(kInfinity)) & (absolute(y) < T(kInfinity));
  if (any(~plain)) return lanes<T>(x, y, [](T u, T v) { return power(u, v); });
  const Vec<T> magnitude = power_of_magnitude(x, y);
  const Lanes<T> negative = x < T(0);
  if (!any(negative)) return magnitude;
  const Vec<T> half = T(0.5) * y;
  const Vec<T> signed_power = round_to_even(half) == half ? magnitude : -magnitude;
  const Vec<T> of_negative = round_to_even(y) == y ? signed_power : splat(T(kNan));
  return negative ? of_negative : magnitude;
}

}  // namespace math

KCORE_INLINE Floats pow(Floats x, Floats y) { return math::pow<float>(x, y); }
KCORE_INLINE Doubles pow(Doubles x, Doubles y) { return math::pow<double>(x, y); }

}  // namespace kcore::KCORE_ISA_NAMESPACE
