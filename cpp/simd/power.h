// Powers of vectors, within about 2 ulp.
#pragma once

#include "simd/math.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace math {

// x ** y for 0 < x < infinity and finite y; the result is clamped to 2^±200.
KCORE_INLINE Doubles power_of_positive(Doubles x, Doubles y) {
  const Longs b = reinterpret_cast<Longs>(x);
  const Longs e = (b - 0x3fe6a09e667f3bcdLL) >> 52;  // the mantissa is in [sqrt(1/2), sqrt(2))
  const Doubles m = reinterpret_cast<Doubles>(b - (e << 52));
  const Doubles n = reinterpret_cast<Doubles>(e + 0x4338000000000000LL) - Format<double>::kRound;
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
  const Doubles rounded = z + Format<double>::kRound;
  const Doubles r = z - (rounded - Format<double>::kRound);
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
  x = absolute(x);
  HalfFloats a[2], b[2];
  std::memcpy(a, &x, sizeof(x));
  std::memcpy(b, &y, sizeof(y));
  for (int i = 0; i < 2; ++i) {
    a[i] = __builtin_convertvector(power_of_positive(__builtin_convertvector(a[i], Doubles),
                                                     __builtin_convertvector(b[i], Doubles)),
                                   HalfFloats);
  }
  std::memcpy(&x, a, sizeof(x));
  return x;
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
