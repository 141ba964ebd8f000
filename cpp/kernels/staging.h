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

// What was made there, to y.
template <class T>
KCORE_INLINE void unstage(const T* staged, T* y, std::int64_t count) {
  if (staged == y) return;
  stream_bytes(y, staged, count * static_cast<std::int64_t>(sizeof(T)));
  finish_streaming();
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
