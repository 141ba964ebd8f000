// A program: a flat list of instructions over planned buffers, and the way to run it.
#pragma once

#include "program/instruction.h"
#include "program/storage_access.h"
#include "simd/aligned.h"

namespace kcore {

// A tensor that outlives a run: a weight, an optimizer slot, a metric's total, a constant.
class Storage {
 public:
  Storage(DType dtype, Shape shape);  // zeros; throws InvalidProgram for a negative extent

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::size_t bytes() const { return bytes_; }
  std::byte* data() const { return buffer_.data(); }

  // Copies the content out, or those of several in together, once no run is in the way.
  void read(void* to, Caller* caller = nullptr) const;
  struct Write {
    Storage* to;
    const void* from;
  };
  static void write(const std::vector<Write>& writes, Caller* caller = nullptr);

  StorageTraffic& traffic() const { return traffic_; }

  // Differs from one content to the next. Whoever may read or write the content may call these.
  std::uint64_t version() const { return version_; }
  void note_write() const { ++version_; }

 private:
  DType dtype_;
  Shape shape_;
  std::size_t bytes_;
  AlignedBuffer buffer_;
  mutable StorageTraffic traffic_;
  mutable std::uint64_t version_ = 0;
};

// Where a slot's data lies.
enum class Residence {
  arena,     // in the run's own memory, at an offset that the planner chose
  storage,   // in a Storage: a variable or a constant
  prepared,  // in memory that all runs read, at an offset: what the prologue makes
  external,  // wherever the caller of run() says: an input or an output
  view,      // where another slot lies
};

struct Buffer {
  Residence residence = Residence::arena;
  DType dtype = DType::float32;
  Shape shape;
  std::int64_t offset = 0;           // arena and prepared only
  std::shared_ptr<Storage> storage;  // storage only
  int base = -1;                     // view only: a slot that is not itself a view
};

// What a program takes beside storages and its caller's memory, in bytes, with all that it runs.
struct ProgramMemory {
  std::int64_t arena = 0, workspace = 0;  // of each run
  std::int64_t prepared = 0;              // from run to run
  ScratchNeed scratch;                    // of the threads
};

struct InstructionSpec {
  std::string name;
  std::vector<int> inputs;   // slots
  std::vector<int> outputs;  // slots
  Attributes attributes;
};

// What depends on nothing but storages that the program doesn't write is made anew only when one of
// them has changed: the outputs of the prologue, and operands in the form that their instructions
// read best (Instruction::preparable), these as soon as a second run finds the storages unchanged.
class Program {
 public:
  // `external` lists the slots that run() is given addresses for, in the caller's order.
  // Instructions from `commit` on may write to storage: a run is never interrupted after that.
  // The first `prologue` instructions make the prepared buffers, from storages that no instruction
  // writes and from one another.
  // Throws InvalidProgram if anything in it could read or write outside a buffer.
  Program(std::vector<Buffer> buffers, const std::vector<InstructionSpec>& instructions,
          std::vector<int> external, std::int64_t arena_bytes, std::int64_t commit,
          std::int64_t prologue = 0);
  ~Program();

  // Runs every instruction; false if the caller ended it. Any number of threads may call it at
  // once; it waits for runs that write what it reads or writes.
  // `addresses`: one for each external slot. `caller`: may be null. `seconds`: if not null, one
  // time per instruction, 0 for the prologue.
  bool run(void* const* addresses, std::uint64_t seed, std::uint64_t step, Caller* caller,
           double* seconds = nullptr) const;

  // Whether a run takes some microseconds: it doesn't ask its caller whether it shall go on.
  bool brief() const { return brief_; }

  const std::vector<Buffer>& buffers() const { return buffers_; }
  const std::vector<int>& external() const { return external_; }
  const StorageSet& storages() const { return storages_; }
  std::int64_t external_bytes(std::size_t index) const { return external_bytes_[index]; }
  ProgramMemory memory() const;
  std::vector<std::shared_ptr<Storage>> all_storages() const;  // with those of programs within it
  std::size_t instruction_count() const { return instructions_.size(); }
  double flops(std::size_t instruction) const { return instructions_[instruction]->flops(); }

 private:
  struct Context;
  struct Prepared;
  struct Ready;
  std::unique_ptr<Context> take_idle() const;
  std::unique_ptr<Context> make_context() const;
  void collect_storages(const std::vector<InstructionSpec>& instructions);
  void check_overlaps(const std::vector<InstructionSpec>& instructions) const;
  void check_prologue(const std::vector<InstructionSpec>& instructions) const;
  void plan_preparation(const std::vector<InstructionSpec>& instructions);
  int root(int slot) const;
  bool overlap(int one, int other) const;
  bool lasting(int slot) const;
  bool up_to_date(const Prepared& prepared) const;
  Ready take_prepared() const;
  void place(Context& context, void* const* addresses, Ready& ready) const;
  void place_prepared(Context& context, const Prepared& prepared) const;
  void place_views(Context& context) const;
  std::shared_ptr<Prepared> prepare(Context& context, bool operands) const;
  bool run_instructions(Frame& frame, const Ready& ready, StorageAccess& access, Caller* caller,
                        double* seconds) const;
  bool takes_microseconds() const;

  std::vector<Buffer> buffers_;
  std::vector<std::unique_ptr<Instruction>> instructions_;
  std::vector<int> external_;
  std::vector<std::int64_t> external_bytes_;
  std::vector<int> views_;
  std::int64_t arena_bytes_;
  std::int64_t workspace_bytes_ = 0;
  std::size_t commit_, prologue_;
  StorageSet storages_;
  std::size_t first_write_;                    // the first instruction that writes to storage
  std::vector<int> prepared_;                  // slots
  std::vector<const Storage*> sources_;        // of what is prepared
  std::vector<std::int64_t> operand_offsets_;  // of each instruction's prepared operand, or -1
  std::int64_t prologue_bytes_ = 0, prepared_bytes_ = 0;
  bool brief_ = false;
  // Guarded by run_mutex().
  mutable std::vector<std::unique_ptr<Context>> idle_;
  mutable std::shared_ptr<Prepared> latest_;
};

}  // namespace kcore
