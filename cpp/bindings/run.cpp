#include "bindings/run.h"

#include <array>
#include <string>
#include <vector>

#include "bindings/arrays.h"

namespace kcore {

namespace {

// One address for each external slot, on the stack if they are few.
class Addresses {
 public:
  explicit Addresses(std::size_t count) {
    if (count > few_.size()) many_.resize(count);
    data_ = many_.empty() ? few_.data() : many_.data();
  }
  void*& operator[](std::size_t i) { return data_[i]; }
  void* const* data() const { return data_; }

 private:
  std::array<void*, 16> few_;
  std::vector<void*> many_;
  void** data_;
};

// The class can't be inherited from, so that no instance holds anything else, or nothing.
const Executable& executable(PyObject* self) {
  const void* held =
      reinterpret_cast<py::detail::instance*>(self)->get_value_and_holder().value_ptr();
  if (held == nullptr) throw py::type_error("the program's __init__ has not been called");
  return *static_cast<const Executable*>(held);
}

// The items, held: the caller's list may change while the GIL is released.
py::tuple held_items(PyObject* sequence) {
  auto items = py::reinterpret_steal<py::tuple>(PySequence_Tuple(sequence));
  if (!items) throw py::error_already_set();
  return items;
}

std::uint64_t position(PyObject* number) {
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(number));
  const std::uint64_t value = index ? PyLong_AsUnsignedLongLong(index.ptr()) : 0;
  if (PyErr_Occurred() != nullptr) throw py::error_already_set();
  return value;
}

py::list run(const Executable& self, PyObject* inputs, std::uint64_t seed, std::uint64_t step,
             PyObject* profile) {
  const Program& program = *self.program;
  const py::tuple items = held_items(inputs);
  check_count(self, items.size());
  const std::size_t count = program.external().size();
  Addresses addresses(count);
  for (std::size_t i = 0; i < self.inputs; ++i) {
    const Buffer& buffer = self.external(i);
    addresses[i] = checked_data(PyTuple_GET_ITEM(items.ptr(), i), buffer.dtype, buffer.shape, false,
                                "input", static_cast<std::int64_t>(i));
  }
  py::list outputs(count - self.inputs);
  for (std::size_t i = self.inputs; i < count; ++i) {
    const Buffer& buffer = self.external(i);
    py::array output = new_array(buffer.dtype, buffer.shape);
    addresses[i] = output.mutable_data();
    PyList_SET_ITEM(outputs.ptr(), i - self.inputs, output.release().ptr());
  }
  double* seconds = nullptr;
  if (profile != Py_None) {
    const Shape shape{static_cast<std::int64_t>(program.instruction_count())};
    seconds = static_cast<double*>(checked_data(profile, DType::float64, shape, true, "profile"));
  }
  bool finished = false;
  {
    PythonCaller caller;
    if (!program.brief()) caller.release_gil();
    finished = program.run(addresses.data(), seed, step, &caller, seconds);
  }
  if (!finished) throw py::error_already_set();
  return outputs;
}

bool takes(const Executable& self, PyObject* inputs) {
  if (!PyList_CheckExact(inputs) && !PyTuple_CheckExact(inputs)) return false;
  if (static_cast<std::size_t>(PySequence_Fast_GET_SIZE(inputs)) != self.inputs) return false;
  PyObject** items = PySequence_Fast_ITEMS(inputs);
  for (std::size_t i = 0; i < self.inputs; ++i) {
    const Buffer& buffer = self.external(i);
    if (tensor_data(items[i], buffer.dtype, buffer.shape) == nullptr) return false;
  }
  return true;
}

// What f returns, or null with the Python exception set that stands for what it throws.
template <class F>
PyObject* called(const F& f) noexcept {
  try {
    return f();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::bad_alloc& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyObject* call_run(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  return called([&] {
    if (count < 1 || count > 4) {
      throw py::type_error("run takes 1 to 4 arguments, got " + std::to_string(count));
    }
    return run(executable(self), arguments[0], count > 1 ? position(arguments[1]) : 0,
               count > 2 ? position(arguments[2]) : 0, count > 3 ? arguments[3] : Py_None)
        .release()
        .ptr();
  });
}

PyObject* call_takes(PyObject* self, PyObject* inputs) {
  return called([&] { return py::bool_(takes(executable(self), inputs)).release().ptr(); });
}

PyMethodDef methods[] = {
    {"run", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(call_run)), METH_FASTCALL,
     "run(inputs, seed=0, step=0, profile=None, /)\n--\n\n"
     "Runs once; returns a list of new arrays."},
    {"takes", call_takes, METH_O,
     "takes(inputs, /)\n--\n\n"
     "Whether this list or tuple is arrays that `run` takes."},
};

}  // namespace

void check_count(const Executable& self, std::size_t given) {
  if (given == self.inputs) return;
  throw py::value_error("the program takes " + std::to_string(self.inputs) + " inputs, got " +
                        std::to_string(given));
}

bool PythonCaller::interrupted() {
  const py::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

void add_run(py::handle program_class) {
  auto* type = reinterpret_cast<PyTypeObject*>(program_class.ptr());
  for (PyMethodDef& method : methods) {
    auto made = py::reinterpret_steal<py::object>(PyDescr_NewMethod(type, &method));
    if (!made) throw py::error_already_set();
    program_class.attr(method.ml_name) = made;
  }
}

}  // namespace kcore
