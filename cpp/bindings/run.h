// Programs as Python runs them.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>

#include "program/program.h"

namespace kcore {

namespace py = pybind11;

// A program with its external slots told apart: inputs, which the caller passes, then outputs,
// which are allocated for it.
struct Executable {
  std::shared_ptr<const Program> program;
  std::size_t inputs;

  const Buffer& external(std::size_t i) const { return program->buffers()[program->external()[i]]; }
};

// Throws unless there is an item for each input.
void check_count(const Executable& self, std::size_t given);

// A thread that runs something with the GIL, until it waits or lets go of it.
class PythonCaller final : public Caller {
 public:
  // Whether a signal (Ctrl-C) has raised a Python exception; the exception stays set.
  bool interrupted() override;
  // The run that it waits for may need the GIL to end.
  void before_waiting() override { release_gil(); }
  void release_gil() {
    if (!released_) released_.emplace();
  }

 private:
  std::optional<py::gil_scoped_release> released_;
};

// Adds `run` and `takes` to the class of Executable, as methods that Python calls without
// pybind11's matching of arguments: that takes as long as a small product.
void add_run(py::handle program_class);

}  // namespace kcore
