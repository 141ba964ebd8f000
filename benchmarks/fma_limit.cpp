// Prints the floating-point operations a second of one thread that does nothing but independent
// fused multiply-adds on registers, while as many threads do as the argument says: what no product
// can exceed. A processor slows down under such load, so it is the rate of the later half of a run
// of two thirds of a second. Compiled with -march=native -fopenmp.
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

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  double total = 0;
#pragma omp parallel num_threads(threads) reduction(+ : total)
  {
    const double warm = seconds();
    while (seconds() - warm < 0.33) multiply_and_add();
#pragma omp barrier
    const double start = seconds();
    long rounds = 0;
    for (; seconds() - start < 0.33; ++rounds) multiply_and_add();
    total += kOperations * static_cast<double>(rounds) / (seconds() - start);
  }
  std::printf("%.4g\n", total / threads);
}
