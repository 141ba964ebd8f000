#include "simd/scratch.h"

#include "simd/aligned.h"

namespace kcore {

std::byte* thread_scratch(Scratch name, std::size_t bytes) {
  thread_local AlignedBuffer buffers[static_cast<int>(Scratch::count)];
  AlignedBuffer& buffer = buffers[static_cast<int>(name)];
  if (buffer.bytes() < bytes) buffer = AlignedBuffer(bytes);
  return buffer.data();
}

}  // namespace kcore
