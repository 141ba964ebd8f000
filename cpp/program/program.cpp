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

}  // namespace

Storage::Storage(DType dtype, Shape shape)
    : dtype_(dtype),
      shape_(std::move(shape)),
      bytes_(static_cast<std::size_t>(checked_bytes(dtype_, shape_))),
      buffer_(bytes_) {
  if (bytes_ > 0) std::memset(buffer_.data(), 0, bytes_);
}

bool Storage::read(void* to, bool wait) const {
  const StorageSet set{{this}, {}};
  const StorageAccess access(set, wait);
  if (!access.entered()) return false;
  if (bytes_ > 0) std::memcpy(to, data(), bytes_);
  return true;
}

bool Storage::write(const void* from, bool wait) {
  const StorageSet set{{}, {this}};
  StorageAccess access(set, wait);
  if (!access.entered() || !access.begin_writing(wait)) return false;
  if (bytes_ > 0) std::memcpy(data(), from, bytes_);
  return true;
}

struct Program::Context {
  AlignedBuffer arena;
  AlignedBuffer workspace;
  std::vector<void*> slots;
};

Program::Program(std::vector<Buffer> buffers, const std::vector<InstructionSpec>& instructions,
                 std::vector<int> external, std::int64_t arena_bytes, std::int64_t commit)
    : buffers_(std::move(buffers)), external_(std::move(external)), arena_bytes_(arena_bytes) {
  require(arena_bytes >= 0, "negative arena size");
  std::size_t external_count = 0;
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    const std::string name = "buffer " + std::to_string(i);
    const std::int64_t bytes = checked_bytes(buffer.dtype, buffer.shape);
    switch (buffer.residence) {
      case Residence::arena: {
        std::int64_t end = 0;
        require(buffer.offset >= 0 && buffer.offset % 8 == 0 &&
                    !__builtin_add_overflow(buffer.offset, bytes, &end) && end <= arena_bytes,
                name + " does not lie within the arena");
        break;
      }
      case Residence::storage:
        require(buffer.storage != nullptr, name + " has no storage");
        require(buffer.dtype == buffer.storage->dtype() &&
                    static_cast<std::size_t>(bytes) == buffer.storage->bytes(),
                name + " does not fit its storage");
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
  collect_storages(instructions);
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
      const Buffer& buffer = buffers_[slot];
      const Buffer& base = buffer.residence == Residence::view ? buffers_[buffer.base] : buffer;
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

Program::~Program() = default;

std::unique_ptr<Program::Context> Program::acquire() const {
  {
    const std::lock_guard<std::mutex> lock(run_mutex());
    if (!idle_.empty()) {
      auto context = std::move(idle_.back());
      idle_.pop_back();
      return context;
    }
  }
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

void Program::release(std::unique_ptr<Context> context) const {
  const std::lock_guard<std::mutex> lock(run_mutex());
  if (idle_.size() < kIdleContexts) idle_.push_back(std::move(context));
}

bool Program::run(void* const* addresses, std::uint64_t seed, std::uint64_t step,
                  const Interrupted& interrupted, double* seconds) const {
  StorageAccess access(storages_);
  auto context = acquire();
  for (std::size_t i = 0; i < external_.size(); ++i) context->slots[external_[i]] = addresses[i];
  for (const int view : views_) context->slots[view] = context->slots[buffers_[view].base];
  const Frame frame{context->slots.data(), context->workspace.data(), seed, step};
  const bool watched = interrupted || seconds != nullptr;
  auto last = watched ? Clock::now() : Clock::time_point();
  auto polled = last;
  bool finished = true;
  for (std::size_t i = 0; i < instructions_.size(); ++i) {
    if (i == first_write_) access.begin_writing();
    instructions_[i]->run(frame);
    if (!watched) continue;
    const auto now = Clock::now();
    if (seconds != nullptr) seconds[i] = std::chrono::duration<double>(now - last).count();
    last = now;
    if (interrupted && i + 1 < commit_ && now - polled > kInterruptInterval) {
      polled = now;
      if (interrupted()) {
        finished = false;
        break;
      }
    }
  }
  release(std::move(context));
  return finished;
}

}  // namespace kcore
