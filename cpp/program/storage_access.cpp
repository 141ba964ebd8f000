#include "program/storage_access.h"

#include <condition_variable>
#ifdef __linux__
#include <pthread.h>
#endif

#include "program/program.h"

namespace kcore {
namespace {

struct Shared {
  unsigned generation = 0;
  std::mutex mutex;
  std::condition_variable changed;
  int waiting = 0;
};

Shared* shared_of_this_process() {
  static Shared* instance = nullptr;
  static const bool once = [] {
    instance = new Shared;
#ifdef __linux__
    // A child is alone: it forgets the threads that its parent had waiting or running.
    pthread_atfork([] { instance->mutex.lock(); }, [] { instance->mutex.unlock(); },
                   [] {
                     const unsigned generation = instance->generation + 1;
                     instance = new Shared;
                     instance->generation = generation;
                   });
#endif
    return true;
  }();
  static_cast<void>(once);
  return instance;
}

thread_local int depth = 0;  // runs on this thread, one within the other

StorageTraffic& traffic(const Storage* storage) {
  StorageTraffic& found = storage->traffic();
  const unsigned generation = shared_of_this_process()->generation;
  if (found.generation != generation) {
    found = {};
    found.generation = generation;
  }
  return found;
}

template <class Predicate>
bool all_of(const std::vector<const Storage*>& storages, const Predicate& predicate) {
  for (const Storage* storage : storages) {
    if (!predicate(traffic(storage))) return false;
  }
  return true;
}

bool may_enter(const StorageSet& set) {
  if (set.writes.empty()) {
    return all_of(set.reads, [](const StorageTraffic& t) { return !t.closed; });
  }
  return all_of(set.reads, [](const StorageTraffic& t) { return !t.claimed; }) &&
         all_of(set.writes, [](const StorageTraffic& t) { return !t.claimed && t.steps == 0; });
}

void count(const StorageSet& set, int change) {
  for (const Storage* storage : set.reads) {
    (set.writes.empty() ? traffic(storage).readers : traffic(storage).steps) += change;
  }
}

}  // namespace

std::mutex& run_mutex() { return shared_of_this_process()->mutex; }

StorageAccess::StorageAccess(const StorageSet& set, Caller* caller)
    : set_(set), caller_(caller), nested_(depth > 0), lock_(run_mutex()) {
  if (!nested_) {
    if (!may_enter(set_)) wait_until([&] { return may_enter(set_); });
    count(set_, 1);
    for (const Storage* storage : set_.writes) traffic(storage).claimed = true;
  }
  ++depth;
}

// The mutex of this process: the run may have begun in its parent.
void StorageAccess::lock() { lock_ = std::unique_lock<std::mutex>(run_mutex()); }

template <class Predicate>
void StorageAccess::wait_until(const Predicate& predicate) {
  if (caller_ != nullptr) {
    unlock();
    caller_->before_waiting();
    lock();
  }
  Shared* shared = shared_of_this_process();
  ++shared->waiting;
  shared->changed.wait(lock_, predicate);
  --shared->waiting;
}

void StorageAccess::begin_writing() {
  if (nested_ || writing_) return;
  const bool held = lock_.owns_lock();
  if (!held) lock();
  const auto no_readers = [&] {
    return all_of(set_.writes, [](const StorageTraffic& t) { return t.readers == 0; });
  };
  for (const Storage* storage : set_.writes) traffic(storage).closed = true;
  if (!no_readers()) wait_until(no_readers);
  writing_ = true;
  if (!held) unlock();
}

StorageAccess::~StorageAccess() {
  --depth;
  if (nested_) return;
  if (!lock_.owns_lock()) lock();
  count(set_, -1);
  for (const Storage* storage : set_.writes) {
    traffic(storage).claimed = false;
    traffic(storage).closed = false;
  }
  Shared* shared = shared_of_this_process();
  if (shared->waiting > 0) shared->changed.notify_all();
}

}  // namespace kcore
