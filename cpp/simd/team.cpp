// An OpenMP region that stays open: its threads wait in it for the next job, so that a kernel
// starts in a microsecond. They spin as long as the next kernel of a program may take to come, and
// give way to other processes while they do; then they sleep.
//
// Each thread owns a share of a job's tasks, the same one whenever the job is repeated, which keeps
// its operands in its own caches. Who is done with his own takes from the end of another's. So
// nobody waits for a thread that the operating system has not woken yet, or has put aside for
// another process, unless it holds a task.
#include "simd/team.h"

#ifdef _OPENMP
#include <omp.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#endif

namespace kcore {

#ifdef _OPENMP
namespace {

using Clock = std::chrono::steady_clock;

// Waking a thread takes some tens of microseconds, on a virtual machine up to a hundred and more.
constexpr auto kSpin = std::chrono::microseconds(2000);
// Spinning without a look at who else wants the processor.
constexpr auto kSpinAlone = std::chrono::microseconds(50);
// Having given way for longer means that somebody else does.
constexpr auto kGaveWay = std::chrono::microseconds(20);
constexpr int kPauses = 32;  // between looks at the clock
// Shares are cut into as many units at most: what is taken at a time.
constexpr std::int64_t kUnits = 32;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Units [begin, end) of a job that nobody has taken.
class Share {
 public:
  void set(std::uint32_t begin, std::uint32_t end) {
    units_.store(pack(begin, end), std::memory_order_relaxed);
  }

  bool take_first(std::uint32_t* unit) {
    return take([=](std::uint32_t begin, std::uint32_t end) {
      *unit = begin;
      return pack(begin + 1, end);
    });
  }

  bool take_last(std::uint32_t* unit) {
    return take([=](std::uint32_t begin, std::uint32_t end) {
      *unit = end - 1;
      return pack(begin, end - 1);
    });
  }

 private:
  static std::uint64_t pack(std::uint32_t begin, std::uint32_t end) {
    return static_cast<std::uint64_t>(end) << 32 | begin;
  }

  template <class F>
  bool take(const F& rest) {
    std::uint64_t now = units_.load(std::memory_order_relaxed);
    for (;;) {
      const auto begin = static_cast<std::uint32_t>(now),
                 end = static_cast<std::uint32_t>(now >> 32);
      if (begin >= end) return false;
      if (units_.compare_exchange_weak(now, rest(begin, end), std::memory_order_relaxed)) {
        return true;
      }
    }
  }

  std::atomic<std::uint64_t> units_{0};
};

struct alignas(128) Member {
  Share share;
  std::atomic<bool> asleep{false};
  std::mutex mutex;
  std::condition_variable wake;
};

struct Job {
  RunTasks run = nullptr;
  const void* kernel = nullptr;
  std::int64_t tasks = 0, unit = 1;  // tasks in all, and of a unit
};

// Member 0 is whoever brings a job; the others are threads of the region.
class Team {
 public:
  // Whether this thread runs a task.
  static thread_local bool in_task;

  // Never destroyed: threads may wait in it until the process is gone.
  static Team& team() {
    static Team* const team = new Team;
    return *team;
  }

  // False, with nothing done, if another thread has the team.
  bool run(int threads, std::int64_t tasks, RunTasks run, const void* kernel) {
    std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock()) return false;
    grow(threads);
    if (tasks < threads) threads = static_cast<int>(tasks);
    job_ = {run, kernel, tasks, (tasks - 1) / (threads * kUnits) + 1};
    const std::int64_t units = (tasks - 1) / job_.unit + 1;
    for (int i = 0; i < threads; ++i) {
      members_[i].share.set(static_cast<std::uint32_t>(units * i / threads),
                            static_cast<std::uint32_t>(units * (i + 1) / threads));
    }
    sequence_ += 1;
    const std::uint64_t open = sequence_ << 32 | static_cast<std::uint64_t>(threads);
    state_.store(open, std::memory_order_seq_cst);
    for (int i = 1; i < threads; ++i) wake(members_[i]);
    work(0, threads);
    // Nobody joins any more: who has, holds a task that isn't done.
    state_.store(0, std::memory_order_seq_cst);
    for (int i = 0; joined_.load(std::memory_order_seq_cst) > 0; ++i) {
      pause();
      if (i >= kPauses * 32) sched_yield();
    }
    return true;
  }

  void limit(int threads) {
    std::lock_guard<std::mutex> turn(turn_);
    if (size_ > threads) close();
  }

 private:
  // `state_` is 0 between jobs, else a number of its own for each job above the number of its
  // members.
  static int members_of(std::uint64_t state) { return static_cast<int>(state & 0xffffffff); }

  static void wake(Member& member) {
    if (!member.asleep.load(std::memory_order_seq_cst)) return;
    { std::lock_guard<std::mutex> lock(member.mutex); }
    member.wake.notify_one();
  }

  // Opens a region of that many members, if it is not so large already. If no more threads are to
  // be had, whoever brings a job does all of it.
  void grow(int threads) {
    if (threads <= size_) return;
    close();
    members_.reset(new Member[static_cast<std::size_t>(threads)]);
    size_ = threads;
    try {
      region_ = std::thread(open_region);
    } catch (const std::system_error&) {
    }
  }

  void close() {
    if (!region_.joinable()) return;
    closing_.store(true, std::memory_order_seq_cst);
    for (int i = 0; i < size_; ++i) {
      { std::lock_guard<std::mutex> lock(members_[i].mutex); }
      members_[i].wake.notify_one();
    }
    region_.join();
    while (serving_.load(std::memory_order_acquire) > 0) pause();
    closing_.store(false, std::memory_order_seq_cst);
    size_ = 0;
  }

  // The region captures nothing: what its threads read, they read through atomics.
  static void open_region() {
#pragma omp parallel num_threads(team().size_)
    team().serve(omp_get_thread_num());
  }

  void serve(int index) {
    serving_.fetch_add(1, std::memory_order_acquire);
    in_task = true;
    std::uint64_t last = 0;
    while (wait_for_job(index, last)) {
      joined_.fetch_add(1, std::memory_order_seq_cst);
      // The job may have ended, and another have come, in between.
      const std::uint64_t state = state_.load(std::memory_order_seq_cst);
      if (is_new(state, index, last)) work(index, members_of(state));
      joined_.fetch_sub(1, std::memory_order_seq_cst);
      if (state != 0) last = state;
    }
    serving_.fetch_sub(1, std::memory_order_release);
  }

  // Member 0 of the region only keeps it open: his part is played by who brings the jobs.
  static bool is_new(std::uint64_t state, int index, std::uint64_t last) {
    return index > 0 && index < members_of(state) && state != last;
  }

  // False if the region is to be closed.
  bool wait_for_job(int index, std::uint64_t last) {
    const Clock::time_point start = Clock::now();
    for (Clock::time_point now = start; index > 0 && now - start < kSpin; now = Clock::now()) {
      for (int i = 0; i < kPauses; ++i) {
        if (is_new(state_.load(std::memory_order_acquire), index, last)) return true;
        pause();
      }
      if (closing_.load(std::memory_order_relaxed)) break;
      if (now - start < kSpinAlone) continue;
      const Clock::time_point before = Clock::now();
      sched_yield();
      if (Clock::now() - before > kGaveWay) break;
    }
    Member& member = members_[index];
    std::unique_lock<std::mutex> lock(member.mutex);
    member.asleep.store(true, std::memory_order_seq_cst);
    bool fresh = false;
    member.wake.wait(lock, [&] {
      fresh = is_new(state_.load(std::memory_order_seq_cst), index, last);
      return fresh || closing_.load(std::memory_order_seq_cst);
    });
    member.asleep.store(false, std::memory_order_relaxed);
    return fresh;
  }

  // The member's own units, first to last, then those of the others, last to first.
  void work(int index, int members) {
    const bool outside = !in_task;
    in_task = true;
    std::uint32_t unit = 0;
    while (members_[index].share.take_first(&unit)) run_unit(unit);
    for (int i = 1; i < members; ++i) {
      Share& other = members_[(index + i) % members].share;
      while (other.take_last(&unit)) run_unit(unit);
    }
    if (outside) in_task = false;
  }

  void run_unit(std::uint32_t unit) const {
    const std::int64_t first = unit * job_.unit, end = first + job_.unit;
    job_.run(job_.kernel, first, end < job_.tasks ? end : job_.tasks);
  }

  std::mutex turn_;  // to bring a job
  std::thread region_;
  std::unique_ptr<Member[]> members_;
  int size_ = 0;
  std::uint64_t sequence_ = 0;
  Job job_;
  alignas(128) std::atomic<std::uint64_t> state_{0};
  alignas(128) std::atomic<int> joined_{0};
  std::atomic<int> serving_{0};
  std::atomic<bool> closing_{false};
};

thread_local bool Team::in_task = false;

}  // namespace

void run_on_team(int threads, std::int64_t tasks, RunTasks run, const void* kernel) {
  if (Team::in_task || !Team::team().run(threads, tasks, run, kernel)) run(kernel, 0, tasks);
}

void limit_team(int threads) { Team::team().limit(threads); }

#else

void run_on_team(int, std::int64_t tasks, RunTasks run, const void* kernel) {
  run(kernel, 0, tasks);
}

void limit_team(int) {}

#endif

}  // namespace kcore
