// The thread team. Work is cut into tasks whose number and extent never depend on the number of
// threads, so that every result has the same bits on any team.
#pragma once

#include <cstdint>

namespace kcore {

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
#ifdef _OPENMP
  const std::int64_t limit = tasks > 1 ? num_threads() : 1;
  if (limit > 1) {
    const int team = static_cast<int>(tasks < limit ? tasks : limit);
#pragma omp parallel for schedule(static) num_threads(team)
    for (std::int64_t task = 0; task < tasks; ++task) f(task);
    return;
  }
#endif
  for (std::int64_t task = 0; task < tasks; ++task) f(task);
}

}  // namespace kcore
