#include "kernels/random.h"

#include "simd/parallel.h"
#include "simd/philox.h"
#include "simd/trigonometry.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

// A group is kLanes counters, whatever the width of a vector: its words, the first of each counter
// before the second of each, belong to consecutive elements.
constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kGroup = 4 * kLanes;  // words
constexpr std::int64_t kTask = 16 * 1024;    // elements

struct Group {
  std::uint32_t words[kGroup];
};

constexpr std::int64_t kBatch = 2;  // groups made at once

KCORE_INLINE void fill_groups(Group* groups, RandomStream stream, std::int64_t first) {
  constexpr std::int64_t W = kWidth<std::uint32_t>;
  for (std::int64_t counter = 0; counter < kBatch * kLanes; counter += 2 * W) {
    RandomWords r[2];
    random_words<2>(stream.key, stream.step, static_cast<std::uint64_t>(first * kLanes + counter),
                    r);
    for (std::int64_t n = 0; n < 2; ++n) {
      const std::int64_t at = counter + n * W;
      std::uint32_t* words = groups[at / kLanes].words + at % kLanes;
      for (std::int64_t k = 0; k < 4; ++k) store(words + k * kLanes, r[n].word[k]);
    }
  }
}

// Calls make(words, out) for each group, `out` holding so many elements.
template <class T, std::int64_t elements, class F>
void generate(void* y, std::int64_t count, RandomStream stream, const F& make) {
  const std::int64_t grain = kTask / elements;
  const std::int64_t groups = (count + elements - 1) / elements;
  for_tasks(count >= kParallelElements / 2, (groups + grain - 1) / grain, [&](std::int64_t task) {
    const std::int64_t end = (task + 1) * grain < groups ? (task + 1) * grain : groups;
    for (std::int64_t first = task * grain; first < end; first += kBatch) {
      Group batch[kBatch];
      fill_groups(batch, stream, first);
      for (std::int64_t g = first; g < end && g < first + kBatch; ++g) {
        T* out = static_cast<T*>(y) + g * elements;
        if ((g + 1) * elements <= count) {
          make(batch[g - first].words, out);
        } else {
          T rest[elements];
          make(batch[g - first].words, rest);
          std::memcpy(out, rest, static_cast<std::size_t>(count - g * elements) * sizeof(T));
        }
      }
    }
  });
}

// Keeps the compiler from contracting a product and a sum, whose bits would then depend on the
// instruction set.
template <class V>
KCORE_INLINE V rounded(V v) {
#if defined(__SSE2__)
  asm("" : "+x"(v));
#elif defined(__ARM_NEON)
  asm("" : "+w"(v));
#else
  asm("" : "+m"(v));
#endif
  return v;
}

// [0, 1), a multiple of 2^-24.
KCORE_INLINE Floats unit_floats(const std::uint32_t* words) {
  return __builtin_convertvector(reinterpret_cast<Ints>(load(words) >> 8), Floats) *
         5.9604644775390625e-8f;
}

// [0, 1), a multiple of 2^-53.
KCORE_INLINE double unit_double(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = (static_cast<std::uint64_t>(high) << 32 | low) >> 11;
  return static_cast<double>(bits) * 1.1102230246251565e-16;
}

void uniform_floats(float* y, std::int64_t count, float low, float high, RandomStream stream) {
  const float range = high - low;
  const float last = __builtin_nextafterf(high, low);  // rounding may reach `high` itself
  generate<float, kGroup>(y, count, stream, [=](const std::uint32_t* words, float* out) {
    for (std::int64_t i = 0; i < kGroup; i += kWidth<float>) {
      const Floats v = rounded(unit_floats(words + i) * range) + low;
      store<float>(out + i, v < high ? v : splat(last));
    }
  });
}

void uniform_doubles(double* y, std::int64_t count, double low, double high, RandomStream stream) {
  const double range = high - low, last = __builtin_nextafter(high, low);
  generate<double, kGroup / 2>(y, count, stream, [=](const std::uint32_t* words, double* out) {
    for (std::int64_t i = 0; i < kGroup / 2; ++i) {
      const std::int64_t at = i / kLanes * 2 * kLanes + i % kLanes;
      const double v = rounded(unit_double(words[at], words[at + kLanes]) * range) + low;
      out[i] = v < high ? v : last;
    }
  });
}

void uniform(ElementType type, void* y, std::int64_t count, double low, double high,
             RandomStream stream) {
  if (type == ElementType::float32) {
    uniform_floats(static_cast<float*>(y), count, static_cast<float>(low), static_cast<float>(high),
                   stream);
  } else {
    uniform_doubles(static_cast<double*>(y), count, low, high, stream);
  }
}

// Each of `range` values (0: all) with a probability that is off by at most 2^-64 (32 bits: 2^-32).
template <class T>
void uniform_narrow(void* y, std::int64_t count, std::int64_t low, std::uint64_t range,
                    RandomStream stream) {
  generate<T, kGroup>(y, count, stream, [=](const std::uint32_t* words, T* out) {
    for (std::int64_t i = 0; i < kGroup; ++i) {
      out[i] = static_cast<T>(static_cast<std::uint64_t>(low) + (words[i] * range >> 32));
    }
  });
}

void uniform_wide(std::int64_t* y, std::int64_t count, std::int64_t low, std::uint64_t range,
                  RandomStream stream) {
  generate<std::int64_t, kGroup / 2>(
      y, count, stream, [=](const std::uint32_t* words, std::int64_t* out) {
        for (std::int64_t i = 0; i < kGroup / 2; ++i) {
          const std::int64_t at = i / kLanes * 2 * kLanes + i % kLanes;
          const std::uint64_t bits =
              static_cast<std::uint64_t>(words[at]) << 32 | words[at + kLanes];
          const auto offset =
              static_cast<std::uint64_t>((static_cast<unsigned __int128>(bits) * range) >> 64);
          out[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + offset);
        }
      });
}

void uniform_integer(ElementType type, void* y, std::int64_t count, std::int64_t low,
                     std::int64_t high, RandomStream stream) {
  const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  switch (type) {
    case ElementType::uint8:
      return uniform_narrow<std::uint8_t>(y, count, low, range, stream);
    case ElementType::int32:
      return uniform_narrow<std::int32_t>(y, count, low, range, stream);
    default:
      return uniform_wide(static_cast<std::int64_t*>(y), count, low, range, stream);
  }
}

// Box-Muller: two words make two numbers, radius sqrt(-2 log u) and angle 2 pi v.
void normal_floats(float* y, std::int64_t count, float mean, float deviation, RandomStream stream) {
  generate<float, kGroup>(y, count, stream, [=](const std::uint32_t* words, float* out) {
    for (std::int64_t pair = 0; pair < kGroup; pair += 2 * kLanes) {
      for (std::int64_t i = pair; i < pair + kLanes; i += kWidth<float>) {
        // u in (0, 1], fine near 0, where the far tail comes from.
        const Words bits = load(words + i);
        const Floats u = __builtin_convertvector(reinterpret_cast<Ints>(bits >> 1), Floats) *
                             4.656612873077393e-10f +
                         2.3283064365386963e-10f;
        const Floats radius = square_root(-2.0f * log(u)) * deviation;
        // The two upper bits are the quadrant, the others the angle within it, about 0.
        const Words angle = load(words + i + kLanes);
        math::Reduced<float> at;
        at.r = __builtin_convertvector(reinterpret_cast<Ints>(angle << 2), Floats) *
               3.6572952e-10f;  // pi/2 * 2^-32
        at.quadrant = angle >> 30;
        store<float>(out + i, mean + radius * math::sine_of<float>(at));
        at.quadrant += 1;
        store<float>(out + i + kLanes, mean + radius * math::sine_of<float>(at));
      }
    }
  });
}

void normal_doubles(double* y, std::int64_t count, double mean, double deviation,
                    RandomStream stream) {
  generate<double, kGroup / 2>(y, count, stream, [=](const std::uint32_t* words, double* out) {
    for (std::int64_t i = 0; i < kLanes; ++i) {
      const double u = 1.0 - unit_double(words[i], words[i + kLanes]);
      const double v = unit_double(words[i + 2 * kLanes], words[i + 3 * kLanes]);
      const double radius = deviation * __builtin_sqrt(-2.0 * ::log(u));
      out[i] = mean + radius * ::sin(2 * M_PI * v);
      out[i + kLanes] = mean + radius * ::cos(2 * M_PI * v);
    }
  });
}

void normal(ElementType type, void* y, std::int64_t count, double mean, double deviation,
            RandomStream stream) {
  if (type == ElementType::float32) {
    normal_floats(static_cast<float*>(y), count, static_cast<float>(mean),
                  static_cast<float>(deviation), stream);
  } else {
    normal_doubles(static_cast<double*>(y), count, mean, deviation, stream);
  }
}

constexpr double kWithinTwo = 0.95449973610364158560;  // of a normal distribution, erf(sqrt(2))

// The inverse of the distribution function, at a uniform number.
template <class T>
KCORE_INLINE Vec<T> truncated(Vec<T> centred, T mean, T deviation) {
  Vec<T> v = erfinv(centred * static_cast<T>(kWithinTwo)) * static_cast<T>(M_SQRT2);
  v = v > T(2) ? splat(T(2)) : v;
  v = v < T(-2) ? splat(T(-2)) : v;
  return v * deviation + mean;
}

void truncated_normal(ElementType type, void* y, std::int64_t count, double mean, double deviation,
                      RandomStream stream) {
  if (type == ElementType::float32) {
    const float m = static_cast<float>(mean), d = static_cast<float>(deviation);
    generate<float, kGroup>(y, count, stream, [=](const std::uint32_t* words, float* out) {
      for (std::int64_t i = 0; i < kGroup; i += kWidth<float>) {
        const Floats centred = (unit_floats(words + i) - 0.5f) * 2.0f + 5.9604644775390625e-8f;
        store<float>(out + i, truncated<float>(centred, m, d));
      }
    });
    return;
  }
  generate<double, kGroup / 2>(y, count, stream, [=](const std::uint32_t* words, double* out) {
    for (std::int64_t i = 0; i < kGroup / 2; ++i) {
      const std::int64_t at = i / kLanes * 2 * kLanes + i % kLanes;
      out[i] = unit_double(words[at], words[at + kLanes]) * 2 - 1;
    }
    for (std::int64_t i = 0; i < kGroup / 2; i += kWidth<double>) {
      store<double>(out + i, truncated<double>(load(out + i), mean, deviation));
    }
  });
}

// Half a word decides, unless it equals the upper half of the threshold: then another word's half
// does, of a generator whose counter is the group's first two words.
template <class T>
KCORE_INLINE void settle_ties(const std::uint16_t* halves, std::uint32_t threshold,
                              RandomStream stream, T* out) {
  const std::uint16_t upper = static_cast<std::uint16_t>(threshold >> 16);
  std::uint16_t ties = 0;
  for (std::int64_t i = 0; i < 2 * kGroup; ++i) ties |= halves[i] == upper;
  if (ties == 0) return;
  Group others[kBatch];
  std::uint32_t counter[2];
  std::memcpy(counter, halves, sizeof(counter));
  const std::uint64_t first = static_cast<std::uint64_t>(counter[1] >> 8) << 32 | counter[0];
  fill_groups(others, {~stream.key, stream.step}, static_cast<std::int64_t>(first));
  for (std::int64_t i = 0; i < 2 * kGroup; ++i) {
    if (halves[i] == upper) {
      out[i] = static_cast<T>((others[i / kGroup].words[i % kGroup] >> 16) < (threshold & 0xffff));
    }
  }
}

template <class T>
void bernoulli_of(void* y, std::int64_t count, double probability, RandomStream stream) {
  const auto threshold = static_cast<std::uint64_t>(probability * 4294967296.0 + 0.5);
  if (threshold == 0 || threshold >> 32 != 0) {
    for (std::int64_t i = 0; i < count; ++i) static_cast<T*>(y)[i] = static_cast<T>(threshold != 0);
    return;
  }
  const std::uint32_t below = static_cast<std::uint32_t>(threshold);
  generate<T, 2 * kGroup>(y, count, stream, [=](const std::uint32_t* words, T* out) {
    std::uint16_t halves[2 * kGroup];
    std::memcpy(halves, words, sizeof(halves));
    const std::uint16_t upper = static_cast<std::uint16_t>(below >> 16);
    for (std::int64_t i = 0; i < 2 * kGroup; ++i) out[i] = static_cast<T>(halves[i] < upper);
    if ((below & 0xffff) != 0) settle_ties(halves, below, stream, out);
  });
}

void bernoulli(ElementType type, void* y, std::int64_t count, double probability,
               RandomStream stream) {
  switch (type) {
    case ElementType::boolean:
    case ElementType::uint8:
      return bernoulli_of<std::uint8_t>(y, count, probability, stream);
    case ElementType::int32:
      return bernoulli_of<std::int32_t>(y, count, probability, stream);
    case ElementType::int64:
      return bernoulli_of<std::int64_t>(y, count, probability, stream);
    case ElementType::float32:
      return bernoulli_of<float>(y, count, probability, stream);
    case ElementType::float64:
      return bernoulli_of<double>(y, count, probability, stream);
  }
}

// Fisher-Yates.
template <class T>
void permutation_of(T* y, std::int64_t count, RandomStream stream) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = static_cast<T>(i);
  Group batch[kBatch];
  for (std::int64_t i = count - 1; i > 0; --i) {
    const std::int64_t drawn = count - 1 - i, within = drawn % kGroup;
    if (within == 0) fill_groups(batch, stream, drawn / kGroup * kBatch);
    const std::uint64_t bits =
        static_cast<std::uint64_t>(batch[0].words[within]) << 32 | batch[1].words[within];
    const auto range = static_cast<std::uint64_t>(i) + 1;
    const auto j = static_cast<std::int64_t>((static_cast<unsigned __int128>(bits) * range) >> 64);
    const T moved = y[i];
    y[i] = y[j];
    y[j] = moved;
  }
}

void permutation(ElementType type, void* y, std::int64_t count, RandomStream stream) {
  if (type == ElementType::int32) {
    permutation_of(static_cast<std::int32_t*>(y), count, stream);
  } else {
    permutation_of(static_cast<std::int64_t*>(y), count, stream);
  }
}

}  // namespace

const RandomKernels random_table = {uniform,          uniform_integer, normal,
                                    truncated_normal, bernoulli,       permutation};

}  // namespace kcore::KCORE_ISA_NAMESPACE
