// Memory that a kernel needs for the length of a call, kept by each thread from call to call.
#pragma once

#include <cstddef>

namespace kcore {

// Who is using a thread's scratch memory: two users that can be active at once on one thread
// (a convolution and the GEMM that it calls) need different names.
enum class Scratch { packed_a, packed_b, convolution, elementwise, reduction, staging, count };

// At least `bytes` bytes, 64-byte aligned, content undefined; valid until this thread asks for
// the same name again. Throws std::bad_alloc.
std::byte* thread_scratch(Scratch name, std::size_t bytes);

}  // namespace kcore
