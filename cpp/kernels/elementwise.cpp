#include "kernels/elementwise.h"

#include "simd/parallel.h"
#include "simd/power.h"
#include "simd/scratch.h"
#include "simd/trigonometry.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

// ---- Loops ----

using Byte = std::uint8_t;

// One byte for each element of a Vec<T>.
template <class T>
struct BytesOf {
  typedef Byte type __attribute__((vector_size(kWidth<T>)));
  typedef Byte unaligned __attribute__((vector_size(kWidth<T>), aligned(1), may_alias));
};
template <class T>
using Bytes = typename BytesOf<T>::type;

// Integers as wide as T: what a comparison of Vec<T> gives.
template <class T>
using Mask = decltype(Vec<T>{} == Vec<T>{});

// Reads a source vector by vector.
template <class T>
struct Reader {
  const T* p;
  std::int64_t stride;
  bool ahead;

  explicit Reader(const BlockSource& source)
      : p(static_cast<const T*>(source.data)),
        stride(source.step * kWidth<T>),
        ahead(source.ahead) {
    // Unknown to the compiler, which would write loops again for strides of one vector.
    __asm__("" : "+r"(stride));
  }
  __attribute__((always_inline)) void prefetch() const {
    __builtin_prefetch(reinterpret_cast<const char*>(p) + kAheadBytes);
  }
  __attribute__((always_inline)) Vec<T> next() {
    const Vec<T> v = load(p);
    p += stride;
    return v;
  }
  __attribute__((always_inline)) Vec<T> rest(std::int64_t n) const { return load_partial(p, n); }
  // Goes on with the last n elements, in a buffer of a whole vector.
  __attribute__((always_inline)) void turn_to(T* buffer, std::int64_t n) {
    store<T>(buffer, rest(n));
    p = buffer;
  }
};

// The same for a condition: as many bytes as a Vec<T> has elements.
template <class T>
struct ConditionReader {
  const Byte* p;
  std::int64_t stride;
  static constexpr bool ahead = false;

  explicit ConditionReader(const BlockSource& source)
      : p(static_cast<const Byte*>(source.data)), stride(source.step * kWidth<T>) {}
  __attribute__((always_inline)) void prefetch() const {}
  __attribute__((always_inline)) Bytes<T> next() {
    const Bytes<T> v = *reinterpret_cast<const typename BytesOf<T>::unaligned*>(p);
    p += stride;
    return v;
  }
  __attribute__((always_inline)) void turn_to(T* buffer, std::int64_t n) {
    std::memcpy(buffer, p, static_cast<std::size_t>(n));
    p = reinterpret_cast<const Byte*>(buffer);
  }
};

// y = f(vector of each reader), vector by vector. What is left beyond the last whole vector goes
// through `rest` and the same loop, for the code of f may be long.
template <class T, class F, class... Readers>
KCORE_INLINE void map_vectors(void* out, std::int64_t count, const F& f, Readers... readers) {
  T* y = static_cast<T*>(out);
  const std::int64_t left = count % kWidth<T>;
  T* const end = y + (count - left);
  T rest[sizeof...(Readers) + 1][kWidth<T>];
  T* const last = rest[sizeof...(Readers)];
  std::int64_t ahead = (readers.ahead | ...);
  for (T* stop = end;;) {
    while (y != stop) {
      __asm__("" : "+r"(ahead));  // unknown, too
      if (ahead != 0) (readers.prefetch(), ...);
      store<T>(y, f(readers.next()...));
      y += kWidth<T>;
    }
    if (stop != end) return store_partial<T>(end, load(last), left);
    if (left == 0) return;
    int k = 0;
    (readers.turn_to(rest[k++], left), ...);
    y = last;
    stop = last + kWidth<T>;
  }
}

template <class T, class Op>
void unary(void* y, const BlockSource* x, std::int64_t count) {
  const auto f = [](Vec<T> a) __attribute__((always_inline)) { return Op::template apply<T>(a); };
  map_vectors<T>(y, count, f, Reader<T>(x[0]));
}

template <class T, class Op>
void binary(void* y, const BlockSource* x, std::int64_t count) {
  const auto f = [](Vec<T> a, Vec<T> b) __attribute__((always_inline)) {
    return Op::template apply<T>(a, b);
  };
  map_vectors<T>(y, count, f, Reader<T>(x[0]), Reader<T>(x[1]));
}

// The conversions between masks and bytes are written out where the compiler would take lane by
// lane.
template <class T>
KCORE_INLINE Bytes<T> narrow(Mask<T> mask) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Bytes<T>>(
               _mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(mask))) &
           1;
  }
#endif
  return __builtin_convertvector(mask, Bytes<T>) & 1;
}

template <class T, class Op>
void unary_predicate(void* out, const BlockSource* x, std::int64_t count) {
  Byte* y = static_cast<Byte*>(out);
  Reader<T> a(x[0]);
  std::int64_t i = 0;
  for (; i + kWidth<T> <= count; i += kWidth<T>) {
    if (a.ahead) a.prefetch();
    *reinterpret_cast<typename BytesOf<T>::unaligned*>(y + i) =
        narrow<T>(Op::template apply<T>(a.next()));
  }
  if (i < count) {
    const Bytes<T> v = narrow<T>(Op::template apply<T>(a.rest(count - i)));
    std::memcpy(y + i, &v, static_cast<std::size_t>(count - i));
  }
}

template <class T, class Op>
void binary_predicate(void* out, const BlockSource* x, std::int64_t count) {
  Byte* y = static_cast<Byte*>(out);
  Reader<T> a(x[0]), b(x[1]);
  std::int64_t i = 0;
  for (; i + kWidth<T> <= count; i += kWidth<T>) {
    if (a.ahead) a.prefetch();
    if (b.ahead) b.prefetch();
    *reinterpret_cast<typename BytesOf<T>::unaligned*>(y + i) =
        narrow<T>(Op::template apply<T>(a.next(), b.next()));
  }
  if (i < count) {
    const std::int64_t n = count - i;
    const Bytes<T> v = narrow<T>(Op::template apply<T>(a.rest(n), b.rest(n)));
    std::memcpy(y + i, &v, static_cast<std::size_t>(n));
  }
}

template <class T>
KCORE_INLINE Vec<T> choose(Bytes<T> condition, Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const __mmask16 chosen = _mm_test_epi8_mask(reinterpret_cast<__m128i>(condition),
                                                reinterpret_cast<__m128i>(condition));
    return reinterpret_cast<Vec<T>>(_mm512_mask_blend_epi32(chosen, reinterpret_cast<__m512i>(b),
                                                            reinterpret_cast<__m512i>(a)));
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    long long bytes;
    std::memcpy(&bytes, &condition, sizeof(bytes));
    const __m256i lanes = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(bytes));
    return reinterpret_cast<Mask<T>>(lanes) != 0 ? a : b;
  }
#endif
  return __builtin_convertvector(condition, Mask<T>) != 0 ? a : b;
}

template <class T>
void where(void* y, const BlockSource* x, std::int64_t count) {
  const auto f = [](Bytes<T> c, Vec<T> a, Vec<T> b) __attribute__((always_inline)) {
    return choose<T>(c, a, b);
  };
  map_vectors<T>(y, count, f, ConditionReader<T>(x[0]), Reader<T>(x[1]), Reader<T>(x[2]));
}

// What dropout does: where(c, a * b, d), the sources being a, b, c, d.
template <class T>
void chosen_product(void* y, const BlockSource* x, std::int64_t count) {
  const auto f = [](Vec<T> a, Vec<T> b, Bytes<T> c, Vec<T> d) __attribute__((always_inline)) {
    return choose<T>(c, a * b, d);
  };
  map_vectors<T>(y, count, f, Reader<T>(x[0]), Reader<T>(x[1]), ConditionReader<T>(x[2]),
                 Reader<T>(x[3]));
}

// And its gradient: where(c, a, b) * d.
template <class T>
void product_of_choice(void* y, const BlockSource* x, std::int64_t count) {
  const auto f = [](Bytes<T> c, Vec<T> a, Vec<T> b, Vec<T> d) __attribute__((always_inline)) {
    return choose<T>(c, a, b) * d;
  };
  map_vectors<T>(y, count, f, ConditionReader<T>(x[0]), Reader<T>(x[1]), Reader<T>(x[2]),
                 Reader<T>(x[3]));
}

// ---- Casts ----

// Out of range saturates, NaN is 0.
template <class Int, class Float>
KCORE_INLINE Int saturate(Float x) {
  constexpr Float bound = sizeof(Int) == 4 ? Float(2147483648.0) : Float(9223372036854775808.0);
  constexpr Int low = sizeof(Int) == 4 ? Int(-0x7fffffff - 1) : Int(-0x7fffffffffffffffLL - 1);
  if (x >= bound) return static_cast<Int>(~low);
  return x >= -bound ? static_cast<Int>(x) : (x < -bound ? low : Int(0));
}

template <class R, class T>
KCORE_INLINE R convert(T x) {
  constexpr bool from_float = T(0.5) != 0;
  constexpr bool to_float = R(0.5) != 0;
  if constexpr (from_float && !to_float) {
    if constexpr (sizeof(R) == 8) return saturate<std::int64_t>(x);
    return static_cast<R>(saturate<std::int32_t>(x));
  } else {
    return static_cast<R>(x);
  }
}

template <class R, class T>
void cast(void* out, const BlockSource* x, std::int64_t count) {
  R* y = static_cast<R*>(out);
  const T* a = static_cast<const T*>(x[0].data);
  if (x[0].step == 0) {
    const R value = convert<R, T>(*a);
    for (std::int64_t i = 0; i < count; ++i) y[i] = value;
  } else {
    for (std::int64_t i = 0; i < count; ++i) y[i] = convert<R, T>(a[i]);
  }
}

// ---- Operations ----

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

template <class T>
constexpr bool kIsSigned = T(-1) < T(0);

// Integer arithmetic that wraps around.
template <class T>
using Unsigned = Vec<typename UnsignedOf<T>::type>;

#define KCORE_UNARY(Name, expression)                    \
  struct Name {                                          \
    template <class T>                                   \
    KCORE_INLINE auto apply([[maybe_unused]] Vec<T> x) { \
      return expression;                                 \
    }                                                    \
  };
#define KCORE_BINARY(Name, expression)                                              \
  struct Name {                                                                     \
    template <class T>                                                              \
    KCORE_INLINE auto apply([[maybe_unused]] Vec<T> x, [[maybe_unused]] Vec<T> y) { \
      return expression;                                                            \
    }                                                                               \
  };

template <class T>
KCORE_INLINE Unsigned<T> wrap(Vec<T> x) {
  return reinterpret_cast<Unsigned<T>>(x);
}

KCORE_BINARY(Add, reinterpret_cast<Vec<T>>(wrap<T>(x) + wrap<T>(y)))
KCORE_BINARY(Subtract, reinterpret_cast<Vec<T>>(wrap<T>(x) - wrap<T>(y)))
KCORE_BINARY(Multiply, reinterpret_cast<Vec<T>>(wrap<T>(x) * wrap<T>(y)))
KCORE_BINARY(Divide, x / y)
KCORE_BINARY(Maximum, maximum(x, y))
KCORE_BINARY(Minimum, minimum(x, y))
KCORE_UNARY(Negative, reinterpret_cast<Vec<T>>(-wrap<T>(x)))
KCORE_UNARY(Square, reinterpret_cast<Vec<T>>(wrap<T>(x) * wrap<T>(x)))
KCORE_UNARY(Relu, rectify(x))
KCORE_UNARY(Identity, x)

struct Abs {
  template <class T>
  KCORE_INLINE Vec<T> apply(Vec<T> x) {
    if constexpr (kIsFloat<T>) {
      return absolute(x);
    } else {
      return x < T(0) ? Negative::apply<T>(x) : x;
    }
  }
};

struct Sign {
  template <class T>
  KCORE_INLINE Vec<T> apply(Vec<T> x) {
    const Vec<T> y = x > T(0) ? splat(T(1)) : (x < T(0) ? splat(static_cast<T>(-1)) : Vec<T>{});
    return x != x ? x : y;
  }
};

// Rounds towards minus infinity; 0 where the divisor is 0.
template <class T>
KCORE_INLINE T floor_quotient(T a, T b) {
  using U = typename UnsignedOf<T>::type;
  if (b == 0) return 0;
  if (kIsSigned<T> && b == static_cast<T>(-1)) return static_cast<T>(U(0) - static_cast<U>(a));
  const T q = static_cast<T>(a / b);
  return static_cast<T>(q - (a % b != 0 && (a < 0) != (b < 0)));
}

// Has the divisor's sign; 0 where the divisor is 0.
template <class T>
KCORE_INLINE T floor_remainder(T a, T b) {
  if (b == 0 || (kIsSigned<T> && b == static_cast<T>(-1))) return 0;
  const T r = static_cast<T>(a % b);
  return r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
}

KCORE_INLINE float remainder(float a, float b) { return __builtin_fmodf(a, b); }
KCORE_INLINE double remainder(double a, double b) { return __builtin_fmod(a, b); }

struct FloorDivide {
  template <class T>
  KCORE_INLINE Vec<T> apply(Vec<T> x, Vec<T> y) {
    if constexpr (kIsFloat<T>) {
      return lanes<T>(x, y, [](T a, T b) {
        if (b == 0) return a / b;
        const T r = remainder(a, b);
        T q = (a - r) / b;
        if (r != 0 && (b < 0) != (r < 0)) q -= 1;
        const T f = static_cast<T>(__builtin_floor(q));
        return q - f > T(0.5) ? f + 1
                              : (q == 0 ? static_cast<T>(__builtin_copysign(0.0, a / b)) : f);
      });
    } else {
      return lanes<T>(x, y, floor_quotient<T>);
    }
  }
};

struct Mod {
  template <class T>
  KCORE_INLINE Vec<T> apply(Vec<T> x, Vec<T> y) {
    if constexpr (kIsFloat<T>) {
      return lanes<T>(x, y, [](T a, T b) {
        const T r = remainder(a, b);
        if (r == 0) return static_cast<T>(__builtin_copysign(0.0, b));
        return (b < 0) != (r < 0) ? r + b : r;
      });
    } else {
      return lanes<T>(x, y, floor_remainder<T>);
    }
  }
};

// By squaring, wrapping around; a negative exponent gives the true result rounded towards zero.
template <class T>
KCORE_INLINE T integer_power(T base, T exponent) {
  using U = typename UnsignedOf<T>::type;
  if (exponent < 0) {
    if (base == 1) return 1;
    if (kIsSigned<T> && base == static_cast<T>(-1)) return exponent % 2 ? base : 1;
    return 0;
  }
  U result = 1, factor = static_cast<U>(base);
  for (U e = static_cast<U>(exponent); e != 0; e = static_cast<U>(e >> 1)) {
    if (e & 1) result = static_cast<U>(result * factor);
    factor = static_cast<U>(factor * factor);
  }
  return static_cast<T>(result);
}

struct Power {
  template <class T>
  KCORE_INLINE Vec<T> apply(Vec<T> x, Vec<T> y) {
    if constexpr (kIsFloat<T>) {
      return pow(x, y);
    } else {
      return lanes<T>(x, y, integer_power<T>);
    }
  }
};

KCORE_UNARY(Exp, exp(x))
KCORE_UNARY(Expm1, expm1(x))
KCORE_UNARY(Log, log(x))
KCORE_UNARY(Log1p, log1p(x))
KCORE_UNARY(Log2, log2(x))
KCORE_UNARY(Log10, log10(x))
KCORE_UNARY(Sqrt, square_root(x))
KCORE_UNARY(Rsqrt, T(1) / square_root(x))
KCORE_UNARY(Reciprocal, T(1) / x)
KCORE_UNARY(Sin, sin(x))
KCORE_UNARY(Cos, cos(x))
KCORE_UNARY(Tan, tan(x))
KCORE_UNARY(Arcsin, asin(x))
KCORE_UNARY(Arccos, acos(x))
KCORE_UNARY(Arctan, atan(x))
KCORE_BINARY(Arctan2, atan2(x, y))
KCORE_UNARY(Sinh, sinh(x))
KCORE_UNARY(Cosh, cosh(x))
KCORE_UNARY(Tanh, tanh(x))
KCORE_UNARY(Arcsinh, asinh(x))
KCORE_UNARY(Arccosh, acosh(x))
KCORE_UNARY(Arctanh, atanh(x))
KCORE_UNARY(Erf, erf(x))
KCORE_UNARY(Erfinv, erfinv(x))
KCORE_UNARY(Sigmoid, sigmoid(x))
KCORE_UNARY(Softplus, softplus(x))
KCORE_UNARY(Lgamma, lgamma(x))
KCORE_UNARY(Digamma, digamma(x))
KCORE_UNARY(Floor, floor(x))
KCORE_UNARY(Ceil, ceil(x))
KCORE_UNARY(Round, round_to_even(x))
KCORE_UNARY(Trunc, trunc(x))

KCORE_BINARY(Equal, x == y)
KCORE_BINARY(NotEqual, x != y)
KCORE_BINARY(Less, x < y)
KCORE_BINARY(LessEqual, x <= y)
KCORE_BINARY(Greater, x > y)
KCORE_BINARY(GreaterEqual, x >= y)
KCORE_BINARY(LogicalAnd, (x != T(0)) & (y != T(0)))
KCORE_BINARY(LogicalOr, (x != T(0)) | (y != T(0)))
KCORE_BINARY(LogicalXor, (x != T(0)) ^ (y != T(0)))
KCORE_UNARY(LogicalNot, x == T(0))
KCORE_UNARY(NotZero, x != T(0))
KCORE_UNARY(IsNan, x != x)
KCORE_UNARY(IsInf, absolute(x) == T(kInfinity))
KCORE_UNARY(IsFinite, absolute(x) < T(kInfinity))

KCORE_BINARY(BitwiseAnd, x& y)
KCORE_BINARY(BitwiseOr, x | y)
KCORE_BINARY(BitwiseXor, x ^ y)
KCORE_UNARY(BitwiseNot, ~x)

// Counts outside [0, bits) shift everything out.
template <class T>
KCORE_INLINE T shifted_left(T a, T b) {
  using U = typename UnsignedOf<T>::type;
  const U count = static_cast<U>(b);
  return count < 8 * sizeof(T) ? static_cast<T>(static_cast<U>(a) << count) : T(0);
}

template <class T>
KCORE_INLINE T shifted_right(T a, T b) {
  using U = typename UnsignedOf<T>::type;
  const U count = static_cast<U>(b);
  if (count < 8 * sizeof(T)) return static_cast<T>(a >> count);
  return static_cast<T>(a < 0 ? -1 : 0);
}

struct LeftShift {
  template <class T>
  KCORE_INLINE Vec<T> apply(Vec<T> x, Vec<T> y) {
    return lanes<T>(x, y, shifted_left<T>);
  }
};

struct RightShift {
  template <class T>
  KCORE_INLINE Vec<T> apply(Vec<T> x, Vec<T> y) {
    return lanes<T>(x, y, shifted_right<T>);
  }
};

// ---- Choice of the loop ----

template <class T>
BlockFunction float_function(Opcode opcode) {
  switch (opcode) {
    case Opcode::divide:
      return binary<T, Divide>;
    case Opcode::exp:
      return unary<T, Exp>;
    case Opcode::expm1:
      return unary<T, Expm1>;
    case Opcode::log:
      return unary<T, Log>;
    case Opcode::log1p:
      return unary<T, Log1p>;
    case Opcode::log2:
      return unary<T, Log2>;
    case Opcode::log10:
      return unary<T, Log10>;
    case Opcode::sqrt:
      return unary<T, Sqrt>;
    case Opcode::rsqrt:
      return unary<T, Rsqrt>;
    case Opcode::reciprocal:
      return unary<T, Reciprocal>;
    case Opcode::sin:
      return unary<T, Sin>;
    case Opcode::cos:
      return unary<T, Cos>;
    case Opcode::tan:
      return unary<T, Tan>;
    case Opcode::arcsin:
      return unary<T, Arcsin>;
    case Opcode::arccos:
      return unary<T, Arccos>;
    case Opcode::arctan:
      return unary<T, Arctan>;
    case Opcode::arctan2:
      return binary<T, Arctan2>;
    case Opcode::sinh:
      return unary<T, Sinh>;
    case Opcode::cosh:
      return unary<T, Cosh>;
    case Opcode::tanh:
      return unary<T, Tanh>;
    case Opcode::arcsinh:
      return unary<T, Arcsinh>;
    case Opcode::arccosh:
      return unary<T, Arccosh>;
    case Opcode::arctanh:
      return unary<T, Arctanh>;
    case Opcode::erf:
      return unary<T, Erf>;
    case Opcode::erfinv:
      return unary<T, Erfinv>;
    case Opcode::sigmoid:
      return unary<T, Sigmoid>;
    case Opcode::softplus:
      return unary<T, Softplus>;
    case Opcode::lgamma:
      return unary<T, Lgamma>;
    case Opcode::digamma:
      return unary<T, Digamma>;
    case Opcode::floor:
      return unary<T, Floor>;
    case Opcode::ceil:
      return unary<T, Ceil>;
    case Opcode::round:
      return unary<T, Round>;
    case Opcode::trunc:
      return unary<T, Trunc>;
    case Opcode::isnan:
      return unary_predicate<T, IsNan>;
    case Opcode::isinf:
      return unary_predicate<T, IsInf>;
    case Opcode::isfinite:
      return unary_predicate<T, IsFinite>;
    default:
      return nullptr;
  }
}

template <class T>
BlockFunction integer_function(Opcode opcode) {
  switch (opcode) {
    case Opcode::bitwise_and:
      return binary<T, BitwiseAnd>;
    case Opcode::bitwise_or:
      return binary<T, BitwiseOr>;
    case Opcode::bitwise_xor:
      return binary<T, BitwiseXor>;
    case Opcode::bitwise_not:
      return unary<T, BitwiseNot>;
    case Opcode::left_shift:
      return binary<T, LeftShift>;
    case Opcode::right_shift:
      return binary<T, RightShift>;
    default:
      return nullptr;
  }
}

template <class T>
BlockFunction arithmetic_function(Opcode opcode) {
  switch (opcode) {
    case Opcode::add:
      return binary<T, Add>;
    case Opcode::subtract:
      return binary<T, Subtract>;
    case Opcode::multiply:
      return binary<T, Multiply>;
    case Opcode::floor_divide:
      return binary<T, FloorDivide>;
    case Opcode::mod:
      return binary<T, Mod>;
    case Opcode::power:
      return binary<T, Power>;
    case Opcode::negative:
      return unary<T, Negative>;
    case Opcode::abs:
      return unary<T, Abs>;
    case Opcode::sign:
      return unary<T, Sign>;
    case Opcode::square:
      return unary<T, Square>;
    case Opcode::relu:
      return unary<T, Relu>;
    default:
      if constexpr (kIsFloat<T>) return float_function<T>(opcode);
      return nullptr;
  }
}

// What every type has, T being uint8 for booleans.
template <class T>
BlockFunction common_function(Opcode opcode) {
  switch (opcode) {
    case Opcode::maximum:
      return binary<T, Maximum>;
    case Opcode::minimum:
      return binary<T, Minimum>;
    case Opcode::equal:
      return binary_predicate<T, Equal>;
    case Opcode::not_equal:
      return binary_predicate<T, NotEqual>;
    case Opcode::less:
      return binary_predicate<T, Less>;
    case Opcode::less_equal:
      return binary_predicate<T, LessEqual>;
    case Opcode::greater:
      return binary_predicate<T, Greater>;
    case Opcode::greater_equal:
      return binary_predicate<T, GreaterEqual>;
    case Opcode::logical_and:
      return binary_predicate<T, LogicalAnd>;
    case Opcode::logical_or:
      return binary_predicate<T, LogicalOr>;
    case Opcode::logical_xor:
      return binary_predicate<T, LogicalXor>;
    case Opcode::logical_not:
      return unary_predicate<T, LogicalNot>;
    case Opcode::where:
      return where<T>;
    case Opcode::cast_bool:
      return unary_predicate<T, NotZero>;
    case Opcode::cast_uint8:
      return cast<std::uint8_t, T>;
    case Opcode::cast_int32:
      return cast<std::int32_t, T>;
    case Opcode::cast_int64:
      return cast<std::int64_t, T>;
    case Opcode::cast_float32:
      return cast<float, T>;
    case Opcode::cast_float64:
      return cast<double, T>;
    case Opcode::identity:
      return unary<T, Identity>;
    default:
      return nullptr;
  }
}

BlockFunction boolean_function(Opcode opcode) {
  switch (opcode) {
    case Opcode::bitwise_and:
      return binary_predicate<Byte, LogicalAnd>;
    case Opcode::bitwise_or:
      return binary_predicate<Byte, LogicalOr>;
    case Opcode::bitwise_xor:
      return binary_predicate<Byte, LogicalXor>;
    case Opcode::bitwise_not:
      return unary_predicate<Byte, LogicalNot>;
    default:
      return common_function<Byte>(opcode);
  }
}

template <class T>
BlockFunction number_function(Opcode opcode) {
  if (const BlockFunction f = common_function<T>(opcode)) return f;
  if (const BlockFunction f = arithmetic_function<T>(opcode)) return f;
  if constexpr (!kIsFloat<T>) return integer_function<T>(opcode);
  return nullptr;
}

BlockFunction function(Opcode opcode, ElementType type) {
  switch (type) {
    case ElementType::boolean:
      return boolean_function(opcode);
    case ElementType::uint8:
      return number_function<std::uint8_t>(opcode);
    case ElementType::int32:
      return number_function<std::int32_t>(opcode);
    case ElementType::int64:
      return number_function<std::int64_t>(opcode);
    case ElementType::float32:
      return number_function<float>(opcode);
    case ElementType::float64:
      return number_function<double>(opcode);
  }
  return nullptr;
}

// ---- Two operations in one loop ----

template <class T, class Inner, class Outer, bool second>
void fused_binary(void* y, const BlockSource* x, std::int64_t count) {
  const auto f = [](Vec<T> a, Vec<T> b, Vec<T> c) __attribute__((always_inline)) {
    const Vec<T> inner = Inner::template apply<T>(a, b);
    return second ? Outer::template apply<T>(c, inner) : Outer::template apply<T>(inner, c);
  };
  map_vectors<T>(y, count, f, Reader<T>(x[0]), Reader<T>(x[1]), Reader<T>(x[2]));
}

template <class T, class Inner, class Outer, bool second>
void fused_unary(void* y, const BlockSource* x, std::int64_t count) {
  const auto f = [](Vec<T> a, Vec<T> b) __attribute__((always_inline)) {
    const Vec<T> inner = Inner::template apply<T>(a);
    return second ? Outer::template apply<T>(b, inner) : Outer::template apply<T>(inner, b);
  };
  map_vectors<T>(y, count, f, Reader<T>(x[0]), Reader<T>(x[1]));
}

// The activation of a scaled input.
template <class T, class Outer>
void function_of_product(void* y, const BlockSource* x, std::int64_t count) {
  const auto f = [](Vec<T> a, Vec<T> b) __attribute__((always_inline)) {
    return Outer::template apply<T>(a * b);
  };
  map_vectors<T>(y, count, f, Reader<T>(x[0]), Reader<T>(x[1]));
}

// f of four sources.
template <class T, class F>
KCORE_INLINE void map_four(void* y, const BlockSource* x, std::int64_t count, const F& f) {
  map_vectors<T>(y, count, f, Reader<T>(x[0]), Reader<T>(x[1]), Reader<T>(x[2]), Reader<T>(x[3]));
}

template <class T, class Compare>
void fused_where(void* y, const BlockSource* x, std::int64_t count) {
  map_four<T>(
      y, x, count, [](Vec<T> a, Vec<T> b, Vec<T> c, Vec<T> d) __attribute__((always_inline)) {
        return Compare::template apply<T>(a, b) ? c : d;
      });
}

template <class T, class Outer>
void product_sum(void* y, const BlockSource* x, std::int64_t count) {
  map_four<T>(
      y, x, count, [](Vec<T> a, Vec<T> b, Vec<T> c, Vec<T> d) __attribute__((always_inline)) {
        return Outer::template apply<T>(a * b, c * d);
      });
}

template <class T, class Inner, bool unary_inner, class Outer, bool second>
constexpr BlockFunction fused_of() {
  if constexpr (unary_inner) {
    return fused_unary<T, Inner, Outer, second>;
  } else {
    return fused_binary<T, Inner, Outer, second>;
  }
}

template <class T, class Inner, bool unary_inner>
BlockFunction fused_with(Opcode outer, int place) {
  switch (outer) {
    case Opcode::add:
      return fused_of<T, Inner, unary_inner, Add, false>();
    case Opcode::subtract:
      return place == 0 ? fused_of<T, Inner, unary_inner, Subtract, false>()
                        : fused_of<T, Inner, unary_inner, Subtract, true>();
    case Opcode::multiply:
      return fused_of<T, Inner, unary_inner, Multiply, false>();
    case Opcode::divide:
      return place == 0 ? fused_of<T, Inner, unary_inner, Divide, false>()
                        : fused_of<T, Inner, unary_inner, Divide, true>();
    case Opcode::maximum:
      return fused_of<T, Inner, unary_inner, Maximum, false>();
    case Opcode::minimum:
      return fused_of<T, Inner, unary_inner, Minimum, false>();
    default:
      return nullptr;
  }
}

// What gelu, elu and silu do with the function that they are made of.
template <class T>
BlockFunction fused_activation(Opcode inner, Opcode outer) {
  if (inner == Opcode::multiply && outer == Opcode::erf) return function_of_product<T, Erf>;
  if (inner == Opcode::multiply && outer == Opcode::tanh) return function_of_product<T, Tanh>;
  if (outer != Opcode::multiply) return nullptr;
  if (inner == Opcode::expm1) return fused_unary<T, Expm1, Multiply, false>;
  return inner == Opcode::sigmoid ? fused_unary<T, Sigmoid, Multiply, false> : nullptr;
}

template <class T>
BlockFunction fused_type(Opcode inner, Opcode outer, int place) {
  if (const BlockFunction f = fused_activation<T>(inner, outer)) return f;
  if (inner == Opcode::where) return outer == Opcode::multiply ? product_of_choice<T> : nullptr;
  if (outer == Opcode::where && place > 0) {
    return place == 1 && inner == Opcode::multiply ? chosen_product<T> : nullptr;
  }
  if (outer == Opcode::where) {
    switch (inner) {
      case Opcode::equal:
        return fused_where<T, Equal>;
      case Opcode::not_equal:
        return fused_where<T, NotEqual>;
      case Opcode::less:
        return fused_where<T, Less>;
      case Opcode::less_equal:
        return fused_where<T, LessEqual>;
      case Opcode::greater:
        return fused_where<T, Greater>;
      case Opcode::greater_equal:
        return fused_where<T, GreaterEqual>;
      default:
        return nullptr;
    }
  }
  switch (inner) {
    case Opcode::add:
      return fused_with<T, Add, false>(outer, place);
    case Opcode::subtract:
      return fused_with<T, Subtract, false>(outer, place);
    case Opcode::multiply:
      return fused_with<T, Multiply, false>(outer, place);
    case Opcode::divide:
      return fused_with<T, Divide, false>(outer, place);
    case Opcode::square:
      return fused_with<T, Square, true>(outer, place);
    case Opcode::sqrt:
      return fused_with<T, Sqrt, true>(outer, place);
    default:
      return nullptr;
  }
}

BlockFunction fused(Opcode inner, Opcode outer, int place, ElementType type) {
  if (type == ElementType::float32) return fused_type<float>(inner, outer, place);
  if (type == ElementType::float64) return fused_type<double>(inner, outer, place);
  return nullptr;
}

template <class T>
BlockFunction sum_of_products_type(Opcode outer) {
  if (outer == Opcode::add) return product_sum<T, Add>;
  return outer == Opcode::subtract ? product_sum<T, Subtract> : nullptr;
}

BlockFunction sum_of_products(Opcode outer, ElementType type) {
  if (type == ElementType::float32) return sum_of_products_type<float>(outer);
  if (type == ElementType::float64) return sum_of_products_type<double>(outer);
  return nullptr;
}

// ---- Broadcast inputs ----

template <class T>
void repeat(T* y, T value, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = value;
}

void splat_bytes(void* out, const void* element, std::int64_t width, std::int64_t bytes) {
  switch (width) {
    case 1:
      return repeat(static_cast<std::uint8_t*>(out), *static_cast<const std::uint8_t*>(element),
                    bytes);
    case 4:
      return repeat(static_cast<std::uint32_t*>(out), *static_cast<const std::uint32_t*>(element),
                    bytes / 4);
    default:
      return repeat(static_cast<std::uint64_t*>(out), *static_cast<const std::uint64_t*>(element),
                    bytes / 8);
  }
}

// Where an element of the result lies in the input, moved on run by run of the innermost extent.
struct Odometer {
  const Broadcast& shape;
  std::int64_t index[Broadcast::kMaxRank];
  std::int64_t offset = 0;

  Odometer(const Broadcast& broadcast, std::int64_t position) : shape(broadcast) {
    for (int d = shape.rank - 1; d >= 0; --d) {
      index[d] = position % shape.extents[d];
      position /= shape.extents[d];
      offset += index[d] * shape.strides[d];
    }
  }

  std::int64_t run() const { return shape.extents[shape.rank - 1] - index[shape.rank - 1]; }

  // To the start of the next run.
  void advance() {
    int d = shape.rank - 1;
    offset -= index[d] * shape.strides[d];
    index[d] = 0;
    while (--d >= 0) {
      offset += shape.strides[d];
      if (++index[d] < shape.extents[d]) return;
      offset -= shape.extents[d] * shape.strides[d];
      index[d] = 0;
    }
  }
};

// Elements [position, position + count) of the result's index space, from the repeated input.
template <class T>
void expand(T* y, const T* x, const Broadcast& shape, std::int64_t position, std::int64_t count) {
  Odometer at(shape, position);
  const bool consecutive = shape.strides[shape.rank - 1] == 1;
  while (count > 0) {
    const std::int64_t run = at.run() < count ? at.run() : count;
    const T* source = x + at.offset;
    if (!consecutive) {
      repeat(y, *source, run);
    } else if (run < 64) {
      for (std::int64_t i = 0; i < run; ++i) y[i] = source[i];
    } else {
      std::memcpy(y, source, static_cast<std::size_t>(run) * sizeof(T));
    }
    y += run;
    count -= run;
    at.advance();
  }
}

void expand(void* y, const void* x, const Broadcast& shape, std::int64_t position,
            std::int64_t count) {
  switch (shape.element_bytes) {
    case 1:
      return expand(static_cast<std::uint8_t*>(y), static_cast<const std::uint8_t*>(x), shape,
                    position, count);
    case 4:
      return expand(static_cast<std::uint32_t*>(y), static_cast<const std::uint32_t*>(x), shape,
                    position, count);
    default:
      return expand(static_cast<std::uint64_t*>(y), static_cast<const std::uint64_t*>(x), shape,
                    position, count);
  }
}

// ---- Evaluation ----

constexpr std::int64_t round_up(std::int64_t n) { return (n + 63) / 64 * 64; }

// The block of a broadcast input that starts at `begin`. `buffer` holds two blocks: a pattern that
// repeats within a block is written out once a task, and then read at an offset.
BlockSource broadcast_source(const Broadcast& shape, const void* input, std::byte* buffer,
                             std::int64_t begin, std::int64_t count, std::int64_t block,
                             bool first) {
  const std::int64_t width = shape.element_bytes;
  const std::int64_t position = begin % shape.period;
  if (shape.period <= block) {
    if (first) expand(buffer, input, shape, 0, shape.period + count);
    return {buffer + position * width, 1};
  }
  const Odometer at(shape, position);
  if (at.run() < count) {
    expand(buffer, input, shape, position, count);
    return {buffer, 1};
  }
  const std::byte* source = static_cast<const std::byte*>(input) + at.offset * width;
  if (shape.strides[shape.rank - 1] == 1) return {source, 1};
  splat_bytes(buffer, source, width, kSplatBytes);
  return {buffer, 0};
}

// Elements: of a longer block the stores past the caches would hold up those of the next one.
constexpr std::int64_t kStreamedBlock = 512;

// Inputs of fewer bytes are likely in a cache, where asking for them costs more than it gains.
constexpr std::int64_t kCachedBytes = std::int64_t{1} << 18;

// How a step's result reaches the memory of its output.
enum class Way {
  direct,    // the step writes it there
  copied,    // block by block: that memory is also an input, still to be read
  streamed,  // block by block, past the caches
};

Way way_of(const ElementwisePlan& plan, const void* const* inputs, void* const* outputs, int o) {
  const int s = plan.stores[o];
  bool in_place = false;
  for (int i = 0; i < plan.inputs; ++i) {
    if (inputs[i] != outputs[o]) continue;
    in_place = true;
    if (plan.last_use[i] > s) return Way::copied;
  }
  if (!in_place && leaves_caches(plan.size * plan.program[s].width)) return Way::streamed;
  return plan.program[s].output == o ? Way::direct : Way::copied;
}

// How a task's scratch memory is divided: a block for each slot, then for each broadcast input,
// then a source for each register.
struct Division {
  std::int64_t slot_bytes, input_bytes, total;
};

Division divide(const ElementwisePlan& plan, std::int64_t block) {
  const std::int64_t slot_bytes = block * plan.width, input_bytes = 2 * slot_bytes + kSplatBytes;
  const int registers = plan.inputs + plan.constants + plan.steps;
  int buffered = 0;
  for (int i = 0; i < plan.inputs; ++i)
    buffered += plan.broadcasts[i].kind != Broadcast::Kind::full;
  return {slot_bytes, input_bytes,
          plan.slots * slot_bytes + buffered * input_bytes +
              registers * static_cast<std::int64_t>(sizeof(BlockSource))};
}

std::int64_t task_count(const ElementwisePlan& plan) {
  return (plan.size + plan.grain - 1) / plan.grain;
}

ScratchNeed scratch(const ElementwisePlan& plan) {
  ScratchNeed need;
  if (plan.size == 0) return need;
  const std::int64_t whole = round_up(plan.size);
  const std::int64_t bytes = divide(plan, plan.block < whole ? plan.block : whole).total;
  need.add(Scratch::elementwise, bytes, task_count(plan));
  return need;
}

void evaluate_part(const ElementwisePlan& plan, const void* const* inputs, void* const* outputs,
                   const Way* ways, const ElementwisePart& part) {
  std::int64_t block = plan.block < part.cols ? plan.block : round_up(part.cols);
  for (int o = 0; o < plan.outputs; ++o) {
    if (ways[o] == Way::streamed && block > kStreamedBlock) block = kStreamedBlock;
  }
  const auto [slot_bytes, input_bytes, scratch_bytes] = divide(plan, block);
  std::byte* memory = thread_scratch(Scratch::elementwise, static_cast<std::size_t>(scratch_bytes));
  std::byte* slots = memory;
  std::byte* buffers[ElementwisePlan::kMaxOperands];
  memory += plan.slots * slot_bytes;
  for (int i = 0; i < plan.inputs; ++i) {
    buffers[i] = memory;
    if (plan.broadcasts[i].kind != Broadcast::Kind::full) memory += input_bytes;
  }
  auto* sources = reinterpret_cast<BlockSource*>(memory);
  for (int i = 0; i < plan.inputs; ++i) {
    const Broadcast& shape = plan.broadcasts[i];
    if (shape.kind != Broadcast::Kind::scalar) continue;
    splat_bytes(buffers[i], inputs[i], shape.element_bytes, kSplatBytes);
    sources[i] = {buffers[i], 0};
  }
  for (int i = 0; i < plan.constants; ++i) {
    sources[plan.inputs + i] = {plan.constant_splats + i * kSplatBytes, 0};
  }
  BlockSource* results = sources + plan.inputs + plan.constants;

  const bool ahead = part.rows == 1 && plan.size * plan.width >= kCachedBytes;
  const auto evaluate_block = [&](std::int64_t start, std::int64_t local, std::int64_t count) {
    for (int i = 0; i < plan.inputs; ++i) {
      const Broadcast& shape = plan.broadcasts[i];
      if (i == part.local) {
        sources[i] = {static_cast<const std::byte*>(inputs[i]) + local * shape.element_bytes, 1};
      } else if (shape.kind == Broadcast::Kind::full) {
        sources[i] = {static_cast<const std::byte*>(inputs[i]) + start * shape.element_bytes, 1,
                      ahead};
      } else if (shape.kind == Broadcast::Kind::strided) {
        sources[i] =
            broadcast_source(shape, inputs[i], buffers[i], start, count, block, local == 0);
      }
    }
    for (int s = 0; s < plan.steps; ++s) {
      const ElementwiseStep& step = plan.program[s];
      if (step.function == nullptr) continue;
      BlockSource args[ElementwiseStep::kMaxArgs];
      for (int k = 0; k < ElementwiseStep::kMaxArgs; ++k) {
        if (step.args[k] >= 0) args[k] = sources[step.args[k]];
      }
      std::byte* y = slots + step.slot * slot_bytes;
      if (step.output >= 0 && ways[step.output] == Way::direct) {
        y = static_cast<std::byte*>(outputs[step.output]) + start * step.width;
      }
      step.function(y, args, count);
      results[s] = {y, 1};
    }
    for (int o = 0; o < plan.outputs; ++o) {
      const int s = plan.stores[o];
      const std::int64_t width = plan.program[s].width;
      std::byte* y = static_cast<std::byte*>(outputs[o]) + start * width;
      if (ways[o] == Way::copied) {
        std::memcpy(y, results[s].data, static_cast<std::size_t>(count * width));
      } else if (ways[o] == Way::streamed) {
        stream_bytes(y, results[s].data, count * width);
      }
    }
  };
  for (std::int64_t row = 0; row < part.rows; ++row) {
    const std::int64_t start = part.first + row * part.stride;
    for (std::int64_t col = 0; col < part.cols; col += block) {
      evaluate_block(start + col, row * part.cols + col,
                     block < part.cols - col ? block : part.cols - col);
    }
  }
  finish_streaming();
}

struct Ways {
  Way of[ElementwisePlan::kMaxOperands];

  Ways(const ElementwisePlan& plan, const void* const* inputs, void* const* outputs) {
    for (int o = 0; o < plan.outputs; ++o) of[o] = way_of(plan, inputs, outputs, o);
  }
};

void evaluate(const ElementwisePlan& plan, const void* const* inputs, void* const* outputs) {
  const Ways ways(plan, inputs, outputs);
  parallel_for(task_count(plan), [&](std::int64_t task) {
    const std::int64_t begin = task * plan.grain;
    const std::int64_t end = begin + plan.grain < plan.size ? begin + plan.grain : plan.size;
    evaluate_part(plan, inputs, outputs, ways.of, {begin, 1, end - begin, 0, -1});
  });
}

void evaluate_part(const ElementwisePlan& plan, const void* const* inputs, void* const* outputs,
                   const ElementwisePart& part) {
  const Ways ways(plan, inputs, outputs);
  // Rows of all columns are one.
  if (part.cols == part.stride) {
    return evaluate_part(plan, inputs, outputs, ways.of,
                         {part.first, 1, part.rows * part.cols, 0, part.local});
  }
  evaluate_part(plan, inputs, outputs, ways.of, part);
}

}  // namespace

const ElementwiseKernels elementwise_table = {function, fused,         sum_of_products,
                                              evaluate, evaluate_part, scratch};

}  // namespace kcore::KCORE_ISA_NAMESPACE
