#include "kernels/fill.h"

#include "simd/vec.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

template <class T>
void fill_elements(void* out, std::int64_t count, const void* element) {
  T value;
  std::memcpy(&value, element, sizeof(T));
  T* y = static_cast<T*>(out);
  for (std::int64_t i = 0; i < count; ++i) y[i] = value;
}

void fill(void* out, std::int64_t count, std::int64_t element_bytes, const void* element) {
  switch (element_bytes) {
    case 1:
      return fill_elements<std::uint8_t>(out, count, element);
    case 4:
      return fill_elements<std::uint32_t>(out, count, element);
    default:
      return fill_elements<std::uint64_t>(out, count, element);
  }
}

}  // namespace

const FillKernels fill_table = {fill};

}  // namespace kcore::KCORE_ISA_NAMESPACE
