// The types of elements that kernels know, in the order of the programs' dtypes.
#pragma once

namespace kcore {

enum class ElementType { boolean, uint8, int32, int64, float32, float64 };

}  // namespace kcore
