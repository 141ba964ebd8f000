// NumPy arrays as tensors of a program.
#pragma once

#include <pybind11/numpy.h>

#include "program/instruction.h"

namespace kcore {

namespace py = pybind11;

// NumPy's own object for a dtype.
py::dtype numpy_dtype(DType dtype);

// An array with undefined content.
py::array new_array(DType dtype, const Shape& shape);

// The array's address, or null unless it is exactly such a tensor: dtype, shape, C order,
// alignment. `rows` stands for the first extent, if it is not negative.
void* tensor_data(py::handle object, DType dtype, const Shape& shape, std::int64_t rows = -1);

// The same; throws what tells `what` (and its number, if it is not negative) is wrong.
void* checked_data(py::handle object, DType dtype, const Shape& shape, bool writeable,
                   const char* what, std::int64_t number = -1, std::int64_t rows = -1);

// Throws unless the array, called `what`, is C-contiguous and aligned.
void check_layout(const py::array& array, const std::string& what);

}  // namespace kcore
