#include "simd/aligned.h"

#include <cstdint>
#include <cstdlib>
#include <new>
// AddressSanitizer watches the ends of what malloc gives.
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define KCORE_MAPS_PAGES
#include <sys/mman.h>
#endif

namespace kcore {

namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t rounded_up(std::size_t bytes, std::size_t unit) {
  if (bytes > static_cast<std::size_t>(-1) - 2 * kHugePage) throw std::bad_alloc();
  return (bytes + unit - 1) / unit * unit;
}

#ifdef KCORE_MAPS_PAGES
// Pages of their own, beginning where a huge one may: malloc would keep what is freed, for good if
// something small lies behind it.
std::byte* map_pages(std::size_t bytes) {
  const std::size_t mapped = bytes + kHugePage;
  void* pages = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  auto* begin = static_cast<std::byte*>(pages);
  const std::size_t head =
      (kHugePage - reinterpret_cast<std::uintptr_t>(begin) % kHugePage) % kHugePage;
  if (head > 0) munmap(begin, head);
  if (head < kHugePage) munmap(begin + head + bytes, kHugePage - head);
  madvise(begin + head, bytes, MADV_HUGEPAGE);
  return begin + head;
}
#endif

}  // namespace

AlignedBuffer::AlignedBuffer(std::size_t bytes) {
  if (bytes == 0) return;
  std::size_t size = rounded_up(bytes, kCacheLine);
#ifdef KCORE_MAPS_PAGES
  if (size >= kHugePage) {
    size = rounded_up(size, kPage);
    data_ = map_pages(size);
    bytes_ = size;
    return;
  }
#endif
  data_ = static_cast<std::byte*>(std::aligned_alloc(kCacheLine, size));
  if (data_ == nullptr) throw std::bad_alloc();
  bytes_ = size;
}

AlignedBuffer::~AlignedBuffer() {
#ifdef KCORE_MAPS_PAGES
  if (bytes_ >= kHugePage) {
    munmap(data_, bytes_);
    return;
  }
#endif
  std::free(data_);
}

}  // namespace kcore
