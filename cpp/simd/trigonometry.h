// Trigonometric functions of vectors and their inverses, as accurate as those of math.h.
#pragma once

#include "simd/math.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace math {

template <class T>
struct Angles;

// pi/4, pi/2 and pi are each the sum of two parts.
template <>
struct Angles<float> {
  static constexpr float kQuarter[] = {7.853981853e-01f, -2.185569414e-08f};
  static constexpr float kHalf[] = {1.570796371e+00f, -4.371138829e-08f};
  static constexpr float kPi[] = {3.141592741e+00f, -8.742277657e-08f};
  // (sin(r) / r - 1) / r^2 and (cos(r) - 1 + r^2/2) / r^4, of r^2, on [0, pi/4]
  static constexpr float kSine[] = {2.717944948e-06f, -1.983929658e-04f, 8.333329268e-03f,
                                    -1.666666664e-01f};
  static constexpr float kCosine[] = {2.443507123e-05f, -1.388733913e-03f, 4.166664631e-02f};
  // (asin(x) / x - 1) / x^2, of x^2, on [0, 1/2]
  static constexpr float kArcsine[] = {4.207476974e-02f, 2.424120530e-02f, 4.545561969e-02f,
                                       7.495443523e-02f, 1.666674763e-01f};
  // (atan(x) / x - 1) / x^2, of x^2, on [0, tan(pi/8)]
  static constexpr float kArctangent[] = {-6.103352457e-02f, 1.060483977e-01f, -1.424522847e-01f,
                                          1.999857724e-01f, -3.333331645e-01f};
};

template <>
struct Angles<double> {
  static constexpr double kQuarter[] = {7.85398163397448279e-01, 3.06161699786838302e-17};
  static constexpr double kHalf[] = {1.57079632679489656e+00, 6.12323399573676604e-17};
  static constexpr double kPi[] = {3.14159265358979312e+00, 1.22464679914735321e-16};
  static constexpr double kSine[] = {1.59003704968514772e-10, -2.50508270761698529e-08,
                                     2.75573141931969298e-06, -1.98412698314942110e-04,
                                     8.33333333332496838e-03, -1.66666666666666463e-01};
  static constexpr double kCosine[] = {-1.13686338926952957e-11, 2.08759071608887265e-09,
                                       -2.75573157923075108e-07, 2.48015872948148327e-05,
                                       -1.38888888888833058e-03, 4.16666666666666574e-02};
  static constexpr double kArcsine[] = {
      3.23009900094625366e-02, -2.04491419178157788e-02, 2.12977967232237907e-02,
      3.88478836313299125e-03, 1.07299246281972217e-02,  1.14085484769021507e-02,
      1.39795459638917888e-02, 1.73517282809605919e-02,  2.23722078153014772e-02,
      3.03819429948837746e-02, 4.46428571676932562e-02,  7.49999999997951056e-02,
      1.66666666666667185e-01};
  static constexpr double kArctangent[] = {
      -1.80794246025309767e-02, 3.82307304856700572e-02,  -5.04624965941196726e-02,
      5.84953563543091151e-02,  -6.66334746209563955e-02, 7.69208345928208692e-02,
      -9.09089919265966134e-02, 1.11111108391125882e-01,  -1.42857142814654947e-01,
      1.99999999999684375e-01,  -3.33333333333332593e-01};
};

// ---- Sine, cosine, tangent ----

constexpr float kReducible = 1e6f;

template <class T>
KCORE_INLINE bool beyond_reduction(Vec<T> x) {
  return any(~(absolute(x) <= T(kReducible)));
}

// x minus a quadrant (its last bits count) times pi/2, at most pi/4.
template <class T>
struct Reduced {
  Vec<T> r;
  BitsOf<T> quadrant;
};

// Multiples of the first two parts of pi/2 by a quadrant are exact, as are the first difference,
// and what the second rounds off.
KCORE_INLINE Reduced<double> reduce(Doubles x) {
  const Doubles t = x * 0.63661977236758134308 + Format<double>::kRound;
  const Doubles n = t - Format<double>::kRound;
  const Doubles high = x - n * 1.57079632673412561417, low = n * 6.07710050630396597660e-11;
  const Doubles r = high - low;
  return {r + (((high - r) - low) - n * 2.02226624879595063154e-21), bits<double>(t)};
}

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)

// Rounded once, the first difference is exact.
KCORE_INLINE Reduced<float> reduce(Floats x) {
  const Floats t = x * 6.366197724e-01f + Format<float>::kRound;
  const Floats n = t - Format<float>::kRound;
  const Floats high = multiply_add<float>(n, splat(-1.570796371e+00f), x);
  const Floats low = multiply_add<float>(n, splat(4.371138829e-08f), high);
  return {multiply_add<float>(n, splat(1.715124499e-15f), low), bits<float>(t)};
}

#else

KCORE_INLINE Reduced<float> reduce(Floats x) {
  using HalfBits = std::uint32_t __attribute__((vector_size(kVectorBytes / 2)));
  HalfFloats parts[2], r[2];
  HalfBits quadrant[2];
  std::memcpy(parts, &x, sizeof(x));
  for (int i = 0; i < 2; ++i) {
    const Reduced<double> part = reduce(__builtin_convertvector(parts[i], Doubles));
    r[i] = __builtin_convertvector(part.r, HalfFloats);
    quadrant[i] = __builtin_convertvector(part.quadrant, HalfBits);
  }
  Reduced<float> result;
  std::memcpy(&result.r, r, sizeof(r));
  std::memcpy(&result.quadrant, quadrant, sizeof(quadrant));
  return result;
}

#endif

template <class T>
KCORE_INLINE Vec<T> sine(Vec<T> r) {
  const Vec<T> t = r * r;
  return r + r * t * polynomial<T>(t, Angles<T>::kSine);
}

template <class T>
KCORE_INLINE Vec<T> cosine(Vec<T> r) {
  const Vec<T> t = r * r;
  const Vec<T> y = T(1) - T(0.5) * t, lost = (T(1) - y) - T(0.5) * t;
  return y + (t * t * polynomial<T>(t, Angles<T>::kCosine) + lost);
}

// sin(r + quadrant * pi/2).
template <class T>
KCORE_INLINE Vec<T> sine_of(Reduced<T> x) {
  const Vec<T> y = (x.quadrant & 1) != 0 ? cosine<T>(x.r) : sine<T>(x.r);
  return reinterpret_cast<Vec<T>>(bits<T>(y) ^ ((x.quadrant >> 1) << (8 * sizeof(T) - 1)));
}

template <class T>
KCORE_INLINE Vec<T> sin(Vec<T> x) {
  return x == T(0) ? x : sine_of<T>(reduce(x));
}

template <class T>
KCORE_INLINE Vec<T> cos(Vec<T> x) {
  Reduced<T> reduced = reduce(x);
  reduced.quadrant += 1;
  return sine_of<T>(reduced);
}

template <class T>
KCORE_INLINE Vec<T> tan(Vec<T> x) {
  const Reduced<T> reduced = reduce(x);
  const auto odd = (reduced.quadrant & 1) != 0;
  const Vec<T> s = sine<T>(reduced.r), c = cosine<T>(reduced.r);
  const Vec<T> y = (odd ? -c : s) / (odd ? s : c);
  return x == T(0) ? x : y;
}

// ---- Inverses ----

template <class T>
KCORE_INLINE Vec<T> difference(const T (&angle)[2], Vec<T> x) {
  return angle[0] - (x - angle[1]);
}

// For |x| <= 1/2 its arc sine, for other |x| <= 1 half the arc cosine of |x|.
template <class T>
KCORE_INLINE Vec<T> arcsine(Vec<T> a, Lanes<T> near) {
  const Vec<T> t = near ? a * a : T(0.5) * (T(1) - a);
  const Vec<T> s = near ? a : square_root(t);
  return s + s * t * polynomial<T>(t, Angles<T>::kArcsine);
}

template <class T>
KCORE_INLINE Vec<T> asin(Vec<T> x) {
  const Vec<T> a = absolute(x);
  const Lanes<T> near = a <= T(0.5);
  const Vec<T> y = arcsine<T>(a, near);
  return with_sign(near ? y : difference<T>(Angles<T>::kHalf, T(2) * y), x);
}

template <class T>
KCORE_INLINE Vec<T> acos(Vec<T> x) {
  const Vec<T> a = absolute(x);
  const Lanes<T> near = a <= T(0.5);
  const Vec<T> y = arcsine<T>(a, near);
  const Vec<T> far = x < T(0) ? difference<T>(Angles<T>::kPi, T(2) * y) : T(2) * y;
  return near ? difference<T>(Angles<T>::kHalf, x < T(0) ? -y : y) : far;
}

// The angle of (x, y) for 0 <= x, y.
template <class T>
KCORE_INLINE Vec<T> arctangent(Vec<T> y, Vec<T> x) {
  const Lanes<T> steep = y > x;
  const Vec<T> low = steep ? x : y, high = steep ? y : x;
  // Between pi/8 and 3/8 pi it is measured from the diagonal.
  const Lanes<T> diagonal = low > T(0.41421356237309504880) * high;
  const Vec<T> q = (diagonal ? low - high : low) / (diagonal ? low + high : high);
  const Vec<T> t = q * q;
  Vec<T> angle = q + q * t * polynomial<T>(t, Angles<T>::kArctangent);
  angle = diagonal ? Angles<T>::kQuarter[0] + (angle + Angles<T>::kQuarter[1]) : angle;
  return steep ? difference<T>(Angles<T>::kHalf, angle) : angle;
}

template <class T>
KCORE_INLINE Vec<T> atan(Vec<T> x) {
  return with_sign(arctangent<T>(absolute(x), splat(T(1))), x);
}

template <class T>
KCORE_INLINE Vec<T> atan2(Vec<T> y, Vec<T> x) {
  Vec<T> a = absolute(x), b = absolute(y);
  // A sum must not overflow; 0/0 and infinity/infinity have angles.
  constexpr T kHuge = T(sizeof(T) == 4 ? 1e38 : 8e307);
  const Lanes<T> huge = (a > kHuge) | (b > kHuge);
  a = huge ? a * T(0.25) : a;
  b = huge ? b * T(0.25) : b;
  const Lanes<T> endless = (a == T(kInfinity)) & (b == T(kInfinity));
  b = endless ? splat(T(1)) : b;
  a = endless | ((a == T(0)) & (b == T(0))) ? splat(T(1)) : a;
  const Vec<T> angle = arctangent<T>(b, a);
  const auto behind = (bits<T>(x) >> (8 * sizeof(T) - 1)) != 0;
  return with_sign(behind ? difference<T>(Angles<T>::kPi, angle) : angle, y);
}

}  // namespace math

#define KCORE_PERIODIC(name)                                        \
  KCORE_INLINE Floats name(Floats x) {                              \
    if (math::beyond_reduction<float>(x)) {                         \
      return lanes<float>(x, [](float v) { return ::name##f(v); }); \
    }                                                               \
    return math::name<float>(x);                                    \
  }                                                                 \
  KCORE_INLINE Doubles name(Doubles x) {                            \
    if (math::beyond_reduction<double>(x)) {                        \
      return lanes<double>(x, [](double v) { return ::name(v); });  \
    }                                                               \
    return math::name<double>(x);                                   \
  }

KCORE_PERIODIC(sin)
KCORE_PERIODIC(cos)
KCORE_PERIODIC(tan)

#undef KCORE_PERIODIC

KCORE_FUNCTION(asin)
KCORE_FUNCTION(acos)
KCORE_FUNCTION(atan)

KCORE_INLINE Floats atan2(Floats y, Floats x) { return math::atan2<float>(y, x); }
KCORE_INLINE Doubles atan2(Doubles y, Doubles x) { return math::atan2<double>(y, x); }

}  // namespace kcore::KCORE_ISA_NAMESPACE
