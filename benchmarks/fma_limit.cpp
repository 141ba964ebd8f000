// Prints the floating-point operations a second of one thread that does nothing but independent
// fused multiply-adds on registers: what no product can exceed. Compiled with -march=native.
#include <chrono>
#include <cstdio>

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef float Vec __attribute__((vector_size(kBytes)));

template <int Chains>
double rate() {
  Vec acc[Chains], x, y;
#pragma GCC unroll 16
  for (int i = 0; i < Chains; ++i) acc[i] = Vec{} + static_cast<float>(i);
  x = Vec{} + 0.999f;
  y = Vec{} + 0.001f;
  asm volatile("" : "+x"(x), "+x"(y));
  constexpr int steps = 100000;
  const auto start = std::chrono::steady_clock::now();
  for (int step = 0; step < steps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < Chains; ++i) acc[i] = acc[i] * x + y;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
#pragma GCC unroll 16
  for (int i = 0; i < Chains; ++i) asm volatile("" : : "x"(acc[i]));
  return 2.0 * Chains * (kBytes / 4) * steps / seconds;
}

int main() {
  double best = 0;
  for (int round = 0; round < 40; ++round) {
    const double now = rate<12>();
    if (now > best) best = now;
  }
  std::printf("%.4g\n", best);
}
