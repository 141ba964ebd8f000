#include "simd/aligned.h"

#include <atomic>
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
// From so many bytes on, pages of their own: malloc would keep what is freed, for good if something
// small lies behind it.
constexpr std::size_t kMapped = std::size_t{128} << 10;

// Buffers begin at different lines of their first pages. A load waits for an earlier store whose
// address is the same but for the page: an update of several variables, all on the first line,
// takes half as long again.
std::size_t next_offset() {
  static std::atomic<std::size_t> made{0};
  constexpr std::size_t kLines = kPage / kCacheLine, kApart = 43;  // has no factor of kLines
  return made.fetch_add(1, std::memory_order_relaxed) * kApart % kLines * kCacheLine;
}

// Beginning where a huge page may, if there is room for one.
std::byte* map_pages(std::size_t bytes) {
  const std::size_t slack = bytes < kHugePage ? 0 : kHugePage, mapped = bytes + slack;
  void* pages = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  auto* begin = static_cast<std::byte*>(pages);
  if (slack == 0) return begin;
  const std::size_t head =
      (kHugePage - reinterpret_cast<std::uintptr_t>(begin) % kHugePage) % kHugePage;
  if (head > 0) munmap(begin, head);
  if (head < kHugePage) munmap(begin + head + bytes, kHugePage - head);
  madvise(begin + head, bytes, MADV_HUGEPAGE);
  return begin + head;
}

std::size_t offset_of(const std::byte* data) {
  return reinterpret_cast<std::uintptr_t>(data) % kPage;
}
#endif

}  // namespace

AlignedBuffer::AlignedBuffer(std::size_t bytes) {
  if (bytes == 0) return;
  std::size_t size = rounded_up(bytes, kCacheLine);
#ifdef KCORE_MAPS_PAGES
  if (size >= kMapped) {
    const std::size_t offset = next_offset();
    data_ = map_pages(rounded_up(offset + size, kPage)) + offset;
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
  if (bytes_ >= kMapped) {
    const std::size_t offset = offset_of(data_);
    munmap(data_ - offset, rounded_up(offset + bytes_, kPage));
    return;
  }
#endif
  std::free(data_);
}

}  // namespace kcore
