#include "program/program.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <set>

namespace kcore {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kInterruptInterval = std::chrono::milliseconds(20);
// A brief program's operations, and bytes read or written.
constexpr double kBriefFlops = 5e5;
constexpr std::int64_t kBriefBytes = 64 * 1024;
constexpr std::size_t kIdleContexts = 4;  // more than this many at once are freed after use

// Also of an empty tensor, the strides must be numbers: extents of zero count as one.
std::int64_t checked_bytes(DType dtype, const Shape& shape) {
  std::int64_t bytes = static_cast<std::int64_t>(dtype_bytes(dtype));
  bool empty = false;
  for (const std::int64_t extent : shape) {
    require(extent >= 0, "negative extent in shape " + to_string(shape));
    empty = empty || extent == 0;
    require(!__builtin_mul_overflow(bytes, std::max<std::int64_t>(extent, 1), &bytes),
            "shape " + to_string(shape) + " is too large");
  }
  return empty ? 0 : bytes;
}

constexpr std::int64_t kMaxPreparedBytes = std::int64_t{1} << 40;

// Whether so many bytes at the offset, which is aligned, end by `end`.
bool lies_within(std::int64_t offset, std::int64_t bytes, std::int64_t end) {
  std::int64_t last = 0;
  return offset >= 0 && offset % 8 == 0 && !__builtin_add_overflow(offset, bytes, &last) &&
         last <= end;
}

std::int64_t aligned(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

Storage::Storage(DType dtype, Shape shape)
    : dtype_(dtype),
      shape_(std::move(shape)),
      bytes_(static_cast<std::size_t>(checked_bytes(dtype_, shape_))),
      buffer_(bytes_) {
  if (bytes_ > 0) std::memset(buffer_.data(), 0, bytes_);
}

void Storage::read(void* to, Caller* caller) const {
  const StorageSet set{{this}, {}};
  StorageAccess access(set, caller);
  access.unlock();
  if (bytes_ > 0) std::memcpy(to, data(), bytes_);
}

void Storage::write(const std::vector<Write>& writes, Caller* caller) {
  StorageSet set;
  for (const Write& write : writes) set.writes.push_back(write.to);
  std::sort(set.writes.begin(), set.writes.end());
  set.writes.erase(std::unique(set.writes.begin(), set.writes.end()), set.writes.end());
  StorageAccess access(set, caller);
  access.begin_writing();
  access.unlock();
  for (const Write& write : writes) {
    if (write.to->bytes_ > 0) std::memcpy(write.to->data(), write.from, write.to->bytes_);
    write.to->note_write();
  }
}

struct Program::Prepared {
  std::vector<std::uint64_t> versions;  // of sources_
  AlignedBuffer memory;                 // outputs of the prologue, then operands
  bool operands;                        // whether those are there
  bool claimed = false;                 // by a run that is about to add them
};

struct Program::Context {
  AlignedBuffer arena;
  AlignedBuffer workspace;
  std::vector<void*> slots;
};

// What a run uses of what is prepared, and whether it is the one that adds the operands.
struct Program::Ready {
  std::shared_ptr<const Prepared> prepared;
  bool add_operands = false;
};

Program::Program(std::vector<Buffer> buffers, const std::vector<InstructionSpec>& instructions,
                 std::vector<int> external, std::int64_t arena_bytes, std::int64_t commit,
                 std::int64_t prologue)
    : buffers_(std::move(buffers)), external_(std::move(external)), arena_bytes_(arena_bytes) {
  require(arena_bytes >= 0, "negative arena size");
  std::size_t external_count = 0;
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    const std::string name = "buffer " + std::to_string(i);
    const std::int64_t bytes = checked_bytes(buffer.dtype, buffer.shape);
    switch (buffer.residence) {
      case Residence::arena:
        require(lies_within(buffer.offset, bytes, arena_bytes),
                name + " does not lie within the arena");
        break;
      case Residence::storage:
        require(buffer.storage != nullptr, name + " has no storage");
        require(buffer.dtype == buffer.storage->dtype() &&
                    static_cast<std::size_t>(bytes) == buffer.storage->bytes(),
                name + " does not fit its storage");
        break;
      case Residence::prepared:
        require(lies_within(buffer.offset, bytes, kMaxPreparedBytes),
                name + " does not lie within what can be prepared");
        prologue_bytes_ = std::max(prologue_bytes_, aligned(buffer.offset + bytes));
        prepared_.push_back(static_cast<int>(i));
        break;
      case Residence::external:
        ++external_count;
        break;
      case Residence::view: {
        require(buffer.base >= 0 && static_cast<std::size_t>(buffer.base) < buffers_.size(),
                name + " is a view of no buffer");
        const Buffer& base = buffers_[buffer.base];
        require(base.residence != Residence::view && bytes == checked_bytes(base.dtype, base.shape),
                name + " is a view of a view, or of a buffer of another size");
        views_.push_back(static_cast<int>(i));
        break;
      }
    }
  }
  const auto check_slot = [&](int slot) {
    require(slot >= 0 && static_cast<std::size_t>(slot) < buffers_.size(),
            "there is no buffer " + std::to_string(slot));
  };
  std::set<int> bound;
  for (const int slot : external_) {
    check_slot(slot);
    require(buffers_[slot].residence == Residence::external && bound.insert(slot).second,
            "buffer " + std::to_string(slot) + " is not external or is bound twice");
    external_bytes_.push_back(checked_bytes(buffers_[slot].dtype, buffers_[slot].shape));
  }
  require(bound.size() == external_count, "an external buffer is not bound");
  require(commit >= 0 && static_cast<std::size_t>(commit) <= instructions.size(),
          "commit is not an instruction's index");
  commit_ = static_cast<std::size_t>(commit);
  require(prologue >= 0 && prologue <= commit, "the prologue does not end by commit");
  prologue_ = static_cast<std::size_t>(prologue);

  const auto operands = [&](const std::vector<int>& slots) {
    Operands result;
    for (const int slot : slots) {
      check_slot(slot);
      result.push_back({slot, buffers_[slot].dtype, buffers_[slot].shape});
    }
    return result;
  };
  for (const InstructionSpec& spec : instructions) {
    instructions_.push_back(make_instruction(spec.name, operands(spec.inputs),
                                             operands(spec.outputs), spec.attributes));
    workspace_bytes_ = std::max(workspace_bytes_, instructions_.back()->workspace_bytes());
  }
  check_overlaps(instructions);
  collect_storages(instructions);
  check_prologue(instructions);
  plan_preparation(instructions);
  brief_ = takes_microseconds();
  idle_.reserve(kIdleContexts);
}

// What the program and those within it read and write, and where it begins to write.
void Program::collect_storages(const std::vector<InstructionSpec>& instructions) {
  std::set<const Storage*> used, written;
  for (const Buffer& buffer : buffers_) {
    if (buffer.residence == Residence::storage) used.insert(buffer.storage.get());
  }
  first_write_ = instructions.size();
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    const std::size_t before = written.size();
    for (const int slot : instructions[i].outputs) {
      const Buffer& base = buffers_[root(slot)];
      if (base.residence == Residence::storage) written.insert(base.storage.get());
    }
    for (const Program* inner : instructions[i].attributes.programs()) {
      used.insert(inner->storages_.reads.begin(), inner->storages_.reads.end());
      written.insert(inner->storages_.writes.begin(), inner->storages_.writes.end());
    }
    if (written.size() > before) first_write_ = std::min(first_write_, i);
  }
  storages_.writes.assign(written.begin(), written.end());
  std::set_difference(used.begin(), used.end(), written.begin(), written.end(),
                      std::back_inserter(storages_.reads));
}

int Program::root(int slot) const {
  return buffers_[slot].residence == Residence::view ? buffers_[slot].base : slot;
}

// Whether two slots share a byte.
bool Program::overlap(int one, int other) const {
  const Buffer &a = buffers_[root(one)], &b = buffers_[root(other)];
  const std::int64_t a_bytes = checked_bytes(a.dtype, a.shape);
  const std::int64_t b_bytes = checked_bytes(b.dtype, b.shape);
  if (a.residence != b.residence || a_bytes == 0 || b_bytes == 0) return false;
  switch (a.residence) {
    case Residence::arena:
    case Residence::prepared:
      return a.offset < b.offset + b_bytes && b.offset < a.offset + a_bytes;
    case Residence::storage:
      return a.storage == b.storage;
    default:
      return &a == &b;
  }
}

// What an instruction writes is nothing that it reads or writes besides, so that no kernel has to
// expect it.
void Program::check_overlaps(const std::vector<InstructionSpec>& instructions) const {
  const auto in_place = [&](int input, int output) {
    const Buffer &x = buffers_[input], &y = buffers_[output];
    return buffers_[root(input)].offset == buffers_[root(output)].offset &&
           dtype_bytes(x.dtype) == dtype_bytes(y.dtype) &&
           checked_bytes(x.dtype, x.shape) == checked_bytes(y.dtype, y.shape);
  };
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    const InstructionSpec& spec = instructions[i];
    for (std::size_t o = 0; o < spec.outputs.size(); ++o) {
      const int output = spec.outputs[o];
      for (std::size_t other = 0; other < o; ++other) {
        require(!overlap(output, spec.outputs[other]), spec.name + ": outputs " +
                                                           std::to_string(other) + " and " +
                                                           std::to_string(o) + " overlap");
      }
      for (std::size_t k = 0; k < spec.inputs.size(); ++k) {
        const int input = spec.inputs[k];
        require(
            !overlap(output, input) || (instructions_[i]->in_place(k) && in_place(input, output)),
            spec.name + ": output " + std::to_string(o) + " overlaps what is read");
      }
    }
  }
}

// Whether what lies there stays the same until somebody else writes to a storage.
bool Program::lasting(int slot) const {
  const Buffer& buffer = buffers_[root(slot)];
  return buffer.residence == Residence::prepared ||
         (buffer.residence == Residence::storage &&
          std::binary_search(storages_.reads.begin(), storages_.reads.end(), buffer.storage.get()));
}

void Program::check_prologue(const std::vector<InstructionSpec>& instructions) const {
  std::set<std::int64_t> made;  // offsets
  const auto is_prepared = [&](int slot) {
    return buffers_[root(slot)].residence == Residence::prepared;
  };
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    for (const int slot : instructions[i].inputs) {
      require(i >= prologue_ || lasting(slot), "the prologue reads what may change");
      require(i >= prologue_ || !is_prepared(slot) || made.count(buffers_[root(slot)].offset) != 0,
              "the prologue reads what it has not made");
    }
    for (const int slot : instructions[i].outputs) {
      require(is_prepared(slot) == (i < prologue_),
              i < prologue_ ? "the prologue writes what is not prepared"
                            : "an instruction after the prologue writes what is prepared");
      if (i < prologue_) made.insert(buffers_[root(slot)].offset);
    }
  }
}

// Gives each operand that can be prepared its place after the prologue's outputs.
void Program::plan_preparation(const std::vector<InstructionSpec>& instructions) {
  std::set<const Storage*> sources;
  for (std::size_t i = 0; i < prologue_; ++i) {
    for (const int slot : instructions[i].inputs)
      sources.insert(buffers_[root(slot)].storage.get());
  }
  prepared_bytes_ = prologue_bytes_;
  for (const auto& instruction : instructions_) {
    const Instruction::Preparable operand = instruction->preparable();
    const bool kept = operand.bytes > 0 && lasting(operand.slot);
    operand_offsets_.push_back(kept ? prepared_bytes_ : -1);
    if (!kept) continue;
    prepared_bytes_ += aligned(operand.bytes);
    sources.insert(buffers_[root(operand.slot)].storage.get());
  }
  sources.erase(nullptr);
  sources_.assign(sources.begin(), sources.end());
}

ProgramMemory Program::memory() const {
  ProgramMemory memory{arena_bytes_, workspace_bytes_, prepared_bytes_, {}};
  for (const auto& instruction : instructions_) {
    memory.scratch.cover(instruction->scratch());
    if (instruction->body() == nullptr) continue;
    const ProgramMemory within = instruction->body()->memory();
    memory.arena += within.arena;
    memory.workspace += within.workspace;
    memory.prepared += within.prepared;
    memory.scratch.cover(within.scratch);
  }
  return memory;
}

std::vector<std::shared_ptr<Storage>> Program::all_storages() const {
  std::set<std::shared_ptr<Storage>> storages;
  for (const Buffer& buffer : buffers_) {
    if (buffer.storage != nullptr) storages.insert(buffer.storage);
  }
  for (const auto& instruction : instructions_) {
    if (instruction->body() == nullptr) continue;
    const auto within = instruction->body()->all_storages();
    storages.insert(within.begin(), within.end());
  }
  return {storages.begin(), storages.end()};
}

Program::~Program() = default;

bool Program::takes_microseconds() const {
  double flops = 0;
  std::int64_t bytes = 0;
  for (const auto& instruction : instructions_) {
    if (instruction->body() != nullptr) return false;
    flops += instruction->flops();
  }
  for (const Buffer& buffer : buffers_) bytes += checked_bytes(buffer.dtype, buffer.shape);
  return flops <= kBriefFlops && bytes <= kBriefBytes;
}

// A context that no run uses, or null; under run_mutex().
std::unique_ptr<Program::Context> Program::take_idle() const {
  if (idle_.empty()) return nullptr;
  auto context = std::move(idle_.back());
  idle_.pop_back();
  return context;
}

std::unique_ptr<Program::Context> Program::make_context() const {
  auto context = std::make_unique<Context>();
  context->arena = AlignedBuffer(static_cast<std::size_t>(arena_bytes_));
  context->workspace = AlignedBuffer(static_cast<std::size_t>(workspace_bytes_));
  context->slots.resize(buffers_.size());
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    if (buffer.residence == Residence::arena) {
      context->slots[i] = context->arena.data() + buffer.offset;
    } else if (buffer.residence == Residence::storage) {
      context->slots[i] = buffer.storage->data();
    }
  }
  return context;
}

bool Program::up_to_date(const Prepared& prepared) const {
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (prepared.versions[i] != sources_[i]->version()) return false;
  }
  return true;
}

// What is prepared, if it is still what the storages say; under run_mutex().
Program::Ready Program::take_prepared() const {
  Ready ready;
  if (latest_ == nullptr || !up_to_date(*latest_)) return ready;
  ready.prepared = latest_;
  ready.add_operands = !latest_->operands && !latest_->claimed;
  latest_->claimed = true;
  return ready;
}

// Gives the run its external slots, views, and what is prepared: as it is, or made by this run.
void Program::place(Context& context, void* const* addresses, Ready& ready) const {
  for (std::size_t i = 0; i < external_.size(); ++i) context.slots[external_[i]] = addresses[i];
  if (prepared_bytes_ > 0 && (ready.prepared == nullptr || ready.add_operands)) {
    std::shared_ptr<Prepared> made = prepare(context, ready.add_operands);
    ready.prepared = made;
    const std::lock_guard<std::mutex> lock(run_mutex());
    latest_.swap(made);
  }
  if (ready.prepared != nullptr) place_prepared(context, *ready.prepared);
  place_views(context);
}

void Program::place_views(Context& context) const {
  for (const int view : views_) context.slots[view] = context.slots[buffers_[view].base];
}

void Program::place_prepared(Context& context, const Prepared& prepared) const {
  for (const int slot : prepared_) {
    context.slots[slot] = prepared.memory.data() + buffers_[slot].offset;
  }
}

std::shared_ptr<Program::Prepared> Program::prepare(Context& context, bool operands) const {
  auto made = std::make_shared<Prepared>();
  for (const Storage* storage : sources_) made->versions.push_back(storage->version());
  made->memory =
      AlignedBuffer(static_cast<std::size_t>(operands ? prepared_bytes_ : prologue_bytes_));
  made->operands = operands || prepared_bytes_ == prologue_bytes_;
  place_prepared(context, *made);
  place_views(context);
  const Frame frame{context.slots.data(), context.workspace.data()};
  for (std::size_t i = 0; i < prologue_; ++i) instructions_[i]->run(frame);
  for (std::size_t i = 0; operands && i < instructions_.size(); ++i) {
    if (operand_offsets_[i] < 0) continue;
    instructions_[i]->prepare(frame, made->memory.data() + operand_offsets_[i]);
  }
  return made;
}

bool Program::run(void* const* addresses, std::uint64_t seed, std::uint64_t step, Caller* caller,
                  double* seconds) const {
  std::unique_ptr<Context> context;
  Ready ready;
  StorageAccess access(storages_, caller);
  if (first_write_ == prologue_) access.begin_writing();
  context = take_idle();
  ready = take_prepared();
  access.unlock();
  if (context == nullptr) context = make_context();
  place(*context, addresses, ready);
  Frame frame{context->slots.data(), context->workspace.data(), seed, step};
  const bool finished = run_instructions(frame, ready, access, brief_ ? nullptr : caller, seconds);
  for (const Storage* storage : storages_.writes) storage->note_write();
  access.lock();
  if (idle_.size() < kIdleContexts) idle_.push_back(std::move(context));
  return finished;
}

bool Program::run_instructions(Frame& frame, const Ready& ready, StorageAccess& access,
                               Caller* caller, double* seconds) const {
  const bool has_operands = ready.prepared != nullptr && ready.prepared->operands;
  const std::byte* operands = has_operands ? ready.prepared->memory.data() : nullptr;
  const bool watched = caller != nullptr || seconds != nullptr;
  auto last = watched ? Clock::now() : Clock::time_point();
  auto polled = last;
  if (seconds != nullptr) std::fill_n(seconds, prologue_, 0.0);
  for (std::size_t i = prologue_; i < instructions_.size(); ++i) {
    if (i == first_write_) access.begin_writing();
    frame.prepared =
        has_operands && operand_offsets_[i] >= 0 ? operands + operand_offsets_[i] : nullptr;
    instructions_[i]->run(frame);
    if (!watched) continue;
    const auto now = Clock::now();
    if (seconds != nullptr) seconds[i] = std::chrono::duration<double>(now - last).count();
    last = now;
    if (caller != nullptr && i + 1 < commit_ && now - polled > kInterruptInterval) {
      polled = now;
      if (caller->interrupted()) return false;
    }
  }
  return true;
}

}  // namespace kcore
