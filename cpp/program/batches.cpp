#include "program/batches.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "simd/parallel.h"

namespace kcore {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kInterruptInterval = std::chrono::milliseconds(20);
// Handing a batch from thread to thread takes some ten microseconds, as much as copying this.
constexpr std::int64_t kGatherAheadBytes = 1 << 20;
constexpr std::int64_t kSlotsAhead = 3;  // in use, being made, and used just now
constexpr std::int64_t kRowsAhead = 4;   // rows asked for while one is copied
constexpr std::int64_t kPrefetchBytes = 512;

void gather_rows(const RowSource& source, const std::int64_t* rows, std::int64_t count,
                 std::byte* out) {
  for (std::int64_t j = 0; j < count; ++j) {
    if (rows[j] < 0 || rows[j] >= source.rows) {
      throw std::out_of_range("index " + std::to_string(rows[j]) + " is out of range for " +
                              std::to_string(source.rows) + " rows");
    }
  }
  const std::int64_t bytes = source.row_bytes;
  for (std::int64_t j = 0; j < count; ++j, out += bytes) {
    if (j + kRowsAhead < count) {
      const std::byte* next = source.data + rows[j + kRowsAhead] * bytes;
      for (std::int64_t i = 0; i < bytes && i < kPrefetchBytes; i += 64) {
        __builtin_prefetch(next + i);
      }
    }
    std::memcpy(out, source.data + rows[j] * bytes, static_cast<std::size_t>(bytes));
  }
}

}  // namespace

// The thread that gathers ahead, and what it shares with the one that takes.
struct Feed::Ahead {
  std::thread thread;
  std::mutex mutex;
  std::condition_variable changed;
  std::int64_t wanted = 0;  // batches up to this one may be gathered
  std::int64_t made = 0;    // batches gathered
  std::exception_ptr error;
  bool stopped = false;
  pid_t process = getpid();
};

Feed::Feed(std::vector<RowSource> sources, const std::int64_t* order, std::int64_t batch_rows,
           std::int64_t batches)
    : sources_(std::move(sources)), order_(order), batch_rows_(batch_rows), batches_(batches) {
  if (order_ == nullptr) return;
  std::int64_t batch_bytes = 0;
  for (const RowSource& source : sources_) batch_bytes += batch_rows_ * source.row_bytes;
  const bool ahead = batch_bytes >= kGatherAheadBytes && batches_ > 1 && num_threads() > 1;
  if (ahead) slots_ = kSlotsAhead;
  for (const RowSource& source : sources_) {
    for (std::int64_t slot = 0; slot < slots_; ++slot) {
      buffers_.emplace_back(static_cast<std::size_t>(batch_rows_ * source.row_bytes));
    }
  }
  if (!ahead) return;
  ahead_ = std::make_unique<Ahead>();
  ahead_->thread = std::thread([this, batches] { gather_ahead(*ahead_, batches); });
}

Feed::~Feed() { close(); }

void Feed::close() {
  batches_ = next_;
  if (ahead_ == nullptr || leave_thread_of_parent()) return;
  {
    const std::lock_guard<std::mutex> lock(ahead_->mutex);
    ahead_->stopped = true;
  }
  ahead_->changed.notify_all();
  ahead_->thread.join();
  ahead_.reset();
}

// In a forked child the thread does not exist, though its objects say so: nobody may wait for it,
// nor destroy them.
bool Feed::leave_thread_of_parent() {
  if (ahead_->process == getpid()) return false;
  static_cast<void>(ahead_.release());
  return true;
}

std::size_t Feed::bytes() const {
  std::size_t bytes = 0;
  for (const AlignedBuffer& buffer : buffers_) bytes += buffer.bytes();
  return bytes;
}

std::byte* Feed::buffer(std::size_t source, std::int64_t batch) const {
  const std::size_t first = source * static_cast<std::size_t>(slots_);
  return buffers_[first + static_cast<std::size_t>(batch % slots_)].data();
}

void Feed::gather(std::int64_t batch) const {
  const std::int64_t* rows = order_ + batch * batch_rows_;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    gather_rows(sources_[i], rows, batch_rows_, buffer(i, batch));
  }
}

void Feed::take(void** addresses) {
  const std::int64_t batch = next_++;
  if (order_ == nullptr) {
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      const std::int64_t offset = batch * batch_rows_ * sources_[i].row_bytes;
      addresses[i] = const_cast<std::byte*>(sources_[i].data) + offset;
    }
    return;
  }
  if (ahead_ == nullptr || leave_thread_of_parent()) {
    gather(batch);
  } else {
    std::unique_lock<std::mutex> lock(ahead_->mutex);
    ahead_->wanted = batch + 1;
    ahead_->changed.notify_all();
    ahead_->changed.wait(lock, [&] { return ahead_->made > batch || ahead_->error; });
    if (ahead_->made <= batch) std::rethrow_exception(ahead_->error);
  }
  for (std::size_t i = 0; i < sources_.size(); ++i) addresses[i] = buffer(i, batch);
}

// The thread's life.
void Feed::gather_ahead(Ahead& ahead, std::int64_t batches) const {
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    {
      std::unique_lock<std::mutex> lock(ahead.mutex);
      ahead.changed.wait(lock, [&] { return ahead.stopped || batch <= ahead.wanted; });
      if (ahead.stopped) return;
    }
    std::exception_ptr error;
    try {
      gather(batch);
    } catch (...) {
      error = std::current_exception();
    }
    {
      const std::lock_guard<std::mutex> lock(ahead.mutex);
      ahead.error = error;
      if (!error) ahead.made = batch + 1;
    }
    ahead.changed.notify_all();
    if (error) return;
  }
}

std::int64_t run_batches(const BatchRun& run, std::int64_t batches, double seconds,
                         Caller& caller) {
  const Program& program = run.program;
  const std::size_t inputs = run.feed.source_count();
  std::vector<void*> addresses(inputs + run.outputs.size());
  const auto start = Clock::now();
  auto polled = start;
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    run.feed.take(addresses.data());
    for (std::size_t i = 0; i < run.outputs.size(); ++i) {
      addresses[inputs + i] = run.outputs[i] + batch * program.external_bytes(inputs + i);
    }
    std::uint64_t step = run.step;
    if (run.position != nullptr) run.position->read(&step, &caller);
    if (!program.run(addresses.data(), run.seed, step, &caller)) return -1;
    const auto now = Clock::now();
    if (now - polled > kInterruptInterval) {
      polled = now;
      if (caller.interrupted()) return -1;
    }
    if (std::chrono::duration<double>(now - start).count() > seconds) return batch + 1;
  }
  return batches;
}

}  // namespace kcore
