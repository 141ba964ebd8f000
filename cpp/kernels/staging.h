// Parts of a large result that are made in scratch memory and then written past the caches.
#pragma once

#include "simd/scratch.h"
#include "simd/vec.h"

namespace kcore::KCORE_ISA_NAMESPACE {

// Where to make `count` elements of y: there, or in this thread's scratch memory.
template <class T>
KCORE_INLINE T* stage(bool streamed, T* y, std::int64_t count) {
  if (!streamed) return y;
  const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
  return reinterpret_cast<T*>(thread_scratch(Scratch::staging, bytes));
}

// What stage() takes of the threads that share such tasks, for a result of so many bytes, `count`
// elements of which are made at once.
template <class T>
KCORE_INLINE ScratchNeed staging_need(std::int64_t tasks, std::int64_t result_bytes,
                                      std::int64_t count) {
  ScratchNeed need;
  const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(T));
  if (!leaves_caches(result_bytes)) return need;
  need.add(Scratch::staging, bytes, tasks);
  return need;
}

// What was made there, to y.
template <class T>
KCORE_INLINE void unstage(const T* staged, T* y, std::int64_t count) {
  if (staged == y) return;
  stream_bytes(y, staged, count * static_cast<std::int64_t>(sizeof(T)));
  finish_streaming();
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
