// Runs that share storages: any number read one at once, and a run that writes one has it to
// itself while it does. A prediction beside a training sees weights as of a whole step.
#pragma once

#include <mutex>
#include <vector>

namespace kcore {

class Storage;

// What a run uses. No storage is in both lists, or twice in one.
struct StorageSet {
  std::vector<const Storage*> reads;   // only read
  std::vector<const Storage*> writes;  // written, and perhaps read before
};

// What the runs have done with one storage. Guarded by run_mutex().
struct StorageTraffic {
  unsigned generation = 0;  // of processes: what a forked child finds here has ended
  int readers = 0;          // runs that write nothing
  int steps = 0;            // runs that read it and write others
  bool claimed = false;     // by a run that will write it
  bool closed = false;      // ... and does now, or as soon as the readers have left
};

// What a run asks of whoever called it.
class Caller {
 public:
  // Called between instructions, at most every few milliseconds, until the first one that may write
  // to storage: true ends the run.
  virtual bool interrupted() = 0;
  // Called, perhaps more than once, before the run waits for another: that one may need a lock that
  // the caller holds.
  virtual void before_waiting() = 0;

 protected:
  ~Caller() = default;
};

// One run's right to its storages, for as long as this lives. Nobody writes what it reads, and
// nobody else writes what it writes; from begin_writing() on nobody else reads that either.
//
// It can't deadlock: all is entered at once, holding nothing; what waits in begin_writing() waits
// for runs that write nothing, and those don't wait. Within another run on the same thread (the
// body of a loop; a signal handler) it does nothing, as it would wait for itself.
//
// When made it holds run_mutex(), for whatever else the run begins with; likewise at the end, if
// lock() has been called.
class StorageAccess {
 public:
  explicit StorageAccess(const StorageSet& set, Caller* caller = nullptr);
  ~StorageAccess();
  StorageAccess(const StorageAccess&) = delete;
  StorageAccess& operator=(const StorageAccess&) = delete;

  void lock();
  void unlock() { lock_.unlock(); }
  void begin_writing();

 private:
  template <class Predicate>
  void wait_until(const Predicate& predicate);

  const StorageSet& set_;
  Caller* const caller_;
  const bool nested_;
  bool writing_ = false;
  std::unique_lock<std::mutex> lock_;
};

// The one lock of all that runs share, held for moments only, and by nobody when a process forks.
std::mutex& run_mutex();

}  // namespace kcore
