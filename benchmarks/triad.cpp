// Prints the bytes a second that STREAM's triad, a = b + s * c, moves on as many threads as the
// argument says: what no kernel that reads and writes memory can be expected to exceed by much.
// Arrays are far larger than caches, on huge pages, and 16 bytes count for each element: two are
// read and one is written, whose line the store fetches first.
// Compiled with -march=native -fopenmp.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#ifdef __linux__
#include <sys/mman.h>
#endif

constexpr long kElements = 1L << 26;
constexpr std::size_t kBytes = kElements * sizeof(float), kHugePage = std::size_t{2} << 20;

float* make_array() {
  void* memory = std::aligned_alloc(kHugePage, kBytes);
  if (memory == nullptr) std::exit(1);
#ifdef __linux__
  madvise(memory, kBytes, MADV_HUGEPAGE);
#endif
  return static_cast<float*>(memory);
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  float *a = make_array(), *b = make_array(), *c = make_array();
#pragma omp parallel for num_threads(threads)
  for (long i = 0; i < kElements; ++i) a[i] = b[i] = c[i] = 1;
  double best = 0;
  for (int round = 0; round < 20; ++round) {
    const auto start = std::chrono::steady_clock::now();
#pragma omp parallel for num_threads(threads)
    for (long i = 0; i < kElements; ++i) a[i] = b[i] + 3.0f * c[i];
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (const double now = 16.0 * kElements / seconds; now > best) best = now;
  }
  std::printf("%.4g\n", best);
  return a[0] == 0;
}
