#include "bindings/arrays.h"

#include <algorithm>
#include <array>
#include <string>

namespace kcore {

namespace {

constexpr DType kDTypes[] = {DType::boolean, DType::uint8,   DType::int32,
                             DType::int64,   DType::float32, DType::float64};

using Objects = std::array<PyObject*, std::size(kDTypes)>;

// NumPy keeps one object for each of these dtypes: an array that has it is known without a look
// into the object.
const Objects& dtype_objects() {
  static const Objects objects = [] {
    Objects made{};
    for (const DType dtype : kDTypes) {
      made[static_cast<std::size_t>(dtype)] = py::dtype(dtype_name(dtype)).release().ptr();
    }
    return made;
  }();
  return objects;
}

PyObject* dtype_object(DType dtype) { return dtype_objects()[static_cast<std::size_t>(dtype)]; }

bool holds(const py::detail::PyArray_Proxy& array, DType dtype) {
  return array.descr == dtype_object(dtype) ||
         py::detail::npy_api::get().PyArray_EquivTypes_(array.descr, dtype_object(dtype));
}

bool has_shape(const py::detail::PyArray_Proxy& array, const Shape& shape, std::int64_t rows) {
  if (static_cast<std::size_t>(array.nd) != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (array.dimensions[i] != (i == 0 && rows >= 0 ? rows : shape[i])) return false;
  }
  return true;
}

constexpr int kLayout = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;

bool has_layout(const py::detail::PyArray_Proxy& array) {
  return (array.flags & kLayout) == kLayout;
}

}  // namespace

py::dtype numpy_dtype(DType dtype) {
  return py::reinterpret_borrow<py::dtype>(dtype_object(dtype));
}

py::array new_array(DType dtype, const Shape& shape) {
  static_assert(sizeof(Shape::value_type) == sizeof(Py_intptr_t));
  const auto& api = py::detail::npy_api::get();
  PyObject* made = api.PyArray_NewFromDescr_(
      api.PyArray_Type_, numpy_dtype(dtype).release().ptr(), static_cast<int>(shape.size()),
      reinterpret_cast<const Py_intptr_t*>(shape.data()), nullptr, nullptr, 0, nullptr);
  if (made == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::array>(made);
}

void* tensor_data(py::handle object, DType dtype, const Shape& shape, std::int64_t rows) {
  if (!py::detail::npy_api::get().PyArray_Check_(object.ptr())) return nullptr;
  const auto& array = *py::detail::array_proxy(object.ptr());
  const bool fits = has_shape(array, shape, rows) && holds(array, dtype) && has_layout(array);
  return fits ? array.data : nullptr;
}

void* checked_data(py::handle object, DType dtype, const Shape& shape, bool writeable,
                   const char* what, std::int64_t number, std::int64_t rows) {
  void* data = tensor_data(object, dtype, shape, rows);
  if (data != nullptr && !writeable) return data;
  const std::string name = number < 0 ? what : what + (" " + std::to_string(number));
  if (!py::isinstance<py::array>(object)) {
    throw py::type_error(name + " must be a NumPy array, got " +
                         std::string(py::str(py::type::of(object))));
  }
  const auto array = py::reinterpret_borrow<py::array>(object);
  const auto& fields = *py::detail::array_proxy(object.ptr());
  if (!has_shape(fields, shape, rows) || !holds(fields, dtype)) {
    Shape wanted = shape;
    if (rows >= 0 && !wanted.empty()) wanted[0] = rows;
    throw py::value_error(name + " must be " + dtype_name(dtype) + " of shape " +
                          to_string(wanted) + ", got " + std::string(py::str(array.dtype())) +
                          " of shape " + std::string(py::str(array.attr("shape"))));
  }
  check_layout(array, name);
  if (writeable && !array.writeable()) throw py::value_error(name + " is read-only");
  return data;
}

void check_layout(const py::array& array, const std::string& what) {
  if (!has_layout(*py::detail::array_proxy(array.ptr()))) {
    throw py::value_error(what + " must be C-contiguous and aligned");
  }
}

}  // namespace kcore
