// Batches of the rows of data sets, and a program's run over them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "program/program.h"
#include "simd/aligned.h"

namespace kcore {

// A data set as rows of plain bytes.
struct RowSource {
  const std::byte* data;
  std::int64_t rows;
  std::int64_t row_bytes;
};

// Gives one batch after another: the same rows of every source. Where a batch is large and there
// are threads, the next one is gathered by a thread while this one is in use.
class Feed {
 public:
  // `order` says which row comes when; if it is null the rows come as they lie, and are not copied.
  Feed(std::vector<RowSource> sources, const std::int64_t* order, std::int64_t batch_rows,
       std::int64_t batches);
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  std::size_t source_count() const { return sources_.size(); }
  std::int64_t batch_rows() const { return batch_rows_; }
  std::int64_t remaining() const { return batches_ - next_; }
  std::size_t bytes() const;  // of the memory that batches are gathered in

  // Writes the address of each source's rows of the next batch, of which there must be one. What
  // lies there stays until the call after the next one.
  // Throws std::out_of_range for an index that is no row.
  void take(void** addresses);

  // Ends the thread; no batch can be taken afterwards.
  void close();

 private:
  struct Ahead;
  std::byte* buffer(std::size_t source, std::int64_t batch) const;
  void gather(std::int64_t batch) const;
  void gather_ahead(Ahead& ahead, std::int64_t batches) const;
  bool leave_thread_of_parent();

  std::vector<RowSource> sources_;
  const std::int64_t* order_;
  std::int64_t batch_rows_;
  std::int64_t batches_;
  std::int64_t next_ = 0;
  std::int64_t slots_ = 2;
  std::vector<AlignedBuffer> buffers_;  // `slots_` for each source
  std::unique_ptr<Ahead> ahead_;        // null where batches are gathered when they are asked for
};

struct BatchRun {
  const Program& program;  // its inputs are the feed's sources
  Feed& feed;
  std::vector<std::byte*> outputs;  // of each the first result; the following ones lie behind it
  std::uint64_t seed;
  std::uint64_t step;
  const Storage* position;  // if not null, an int64 that is the step of each run when it begins
};

// Runs on up to `batches` of the feed's batches, until `seconds` have passed. Returns the number of
// batches done, -1 if the caller ended it.
std::int64_t run_batches(const BatchRun& run, std::int64_t batches, double seconds, Caller& caller);

}  // namespace kcore
