#include "simd/scratch.h"

#include <algorithm>
#include <atomic>

#include "simd/aligned.h"

namespace kcore {

namespace {

std::atomic<std::int64_t> held{0};

struct ThreadBuffers {
  AlignedBuffer buffers[kScratchCount];

  ~ThreadBuffers() {
    for (const AlignedBuffer& buffer : buffers) held -= static_cast<std::int64_t>(buffer.bytes());
  }
};

void raise(std::int64_t& most, std::int64_t bytes) { most = std::max(most, bytes); }

}  // namespace

std::byte* thread_scratch(Scratch name, std::size_t bytes) {
  thread_local ThreadBuffers own;
  AlignedBuffer& buffer = own.buffers[static_cast<int>(name)];
  if (buffer.bytes() < bytes) {
    held -= static_cast<std::int64_t>(buffer.bytes());
    buffer = AlignedBuffer();  // what is there is not needed beside the new one
    buffer = AlignedBuffer(bytes);
    held += static_cast<std::int64_t>(buffer.bytes());
  }
  return buffer.data();
}

std::int64_t scratch_bytes() { return held; }

void ScratchNeed::add_caller(Scratch name, std::int64_t bytes) {
  raise(caller[static_cast<int>(name)], bytes);
}

void ScratchNeed::add_team(Scratch name, std::int64_t bytes) {
  add_caller(name, bytes);
  raise(others[static_cast<int>(name)], bytes);
}

void ScratchNeed::add(Scratch name, std::int64_t bytes, std::int64_t tasks) {
  tasks > 1 ? add_team(name, bytes) : add_caller(name, bytes);
}

void ScratchNeed::cover(const ScratchNeed& other) {
  for (int name = 0; name < kScratchCount; ++name) {
    raise(caller[name], other.caller[name]);
    raise(others[name], other.others[name]);
  }
}

std::int64_t ScratchNeed::total(int threads) const {
  std::int64_t bytes = 0;
  for (int name = 0; name < kScratchCount; ++name) {
    bytes += caller[name] + (threads - 1) * others[name];
  }
  return bytes;
}

}  // namespace kcore
