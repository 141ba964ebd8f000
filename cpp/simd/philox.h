// Philox4x32-10 (J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
// 128 random bits as a function of a counter and a key, for a vector of counters at once.
#pragma once

#include "simd/vec.h"

namespace kcore::KCORE_ISA_NAMESPACE {

using Words = Vec<std::uint32_t>;

struct RandomWords {
  Words word[4];
};

namespace philox {

KCORE_INLINE void multiply(Words a, std::uint32_t factor, Words* high, Words* low) {
#if defined(__AVX512F__)
  const __m512i x = reinterpret_cast<__m512i>(a), f = _mm512_set1_epi64(factor);
  // With a mask of all lanes: GCC 12 warns of the plain forms.
  const __m512i even = _mm512_maskz_mul_epu32(0xff, x, f);
  const __m512i odd = _mm512_maskz_mul_epu32(0xff, _mm512_maskz_srli_epi64(0xff, x, 32), f);
  *high = reinterpret_cast<Words>(_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB));
  *low = reinterpret_cast<Words>(_mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CCAA));
#elif defined(__AVX2__)
  const __m256i x = reinterpret_cast<__m256i>(a), f = _mm256_set1_epi64x(factor);
  const __m256i even = _mm256_mul_epu32(x, f);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), f);
  *high = reinterpret_cast<Words>(_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa));
  *low = reinterpret_cast<Words>(_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa));
#else
  std::uint32_t lanes[kWidth<std::uint32_t>], highs[kWidth<std::uint32_t>];
  std::memcpy(lanes, &a, sizeof(a));
  for (std::int64_t i = 0; i < kWidth<std::uint32_t>; ++i) {
    const std::uint64_t product = static_cast<std::uint64_t>(lanes[i]) * factor;
    highs[i] = static_cast<std::uint32_t>(product >> 32);
    lanes[i] = static_cast<std::uint32_t>(product);
  }
  std::memcpy(high, highs, sizeof(a));
  std::memcpy(low, lanes, sizeof(a));
#endif
}

}  // namespace philox

// The words of the counters (block + lane, stream), lane by lane, for `Count` vectors of
// consecutive counters: several at once hide the latency of the multiplications.
template <int Count>
KCORE_INLINE void random_words(std::uint64_t key, std::uint64_t stream, std::uint64_t block,
                               RandomWords* out) {
  constexpr std::int64_t W = kWidth<std::uint32_t>;
  Words a[Count], b[Count], c[Count], d[Count];
  std::uint32_t lanes[W];
  for (std::int64_t i = 0; i < W; ++i) lanes[i] = static_cast<std::uint32_t>(i);
  for (int n = 0; n < Count; ++n) {
    const std::uint64_t first = block + static_cast<std::uint64_t>(n * W);
    const auto low = static_cast<std::uint32_t>(first);
    a[n] = load(lanes) + low;
    b[n] = static_cast<std::uint32_t>(first >> 32) - reinterpret_cast<Words>(a[n] < low);  // carry
    c[n] = splat(static_cast<std::uint32_t>(stream));
    d[n] = splat(static_cast<std::uint32_t>(stream >> 32));
  }
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int n = 0; n < Count; ++n) {
      Words high0, low0, high1, low1;
      philox::multiply(a[n], 0xd2511f53u, &high0, &low0);
      philox::multiply(c[n], 0xcd9e8d57u, &high1, &low1);
      a[n] = high1 ^ b[n] ^ k0;
      b[n] = low1;
      c[n] = high0 ^ d[n] ^ k1;
      d[n] = low0;
    }
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  for (int n = 0; n < Count; ++n) out[n] = {{a[n], b[n], c[n], d[n]}};
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
