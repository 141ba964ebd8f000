// reduce: attribute `kind` (sum, mean, sum_of_squares, prod, max, min, any, all) over `axes`;
//   the output's shape is without these axes, or has 1 in their places.
// argmax, argmin: over `axis`, to int32 or int64. cumsum, cumprod: along `axis`; `reverse`,
// `exclusive`.
#include <algorithm>
#include <limits>

#include "kernels/reduce.h"
#include "program/instruction.h"

namespace kcore {
namespace {

static_assert(static_cast<int>(ElementType::float64) == static_cast<int>(DType::float64),
              "ElementType and DType must agree");

ElementType element_type(const Operand& operand) { return static_cast<ElementType>(operand.dtype); }

bool is_float(const Operand& operand) {
  return operand.dtype == DType::float32 || operand.dtype == DType::float64;
}

std::size_t checked_axis(std::int64_t axis, const Operand& input) {
  require(axis >= -input.rank() && axis < input.rank(),
          "axis " + std::to_string(axis) + " of an input of shape " + to_string(input.shape));
  return static_cast<std::size_t>(axis < 0 ? axis + input.rank() : axis);
}

void require_reduced_shape(const Operand& input, const std::vector<bool>& reduced,
                           const Operand& output) {
  Shape dropped, kept;
  for (std::size_t d = 0; d < input.shape.size(); ++d) {
    kept.push_back(reduced[d] ? 1 : input.shape[d]);
    if (!reduced[d]) dropped.push_back(input.shape[d]);
  }
  require(output.shape == dropped || output.shape == kept,
          "the output must be of shape " + to_string(dropped) + " or " + to_string(kept) +
              ", got " + to_string(output.shape));
}

// The extents before, at and after an axis.
Extents around(const Shape& shape, std::size_t axis) {
  Extents e{1, shape[axis], 1};
  for (std::size_t d = 0; d < axis; ++d) e.outer *= shape[d];
  for (std::size_t d = axis + 1; d < shape.size(); ++d) e.inner *= shape[d];
  return e;
}

class Reduce final : public Instruction {
 public:
  Reduce(const Operand& input, const Operand& output, const Attributes& attributes)
      : input_(input), output_(output) {
    const std::string kind = attributes.text("kind");
    std::vector<bool> reduced(input.shape.size(), false);
    for (const std::int64_t axis : attributes.integers("axes")) {
      const std::size_t d = checked_axis(axis, input);
      require(!reduced[d], "axis " + std::to_string(axis) + " comes twice");
      reduced[d] = true;
    }
    require_reduced_shape(input, reduced, output);
    require(input.dtype == output.dtype, std::string("input is ") + dtype_name(input.dtype) +
                                             ", output is " + dtype_name(output.dtype));
    set_kind(kind);
    std::int64_t count = 1;
    for (std::size_t d = 0; d < reduced.size(); ++d) count *= reduced[d] ? input.shape[d] : 1;
    const bool extremum = kind == "max" || kind == "min";
    require(count > 0 || output.size() == 0 || !extremum,
            kind + " of no elements: input of shape " + to_string(input.shape));
    if (kind == "mean") {
      divisor_ = count > 0 ? static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
    }
    plan(reduced, count);
  }

  void run(const Frame& frame) const override {
    const void* x = frame.data<void>(input_);
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      const bool last = s + 1 == stages_.size();
      void* y = last ? frame.data<void>(output_)
                     : static_cast<void*>(frame.workspace + stages_[s].offset);
      const Reduction kind = s > 0 && kind_ == Reduction::sum_of_squares ? Reduction::sum : kind_;
      reduce_kernels().reduce(kind, element_type(input_), x, y, stages_[s].extents,
                              last ? divisor_ : 0.0, frame.workspace);
      x = y;
    }
  }

  std::int64_t workspace_bytes() const override { return workspace_bytes_; }
  double flops() const override { return static_cast<double>(input_.size()); }

 private:
  struct Stage {
    Extents extents;
    std::int64_t offset = 0;  // of its result in the workspace
  };

  void set_kind(const std::string& kind) {
    const bool boolean = input_.dtype == DType::boolean;
    if (kind == "sum" || kind == "mean") {
      kind_ = Reduction::sum;
    } else if (kind == "sum_of_squares") {
      kind_ = Reduction::sum_of_squares;
    } else if (kind == "prod") {
      kind_ = Reduction::prod;
    } else if (kind == "max" || kind == "any") {
      kind_ = Reduction::max;
    } else if (kind == "min" || kind == "all") {
      kind_ = Reduction::min;
    } else {
      throw InvalidProgram("unknown kind '" + kind + "'");
    }
    const bool logical = kind == "any" || kind == "all";
    const bool extremum = kind == "max" || kind == "min";
    require(extremum || boolean == logical, kind + " of " + dtype_name(input_.dtype));
    require(kind != "mean" || is_float(input_),
            std::string("mean of ") + dtype_name(input_.dtype) + ": only of floats");
  }

  // One stage for each run of neighbouring reduced axes, the innermost first.
  void plan(const std::vector<bool>& reduced, std::int64_t count) {
    if (count == 0) {
      stages_.push_back({{output_.size(), 0, 1}, 0});
      return;
    }
    Shape extents;
    std::vector<bool> flags;
    for (std::size_t d = 0; d < reduced.size(); ++d) {
      if (input_.shape[d] == 1) continue;
      if (!flags.empty() && flags.back() == reduced[d]) {
        extents.back() *= input_.shape[d];
      } else {
        extents.push_back(input_.shape[d]);
        flags.push_back(reduced[d]);
      }
    }
    for (std::size_t d = extents.size(); d-- > 0;) {
      if (!flags[d]) continue;
      stages_.push_back({around(extents, d), 0});
      extents[d] = 1;
    }
    if (stages_.empty()) stages_.push_back({{input_.size(), 1, 1}, 0});
    for (const Stage& stage : stages_) {
      workspace_bytes_ = std::max(
          workspace_bytes_, reduce_kernels().reduce_workspace(element_type(input_), stage.extents));
    }
    for (std::size_t s = 0; s + 1 < stages_.size(); ++s) {
      stages_[s].offset = (workspace_bytes_ + 63) / 64 * 64;
      const Extents& e = stages_[s].extents;
      workspace_bytes_ = stages_[s].offset +
                         e.outer * e.inner * static_cast<std::int64_t>(dtype_bytes(input_.dtype));
    }
  }

  Operand input_, output_;
  Reduction kind_ = Reduction::sum;
  double divisor_ = 0;
  std::vector<Stage> stages_;
  std::int64_t workspace_bytes_ = 0;
};

class ArgReduce final : public Instruction {
 public:
  ArgReduce(bool largest, const Operand& input, const Operand& output, std::int64_t axis)
      : largest_(largest), input_(input), output_(output) {
    const std::size_t d = checked_axis(axis, input);
    std::vector<bool> reduced(input.shape.size(), false);
    reduced[d] = true;
    require_reduced_shape(input, reduced, output);
    require(output.dtype == DType::int32 || output.dtype == DType::int64,
            std::string("the output must be int32 or int64, got ") + dtype_name(output.dtype));
    extents_ = around(input.shape, d);
    require(extents_.count > 0 || output.size() == 0,
            "no element along axis " + std::to_string(axis) + " of " + to_string(input.shape));
    require(
        output.dtype == DType::int64 || extents_.count <= std::numeric_limits<std::int32_t>::max(),
        "an int32 output cannot hold the index");
  }

  void run(const Frame& frame) const override {
    reduce_kernels().arg_reduce(largest_, element_type(input_), frame.data<void>(input_),
                                frame.data<void>(output_), output_.dtype == DType::int64, extents_);
  }

 private:
  bool largest_;
  Operand input_, output_;
  Extents extents_;
};

class Cumulate final : public Instruction {
 public:
  Cumulate(Cumulation how, const Operand& input, const Operand& output, std::int64_t axis)
      : how_(how), input_(input), output_(output) {
    extents_ = around(input.shape, checked_axis(axis, input));
    require(
        input.dtype == output.dtype && input.shape == output.shape && input.dtype != DType::boolean,
        std::string("input is ") + dtype_name(input.dtype) + " " + to_string(input.shape) +
            ", output is " + dtype_name(output.dtype) + " " + to_string(output.shape));
  }

  void run(const Frame& frame) const override {
    reduce_kernels().cumulate(how_, element_type(input_), frame.data<void>(input_),
                              frame.data<void>(output_), extents_);
  }

 private:
  Cumulation how_;
  Operand input_, output_;
  Extents extents_;
};

void require_one_to_one(const Operands& inputs, const Operands& outputs) {
  require(inputs.size() == 1 && outputs.size() == 1, "takes one input and has one output");
}

std::unique_ptr<Instruction> make_reduce(const Operands& inputs, const Operands& outputs,
                                         const Attributes& attributes) {
  require_one_to_one(inputs, outputs);
  return std::make_unique<Reduce>(inputs[0], outputs[0], attributes);
}

template <bool largest>
std::unique_ptr<Instruction> make_arg_reduce(const Operands& inputs, const Operands& outputs,
                                             const Attributes& attributes) {
  require_one_to_one(inputs, outputs);
  return std::make_unique<ArgReduce>(largest, inputs[0], outputs[0], attributes.integer("axis"));
}

template <bool product>
std::unique_ptr<Instruction> make_cumulate(const Operands& inputs, const Operands& outputs,
                                           const Attributes& attributes) {
  require_one_to_one(inputs, outputs);
  const Cumulation how{product, attributes.flag("reverse"), attributes.flag("exclusive")};
  return std::make_unique<Cumulate>(how, inputs[0], outputs[0], attributes.integer("axis"));
}

const RegisterInstruction reduce("reduce", make_reduce);
const RegisterInstruction argmax("argmax", make_arg_reduce<true>);
const RegisterInstruction argmin("argmin", make_arg_reduce<false>);
const RegisterInstruction cumsum("cumsum", make_cumulate<false>);
const RegisterInstruction cumprod("cumprod", make_cumulate<true>);

}  // namespace
}  // namespace kcore
