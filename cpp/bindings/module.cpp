// The extension module: checks what Python passes, then calls. No logic lives here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "bindings/arrays.h"
#include "bindings/run.h"
#include "kernels/indexing.h"
#include "program/batches.h"
#include "program/elementwise_chain.h"
#include "program/program.h"
#include "simd/isa.h"
#include "simd/parallel.h"

namespace kcore {
namespace {

std::shared_ptr<Storage> make_storage(const std::string& dtype, const Shape& shape) {
  return std::make_shared<Storage>(dtype_from_name(dtype), shape);
}

py::array read_storage(const Storage& storage) {
  py::array array = new_array(storage.dtype(), storage.shape());
  PythonCaller caller;
  storage.read(array.mutable_data(), &caller);
  return array;
}

Storage::Write checked_write(Storage& storage, py::handle value) {
  return {&storage, checked_data(value, storage.dtype(), storage.shape(), false, "value")};
}

void write(const std::vector<Storage::Write>& writes) {
  PythonCaller caller;
  Storage::write(writes, &caller);
}

void write_storage(Storage& storage, py::handle value) { write({checked_write(storage, value)}); }

void write_storages(const std::vector<std::shared_ptr<Storage>>& storages,
                    const std::vector<py::object>& values) {
  if (storages.size() != values.size()) {
    throw py::value_error("there are " + std::to_string(storages.size()) + " storages and " +
                          std::to_string(values.size()) + " values");
  }
  std::vector<Storage::Write> writes;
  for (std::size_t i = 0; i < storages.size(); ++i) {
    if (storages[i] == nullptr) throw py::type_error("a storage is None");
    writes.push_back(checked_write(*storages[i], values[i]));
  }
  write(writes);
}

Buffer make_buffer(py::handle object) {
  const auto fields = py::cast<py::tuple>(object);
  if (fields.size() != 4) {
    throw py::value_error("a buffer is (residence, dtype, shape, offset or storage or base slot)");
  }
  Buffer buffer;
  const auto residence = py::cast<std::string>(fields[0]);
  buffer.dtype = dtype_from_name(py::cast<std::string>(fields[1]));
  buffer.shape = py::cast<Shape>(fields[2]);
  if (residence == "arena" || residence == "prepared") {
    buffer.residence = residence == "arena" ? Residence::arena : Residence::prepared;
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
                           std::int64_t arena_bytes, std::int64_t commit, std::int64_t prologue) {
  std::vector<Buffer> made_buffers;
  for (const py::handle buffer : buffers) made_buffers.push_back(make_buffer(buffer));
  std::vector<InstructionSpec> specs;
  for (const py::handle instruction : instructions) specs.push_back(make_spec(instruction));
  std::vector<int> external = inputs;
  external.insert(external.end(), outputs.begin(), outputs.end());
  return {std::make_shared<const Program>(std::move(made_buffers), specs, std::move(external),
                                          arena_bytes, commit, prologue),
          inputs.size()};
}

// A feed, with the arrays that it reads and those that a batch of it is seen through.
struct RowFeed {
  py::list sources;
  py::object order;
  std::unique_ptr<Feed> feed;
};

std::unique_ptr<RowFeed> make_feed(const py::list& sources, const std::optional<py::array>& order,
                                   std::int64_t batch_rows, std::int64_t batches) {
  std::vector<RowSource> rows;
  std::int64_t available = -1;
  for (const py::handle item : sources) {
    const auto array = py::cast<py::array>(item);
    check_layout(array, "a source");
    if (array.dtype().attr("hasobject").cast<bool>()) {
      throw py::type_error("a source holds Python objects");
    }
    const std::int64_t extent = array.ndim() > 0 ? array.shape(0) : 0;
    if (extent < 1 || (available >= 0 && extent != available)) {
      throw py::value_error("sources must have rows, and all the same number");
    }
    available = extent;
    rows.push_back({static_cast<const std::byte*>(array.data()), extent, array.nbytes() / extent});
  }
  const std::int64_t* indices = nullptr;
  if (order) {
    available = order->ndim() == 1 ? order->shape(0) : 0;
    indices = static_cast<const std::int64_t*>(
        checked_data(*order, DType::int64, {available}, false, "order"));
  }
  if (batch_rows < 1 || batches < 0 || batches > available / batch_rows) {
    throw py::value_error("there are not " + std::to_string(batches) + " batches of " +
                          std::to_string(batch_rows) + " rows");
  }
  auto feed = std::make_unique<Feed>(std::move(rows), indices, batch_rows, batches);
  return std::make_unique<RowFeed>(
      RowFeed{sources, order ? py::object(*order) : py::none(), std::move(feed)});
}

// The next batch as arrays.
py::list take_batch(const py::object& self) {
  auto& rows = py::cast<RowFeed&>(self);
  if (rows.feed->remaining() < 1) throw py::index_error("no batch is left");
  std::vector<void*> addresses(rows.sources.size());
  {
    const py::gil_scoped_release release;
    rows.feed->take(addresses.data());
  }
  py::list batch;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const auto source = py::reinterpret_borrow<py::array>(rows.sources[i]);
    std::vector<py::ssize_t> shape(source.shape(), source.shape() + source.ndim());
    shape[0] = static_cast<py::ssize_t>(rows.feed->batch_rows());
    batch.append(py::array(source.dtype(), shape, addresses[i], self));
  }
  return batch;
}

// The program's runs over the feed's next batches.
py::tuple run_program_batches(const Executable& self, RowFeed& rows, std::int64_t batches,
                              double seconds, std::uint64_t seed, std::uint64_t step,
                              const Storage* position) {
  const Program& program = *self.program;
  check_count(self, rows.sources.size());
  for (std::size_t i = 0; i < self.inputs; ++i) {
    const Buffer& buffer = self.external(i);
    const auto source = py::reinterpret_borrow<py::array>(rows.sources[i]);
    checked_data(source, buffer.dtype, buffer.shape, false, "source", static_cast<std::int64_t>(i),
                 source.shape(0));
    if (buffer.shape[0] != rows.feed->batch_rows()) {
      throw py::value_error("the feed's batches do not fit the program");
    }
  }
  if (position != nullptr && (position->dtype() != DType::int64 || position->bytes() != 8)) {
    throw py::value_error("position must hold one int64");
  }
  batches = std::clamp<std::int64_t>(batches, 0, rows.feed->remaining());
  BatchRun batch_run{program, *rows.feed, {}, seed, step, position};
  py::list outputs;
  for (std::size_t i = self.inputs; i < program.external().size(); ++i) {
    const Buffer& buffer = self.external(i);
    Shape shape = buffer.shape;
    shape.insert(shape.begin(), batches);
    py::array output = new_array(buffer.dtype, shape);
    batch_run.outputs.push_back(static_cast<std::byte*>(output.mutable_data()));
    outputs.append(std::move(output));
  }
  std::int64_t done = 0;
  {
    PythonCaller caller;
    caller.release_gil();
    done = run_batches(batch_run, batches, seconds, caller);
  }
  if (done < 0) throw py::error_already_set();
  return py::make_tuple(done, outputs);
}

// out[j] = source[indices[j]] for a batch: rows of any dtype that is plain bytes.
void gather_rows(const py::array& source, const py::array& indices, const py::array& out) {
  const auto& api = py::detail::npy_api::get();
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

py::dict memory_of(const Executable& executable) {
  const ProgramMemory memory = executable.program->memory();
  py::dict bytes;
  bytes["arena"] = memory.arena;
  bytes["workspace"] = memory.workspace;
  bytes["prepared"] = memory.prepared;
  bytes["scratch"] = memory.scratch.total(num_threads());
  return bytes;
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

  py::class_<Executable> program(module, "Program", py::is_final());
  add_run(program);
  program
      .def(py::init(&make_executable), py::arg("buffers"), py::arg("instructions"),
           py::arg("inputs"), py::arg("outputs"), py::arg("arena_bytes"), py::arg("commit"),
           py::arg("prologue") = 0)
      .def("run_batches", &run_program_batches, py::arg("feed"), py::arg("batches"),
           py::arg("seconds"), py::arg("seed") = 0, py::arg("step") = 0,
           py::arg("position") = py::none(),
           "Runs on up to `batches` of the feed's batches until `seconds` have passed; returns how "
           "many are done, and arrays with room for the results of all of them.")
      .def_property_readonly("memory", &memory_of,
                             "Bytes of a run's arena and workspace, of what is prepared, and of "
                             "the threads' scratch, for as many threads as there are now.")
      .def_property_readonly("storages",
                             [](const Executable& self) { return self.program->all_storages(); })
      .def_property_readonly("flops", [](const Executable& self) {
        py::list flops;
        for (std::size_t i = 0; i < self.program->instruction_count(); ++i) {
          flops.append(self.program->flops(i));
        }
        return flops;
      });

  py::class_<RowFeed>(module, "Feed")
      .def(py::init(&make_feed), py::arg("sources"), py::arg("order"), py::arg("batch_rows"),
           py::arg("batches"))
      .def("take", &take_batch, "The next batch; its arrays stay until the call after the next.")
      .def_property_readonly("remaining",
                             [](const RowFeed& self) { return self.feed->remaining(); })
      .def_property_readonly(
          "bytes", [](const RowFeed& self) { return self.feed->bytes(); },
          "Of the memory that batches are gathered in.")
      .def("close", [](RowFeed& self) { self.feed->close(); });

  module.def("isa", [] { return isa_name(active_isa()); });
  module.def("supported_isas", [] {
    std::vector<std::string> names;
    for (const Isa isa : supported_isas()) names.emplace_back(isa_name(isa));
    return names;
  });
  module.def("num_threads", &num_threads);
  module.def("scratch_bytes", &scratch_bytes, "Of the kernels' scratch memory, in all threads.");
  module.def("set_num_threads", &set_num_threads, py::arg("n"));
  module.def("has_openmp", &has_openmp);
  module.def("instruction_names", &instruction_names);
  module.def("elementwise_opcodes", &elementwise_opcodes, "Name and number of arguments of each.");
  module.def("write_storages", &write_storages, py::arg("storages"), py::arg("values"),
             "Replaces the contents of several: no run sees some of them old and others new.");
  module.def("gather_rows", &gather_rows, py::arg("source"), py::arg("indices"), py::arg("out"),
             "Copies source[indices] into out; IndexError if an index is out of range.");
  active_isa();  // an impossible KCORE_ISA is an error of the import
}

}  // namespace kcore
