// Memory that a kernel needs for the length of a call, kept by each thread from call to call.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kcore {

// Who is using a thread's scratch memory: two users that can be active at once on one thread
// (a convolution and the GEMM that it calls) need different names.
enum class Scratch { packed_a, packed_b, product, convolution, elementwise, staging, count };
constexpr int kScratchCount = static_cast<int>(Scratch::count);

// At least `bytes` bytes, 64-byte aligned, content undefined; valid until this thread asks for
// the same name again. Throws std::bad_alloc.
std::byte* thread_scratch(Scratch name, std::size_t bytes);

// Bytes that all threads hold now.
std::int64_t scratch_bytes();

// The most bytes that kernels ask for under each name: on the thread that calls them, and on each
// of the others of its team.
struct ScratchNeed {
  std::int64_t caller[kScratchCount] = {}, others[kScratchCount] = {};

  void add_caller(Scratch name, std::int64_t bytes);
  void add_team(Scratch name, std::int64_t bytes);  // every thread, if the work is shared out
  void add(Scratch name, std::int64_t bytes, std::int64_t tasks);  // whoever runs so many tasks
  void cover(const ScratchNeed& other);
  std::int64_t total(int threads) const;
};

}  // namespace kcore
