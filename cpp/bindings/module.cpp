// The extension module: checks what Python passes, then calls. No logic lives here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>

#include "kernels/indexing.h"
#include "program/elementwise.h"
#include "program/program.h"
#include "simd/isa.h"
#include "simd/parallel.h"

namespace py = pybind11;

namespace kcore {
namespace {

py::dtype numpy_dtype(DType dtype) { return py::dtype(dtype_name(dtype)); }

// The array's address, if it is exactly such a tensor: dtype, shape, C order, alignment.
void* checked_data(py::handle object, DType dtype, const Shape& shape, bool writeable,
                   const std::string& what) {
  if (!py::isinstance<py::array>(object)) {
    throw py::type_error(what + " must be a NumPy array, got " +
                         std::string(py::str(py::type::of(object))));
  }
  const auto array = py::reinterpret_borrow<py::array>(object);
  const auto& api = py::detail::npy_api::get();
  const bool same_dtype = array.dtype().is(numpy_dtype(dtype)) ||
                          api.PyArray_EquivTypes_(array.dtype().ptr(), numpy_dtype(dtype).ptr());
  bool same_shape = static_cast<std::size_t>(array.ndim()) == shape.size();
  for (std::size_t i = 0; same_shape && i < shape.size(); ++i) {
    same_shape = array.shape(static_cast<py::ssize_t>(i)) == shape[i];
  }
  if (!same_dtype || !same_shape) {
    throw py::value_error(what + " must be " + dtype_name(dtype) + " of shape " + to_string(shape) +
                          ", got " + std::string(py::str(array.dtype())) + " of shape " +
                          std::string(py::str(array.attr("shape"))));
  }
  const int flags = array.flags();
  const bool aligned = (flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
  if ((flags & py::array::c_style) == 0 || !aligned) {
    throw py::value_error(what + " must be C-contiguous and aligned");
  }
  if (writeable && !array.writeable()) throw py::value_error(what + " is read-only");
  return const_cast<void*>(array.data());
}

std::shared_ptr<Storage> make_storage(const std::string& dtype, const Shape& shape) {
  return std::make_shared<Storage>(dtype_from_name(dtype), shape);
}

py::array read_storage(const Storage& storage) {
  py::array array(numpy_dtype(storage.dtype()), storage.shape());
  if (storage.bytes() > 0) std::memcpy(array.mutable_data(), storage.data(), storage.bytes());
  return array;
}

void write_storage(Storage& storage, py::handle value) {
  const void* data = checked_data(value, storage.dtype(), storage.shape(), false, "value");
  if (storage.bytes() > 0) std::memcpy(storage.data(), data, storage.bytes());
}

// A program with its external slots told apart: inputs, which the caller passes, then outputs,
// which are allocated for it.
struct Executable {
  std::shared_ptr<const Program> program;
  std::size_t inputs;
};

Buffer make_buffer(py::handle object) {
  const auto fields = py::cast<py::tuple>(object);
  if (fields.size() != 4) {
    throw py::value_error("a buffer is (residence, dtype, shape, offset or storage or base slot)");
  }
  Buffer buffer;
  const auto residence = py::cast<std::string>(fields[0]);
  buffer.dtype = dtype_from_name(py::cast<std::string>(fields[1]));
  buffer.shape = py::cast<Shape>(fields[2]);
  if (residence == "arena") {
    buffer.residence = Residence::arena;
    buffer.offset = py::cast<std::int64_t>(fields[3]);
  } else if (residence == "storage") {
    buffer.residence = Residence::storage;
    buffer.storage = py::cast<std::shared_ptr<Storage>>(fields[3]);
  } else if (residence == "external") {
    buffer.residence = Residence::external;
  } else if (residence == "view") {
    buffer.residence = Residence::view;
    buffer.base = py::cast<int>(fields[3]);
  } else {
    throw py::value_error("unknown residence '" + residence + "'");
  }
  return buffer;
}

Attributes::Value make_value(const std::string& name, py::handle value) {
  if (py::isinstance<py::bool_>(value)) return static_cast<std::int64_t>(py::cast<bool>(value));
  if (py::isinstance<py::int_>(value)) return py::cast<std::int64_t>(value);
  if (py::isinstance<py::float_>(value)) return py::cast<double>(value);
  if (py::isinstance<py::str>(value)) return py::cast<std::string>(value);
  if (py::isinstance<Executable>(value)) return py::cast<const Executable&>(value).program;
  if (py::isinstance<py::sequence>(value)) {
    const auto sequence = py::reinterpret_borrow<py::sequence>(value);
    bool whole = true, text = false;
    for (const py::handle element : sequence) {
      whole = whole && py::isinstance<py::int_>(element);
      text = text || py::isinstance<py::str>(element);
    }
    if (whole) return py::cast<std::vector<std::int64_t>>(value);
    if (text) return py::cast<std::vector<std::string>>(value);
    return py::cast<std::vector<double>>(value);
  }
  throw py::type_error("attribute '" + name + "' has a type that programs do not hold");
}

InstructionSpec make_spec(py::handle object) {
  const auto fields = py::cast<py::tuple>(object);
  if (fields.size() != 4) {
    throw py::value_error("an instruction is (name, input slots, output slots, attributes)");
  }
  InstructionSpec spec;
  spec.name = py::cast<std::string>(fields[0]);
  spec.inputs = py::cast<std::vector<int>>(fields[1]);
  spec.outputs = py::cast<std::vector<int>>(fields[2]);
  for (const auto& [name, value] : py::cast<py::dict>(fields[3])) {
    const auto key = py::cast<std::string>(name);
    spec.attributes.set(key, make_value(key, value));
  }
  return spec;
}

Executable make_executable(const py::sequence& buffers, const py::sequence& instructions,
                           const std::vector<int>& inputs, const std::vector<int>& outputs,
                           std::int64_t arena_bytes, std::int64_t commit) {
  std::vector<Buffer> made_buffers;
  for (const py::handle buffer : buffers) made_buffers.push_back(make_buffer(buffer));
  std::vector<InstructionSpec> specs;
  for (const py::handle instruction : instructions) specs.push_back(make_spec(instruction));
  std::vector<int> external = inputs;
  external.insert(external.end(), outputs.begin(), outputs.end());
  return {std::make_shared<const Program>(std::move(made_buffers), specs, std::move(external),
                                          arena_bytes, commit),
          inputs.size()};
}

// Whether a signal (Ctrl-C) has raised a Python exception; the exception stays set.
bool signal_pending() {
  const py::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

py::list run(const Executable& self, const py::sequence& inputs, std::uint64_t seed,
             std::uint64_t step, const std::optional<py::array>& profile) {
  const Program& program = *self.program;
  if (inputs.size() != self.inputs) {
    throw py::value_error("the program takes " + std::to_string(self.inputs) + " inputs, got " +
                          std::to_string(inputs.size()));
  }
  const std::size_t count = program.external().size();
  std::vector<void*> addresses(count);
  for (std::size_t i = 0; i < self.inputs; ++i) {
    const Buffer& buffer = program.buffers()[program.external()[i]];
    addresses[i] = checked_data(py::object(inputs[i]), buffer.dtype, buffer.shape, false,
                                "input " + std::to_string(i));
  }
  py::list outputs;
  for (std::size_t i = self.inputs; i < count; ++i) {
    const Buffer& buffer = program.buffers()[program.external()[i]];
    py::array output(numpy_dtype(buffer.dtype), buffer.shape);
    addresses[i] = output.mutable_data();
    outputs.append(std::move(output));
  }
  double* seconds = nullptr;
  if (profile) {
    seconds = static_cast<double*>(
        checked_data(*profile, DType::float64,
                     {static_cast<std::int64_t>(program.instruction_count())}, true, "profile"));
  }
  bool finished = false;
  {
    const py::gil_scoped_release release;
    finished = program.run(addresses.data(), seed, step, signal_pending, seconds);
  }
  if (!finished) throw py::error_already_set();
  return outputs;
}

// out[j] = source[indices[j]] for a batch: rows of any dtype that is plain bytes.
void gather_rows(const py::array& source, const py::array& indices, const py::array& out) {
  const auto& api = py::detail::npy_api::get();
  const auto check_layout = [](const py::array& array, const std::string& what) {
    const int flags = array.flags();
    if ((flags & py::array::c_style) == 0 ||
        (flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_) == 0) {
      throw py::value_error(what + " must be C-contiguous and aligned");
    }
  };
  check_layout(source, "source");
  check_layout(out, "out");
  if (source.ndim() < 1) throw py::value_error("source must have rows, got a scalar");
  if (source.dtype().attr("hasobject").cast<bool>()) {
    throw py::type_error("source holds Python objects");
  }
  const std::int64_t count = indices.ndim() == 1 ? indices.shape(0) : -1;
  const auto* rows = static_cast<const std::int64_t*>(
      checked_data(indices, DType::int64, {count < 0 ? 0 : count}, false, "indices"));
  if (!api.PyArray_EquivTypes_(source.dtype().ptr(), out.dtype().ptr())) {
    throw py::value_error("out must be " + std::string(py::str(source.dtype())) + ", got " +
                          std::string(py::str(out.dtype())));
  }
  bool same_shape = out.ndim() == source.ndim() && out.shape(0) == count;
  for (py::ssize_t d = 1; same_shape && d < out.ndim(); ++d) {
    same_shape = out.shape(d) == source.shape(d);
  }
  if (!same_shape) {
    throw py::value_error("out must hold " + std::to_string(count) + " rows of a source of shape " +
                          std::string(py::str(source.attr("shape"))) + ", got shape " +
                          std::string(py::str(out.attr("shape"))));
  }
  if (!out.writeable()) throw py::value_error("out is read-only");
  const std::int64_t extent = source.shape(0);
  for (std::int64_t j = 0; j < count; ++j) {
    if (rows[j] < 0 || rows[j] >= extent) {
      throw py::index_error("index " + std::to_string(rows[j]) + " is out of range for " +
                            std::to_string(extent) + " rows");
    }
  }
  if (out.size() == 0) return;
  const std::int64_t row_bytes = source.nbytes() / extent;
  void* data = const_cast<void*>(out.data());
  const char missing = 0;
  const py::gil_scoped_release release;
  indexing_kernels().gather({1, extent, row_bytes, count}, source.data(), {rows, 8}, &missing, 1,
                            data);
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "kcore's native core: storage, programs, threads and instruction sets.";
  py::register_exception<InvalidProgram>(module, "InvalidProgram", PyExc_ValueError);

  py::class_<Storage, std::shared_ptr<Storage>>(module, "Storage")
      .def(py::init(&make_storage), py::arg("dtype"), py::arg("shape"))
      .def_property_readonly("dtype", [](const Storage& s) { return dtype_name(s.dtype()); })
      .def_property_readonly("shape",
                             [](const Storage& s) { return py::tuple(py::cast(s.shape())); })
      .def("read", &read_storage, "A copy of the content.")
      .def("write", &write_storage, py::arg("value"), "Replaces the content.");

  py::class_<Executable>(module, "Program")
      .def(py::init(&make_executable), py::arg("buffers"), py::arg("instructions"),
           py::arg("inputs"), py::arg("outputs"), py::arg("arena_bytes"), py::arg("commit"))
      .def("run", &run, py::arg("inputs"), py::arg("seed") = 0, py::arg("step") = 0,
           py::arg("profile") = py::none(), "Runs once; returns a list of new arrays.")
      .def_property_readonly("flops", [](const Executable& self) {
        py::list flops;
        for (std::size_t i = 0; i < self.program->instruction_count(); ++i) {
          flops.append(self.program->flops(i));
        }
        return flops;
      });

  module.def("isa", [] { return isa_name(active_isa()); });
  module.def("supported_isas", [] {
    std::vector<std::string> names;
    for (const Isa isa : supported_isas()) names.emplace_back(isa_name(isa));
    return names;
  });
  module.def("num_threads", &num_threads);
  module.def("set_num_threads", &set_num_threads, py::arg("n"));
  module.def("has_openmp", &has_openmp);
  module.def("instruction_names", &instruction_names);
  module.def("elementwise_opcodes", &elementwise_opcodes, "Name and number of arguments of each.");
  module.def("gather_rows", &gather_rows, py::arg("source"), py::arg("indices"), py::arg("out"),
             "Copies source[indices] into out; IndexError if an index is out of range.");
  active_isa();  // an impossible KCORE_ISA is an error of the import
}

}  // namespace kcore
