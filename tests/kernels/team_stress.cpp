// Several threads bring jobs to a team that grows, shrinks and falls asleep meanwhile; the tool
// that runs the sanitizers compiles this with each of them. Exits with 1 if a task was not run.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "simd/parallel.h"

int main() {
  constexpr int kRounds = 3000, kTasks = 1000;
  std::atomic<bool> wrong{false};
  const auto bring = [&](bool resizes) {
    std::vector<int> done(kTasks);
    for (int round = 1; round <= kRounds; ++round) {
      if (resizes && round % 50 == 0) kcore::set_num_threads(2 + round / 50 % 3);
      if (round % 200 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));
      kcore::parallel_for(kTasks, [&](std::int64_t task) { done[task] += 1; });
      for (const int count : done) {
        if (count != round) wrong = true;
      }
    }
  };
  std::thread first(bring, true), second(bring, false);
  bring(false);
  first.join();
  second.join();
  return wrong ? 1 : 0;
}
