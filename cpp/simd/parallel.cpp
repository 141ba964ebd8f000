#include "simd/parallel.h"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

namespace kcore {
namespace {

// Whole processors that the control group grants (v2, then v1), or 0 if it sets no quota.
int container_quota() {
  double quota = -1, period = -1;
  std::string first;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2 >> first >> period) {
    quota = first == "max" ? -1 : std::atof(first.c_str());
  } else {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::ceil(quota / period));
}

int available_processors() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

int default_threads() {
#ifdef _OPENMP
  if (const char* wanted = std::getenv("OMP_NUM_THREADS")) {
    if (const int n = std::atoi(wanted); n > 0) return n;
  }
  int n = available_processors();
  if (const int quota = container_quota(); quota > 0 && quota < n) n = quota;
  return n < 1 ? 1 : n;
#else
  return 1;
#endif
}

// The OpenMP runtime's threads do not survive a fork, and starting a team in the child would wait
// for them for ever: a child stays on one thread.
std::atomic<bool> forked{false};

std::atomic<int>& team_size() {
  static std::atomic<int> size = [] {
#ifdef __linux__
    pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif
    return default_threads();
  }();
  return size;
}

}  // namespace

int num_threads() {
  return forked.load(std::memory_order_relaxed) ? 1 : team_size().load(std::memory_order_relaxed);
}

void set_num_threads(int n) {
  if (n < 1)
    throw std::invalid_argument("num_threads must be at least 1, got " + std::to_string(n));
#ifdef _OPENMP
  team_size() = n;
  if (!forked) limit_team(n);
#endif
}

bool has_openmp() {
#ifdef _OPENMP
  return true;
#else
  return false;
#endif
}

}  // namespace kcore
