// The thread team. Work is cut into tasks whose number and extent never depend on the number of
// threads, so that every result has the same bits on any team.
#pragma once

#include <cstdint>

#include "simd/team.h"

namespace kcore {

// Less work than this stays on one thread: it takes some tens of microseconds, as waking another
// thread does.
constexpr double kParallelFlops = 4e6;
constexpr std::int64_t kParallelElements = 128 * 1024;  // read or written by a simple operation

// Threads that a parallel region may use: set_num_threads, else OMP_NUM_THREADS, else the
// processors of the affinity mask bounded by the container's CPU quota. Always 1 in a forked
// child and in a build without OpenMP.
int num_threads();

// Throws std::invalid_argument if n < 1.
void set_num_threads(int n);

bool has_openmp();

// Calls f(task) once for each task in [0, tasks), neighbouring tasks on the same thread.
template <class F>
static inline void parallel_for(std::int64_t tasks, const F& f) {
  const auto run = [](const void* kernel, std::int64_t first, std::int64_t end) {
    for (; first < end; ++first) (*static_cast<const F*>(kernel))(first);
  };
  const int threads = tasks > 1 ? num_threads() : 1;
  threads > 1 ? run_on_team(threads, tasks, run, &f) : run(&f, 0, tasks);
}

// The same, on one thread unless `parallel`.
template <class F>
static inline void for_tasks(bool parallel, std::int64_t tasks, const F& f) {
  if (parallel) {
    parallel_for(tasks, f);
  } else {
    for (std::int64_t task = 0; task < tasks; ++task) f(task);
  }
}

}  // namespace kcore
