// Prints the floating-point operations a second of one thread that does nothing but independent
// fused multiply-adds, while as many threads do as the first argument says: on registers, which no
// product can exceed; after a second argument on factors that come from the first-level cache as in
// a product (a tile of so many rows by two vectors), for which some processors lower their clock. A
// processor slows down under load anyway, so it is the rate of the later half of a run of two
// thirds of a second. Compiled with -fopenmp for one instruction set.
#include <omp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef float Vec __attribute__((vector_size(kBytes)));

constexpr int kChains = 12, kSteps = 100000;
constexpr double kOperations = 2.0 * kChains * (kBytes / 4) * kSteps;

void multiply_and_add() {
  Vec acc[kChains], x, y;
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) acc[i] = Vec{} + static_cast<float>(i);
  x = Vec{} + 0.999f;
  y = Vec{} + 0.001f;
  asm volatile("" : "+x"(x), "+x"(y));
  for (int step = 0; step < kSteps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) acc[i] = acc[i] * x + y;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) asm volatile("" : : "x"(acc[i]));
}

constexpr int kRows = kBytes == 64 ? 14 : kBytes == 32 ? 6 : 4, kDepth = 128;
constexpr double kTileOperations = 2.0 * kRows * 2 * (kBytes / 4) * kDepth;

void multiply_tile() {
  alignas(64) static float a[kDepth * kRows], b[kDepth * 2 * (kBytes / 4)];
  asm volatile("" : : "r"(a), "r"(b) : "memory");
  Vec acc[kRows][2] = {};
  for (int p = 0; p < kDepth; ++p) {
    const Vec* row = reinterpret_cast<const Vec*>(b) + 2 * p;
    Vec x = row[0], y = row[1];
    asm volatile("" : "+x"(x), "+x"(y));
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vec factor = a[p * kRows + i] - Vec{};
      acc[i][0] += factor * x;
      acc[i][1] += factor * y;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) asm volatile("" : : "x"(acc[i][0]), "x"(acc[i][1]) : "memory");
}

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const bool fed = argc > 2;
  const auto work = [&] {
    if (!fed) return multiply_and_add();
    for (int tile = 0; tile < 1000; ++tile) multiply_tile();
  };
  const double operations = fed ? 1000 * kTileOperations : kOperations;
  double total = 0;
#pragma omp parallel num_threads(threads) reduction(+ : total)
  {
    const double warm = seconds();
    while (seconds() - warm < 0.33) work();
#pragma omp barrier
    const double start = seconds();
    long rounds = 0;
    for (; seconds() - start < 0.33; ++rounds) work();
    total += operations * static_cast<double>(rounds) / (seconds() - start);
  }
  std::printf("%.4g\n", total / threads);
}
