// One element of a dtype, as bytes: what a kernel fills with.
#pragma once

#include <cstring>
#include <limits>

#include "program/instruction.h"

namespace kcore {

struct Element {
  unsigned char bytes[8] = {};

  Element(DType dtype, double value) {
    switch (dtype) {
      case DType::boolean:
        set(static_cast<std::uint8_t>(value != 0));
        break;
      case DType::uint8:
        set(whole<std::uint8_t>(dtype, value));
        break;
      case DType::int32:
        set(whole<std::int32_t>(dtype, value));
        break;
      case DType::int64:
        set(whole<std::int64_t>(dtype, value));
        break;
      case DType::float32:
        set(static_cast<float>(value));
        break;
      case DType::float64:
        set(value);
        break;
    }
  }

 private:
  // Towards zero; throws InvalidProgram if the integer type cannot hold it.
  template <class T>
  static T whole(DType dtype, double value) {
    const double low = static_cast<double>(std::numeric_limits<T>::min());
    const double high = static_cast<double>(std::numeric_limits<T>::max());
    require(value >= low && value < high + 1,
            std::to_string(value) + " is not a value of " + dtype_name(dtype));
    return static_cast<T>(value);
  }

  template <class T>
  void set(T value) {
    std::memcpy(bytes, &value, sizeof(T));
  }
};

}  // namespace kcore
