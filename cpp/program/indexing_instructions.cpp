// Instructions that choose by index. Indices are int32 or int64 and may be negative, counting from
// the end; where one is out of range all the same, a float reads NaN, an integer or boolean reads
// 0, and nothing is written or added.
//
//   gather            x, indices -> rows of x along `axis`
//   scatter_add       indices, updates -> zeros to which gather's rows are added back (`axis`)
//   scatter_update    x, indices, updates -> x with rows of axis 0 replaced; the last one wins
//   take_along_axis   x, indices of the same rank -> elements of x along `axis`
//   take_along_axis_gradient  indices, dy -> dx
//   one_hot           indices -> one more dimension at the end; `on` and `off`
#include <limits>

#include "kernels/indexing.h"
#include "kernels/movement.h"
#include "program/element.h"

namespace kcore {
namespace {

void check_counts(const Operands& inputs, const Operands& outputs, std::size_t in,
                  std::size_t out) {
  require(inputs.size() == in && outputs.size() == out,
          "takes " + std::to_string(in) + " inputs and has " + std::to_string(out) +
              " outputs, got " + std::to_string(inputs.size()) + " and " +
              std::to_string(outputs.size()));
}

void check_dtype(const char* what, const Operand& operand, DType wanted) {
  require(operand.dtype == wanted, std::string(what) + " must be " + dtype_name(wanted) + ", got " +
                                       dtype_name(operand.dtype));
}

void check_indices(const Operand& indices) {
  require(indices.dtype == DType::int32 || indices.dtype == DType::int64,
          std::string("indices must be int32 or int64, got ") + dtype_name(indices.dtype));
}

void check_shape(const char* what, const Shape& shape, const Shape& wanted) {
  require(shape == wanted, std::string(what) + " must be of shape " + to_string(wanted) + ", got " +
                               to_string(shape));
}

std::int64_t checked_axis(const Attributes& attributes, const Operand& x) {
  const std::int64_t axis = attributes.integer("axis", 0);
  require(axis >= 0 && axis < x.rank(),
          "axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(x.rank()));
  return axis;
}

// Which of the kernels for int32, int64, float32 and float64.
int numeric_kernel(const Operand& x) {
  require(x.dtype != DType::boolean && x.dtype != DType::uint8,
          std::string("cannot add ") + dtype_name(x.dtype));
  return static_cast<int>(x.dtype) - static_cast<int>(DType::int32);
}

Element missing_element(DType dtype, const Attributes& attributes) {
  const bool real = dtype == DType::float32 || dtype == DType::float64;
  const double otherwise = real ? std::numeric_limits<double>::quiet_NaN() : 0;
  return Element(dtype, attributes.real("missing", otherwise));
}

// `x.shape` with the extent of `axis` replaced by those of the indices.
Shape gathered_shape(const Operand& x, const Operand& indices, std::int64_t axis) {
  Shape shape(x.shape.begin(), x.shape.begin() + axis);
  shape.insert(shape.end(), indices.shape.begin(), indices.shape.end());
  shape.insert(shape.end(), x.shape.begin() + axis + 1, x.shape.end());
  return shape;
}

IndexedAxis indexed_axis(const Operand& x, std::int64_t axis, std::int64_t count) {
  IndexedAxis result{1, x.shape[axis], 1, count};
  for (std::int64_t d = 0; d < axis; ++d) result.outer *= x.shape[d];
  for (std::int64_t d = axis + 1; d < x.rank(); ++d) result.inner *= x.shape[d];
  return result;
}

Indices view(const Frame& frame, const Operand& indices) {
  return {frame.data<void>(indices), static_cast<std::int64_t>(dtype_bytes(indices.dtype))};
}

class Gather final : public Instruction {
 public:
  Gather(const Operand& x, const Operand& indices, const Operand& out, const IndexedAxis& axis,
         const Attributes& attributes, bool along_axis)
      : x_(x),
        indices_(indices),
        out_(out),
        axis_(axis),
        missing_(missing_element(x.dtype, attributes)),
        along_axis_(along_axis) {}

  void run(const Frame& frame) const override {
    const auto kernel =
        along_axis_ ? indexing_kernels().take_along_axis : indexing_kernels().gather;
    kernel(axis_, frame.data<void>(x_), view(frame, indices_), missing_.bytes,
           static_cast<std::int64_t>(dtype_bytes(x_.dtype)), frame.data<void>(out_));
  }

 private:
  Operand x_, indices_, out_;
  IndexedAxis axis_;
  Element missing_;
  bool along_axis_;
};

std::unique_ptr<Instruction> make_gather(const Operands& inputs, const Operands& outputs,
                                         const Attributes& attributes) {
  check_counts(inputs, outputs, 2, 1);
  const Operand &x = inputs[0], &indices = inputs[1], &out = outputs[0];
  check_indices(indices);
  check_dtype("output", out, x.dtype);
  const std::int64_t axis = checked_axis(attributes, x);
  check_shape("output", out.shape, gathered_shape(x, indices, axis));
  return std::make_unique<Gather>(x, indices, out, indexed_axis(x, axis, indices.size()),
                                  attributes, false);
}

// Both tensors' extents are those of the indices, but for the indexed axis of `x`.
IndexedAxis check_along_axis(const Operand& x, const Operand& indices, const Operand& chosen,
                             const char* chosen_name, std::int64_t axis) {
  check_indices(indices);
  check_dtype(chosen_name, chosen, x.dtype);
  Shape wanted = x.shape;
  if (indices.rank() == x.rank()) wanted[axis] = indices.shape[axis];
  check_shape("indices", indices.shape, wanted);
  check_shape(chosen_name, chosen.shape, wanted);
  return indexed_axis(x, axis, wanted[axis]);
}

std::unique_ptr<Instruction> make_take_along_axis(const Operands& inputs, const Operands& outputs,
                                                  const Attributes& attributes) {
  check_counts(inputs, outputs, 2, 1);
  const std::int64_t axis = checked_axis(attributes, inputs[0]);
  const IndexedAxis along = check_along_axis(inputs[0], inputs[1], outputs[0], "output", axis);
  return std::make_unique<Gather>(inputs[0], inputs[1], outputs[0], along, attributes, true);
}

class ScatterAdd final : public Instruction {
 public:
  ScatterAdd(const Operand& indices, const Operand& updates, const Operand& out,
             const IndexedAxis& axis)
      : indices_(indices), updates_(updates), out_(out), axis_(axis), kernel_(numeric_kernel(out)) {
    require(!__builtin_add_overflow(axis.extent, axis.count, &integers_) &&
                integers_ < (std::int64_t{1} << 59),
            "too many rows");
    ++integers_;
  }

  std::int64_t workspace_bytes() const override { return integers_ * 8; }

  void run(const Frame& frame) const override {
    indexing_kernels().scatter_add[kernel_](
        axis_, frame.data<void>(updates_), view(frame, indices_),
        reinterpret_cast<std::int64_t*>(frame.workspace), frame.data<void>(out_));
  }

  double flops() const override { return static_cast<double>(updates_.size()); }

 private:
  Operand indices_, updates_, out_;
  IndexedAxis axis_;
  int kernel_;
  std::int64_t integers_ = 0;
};

std::unique_ptr<Instruction> make_scatter_add(const Operands& inputs, const Operands& outputs,
                                              const Attributes& attributes) {
  check_counts(inputs, outputs, 2, 1);
  const Operand &indices = inputs[0], &updates = inputs[1], &out = outputs[0];
  check_indices(indices);
  check_dtype("output", out, updates.dtype);
  const std::int64_t axis = checked_axis(attributes, out);
  check_shape("updates", updates.shape, gathered_shape(out, indices, axis));
  return std::make_unique<ScatterAdd>(indices, updates, out,
                                      indexed_axis(out, axis, indices.size()));
}

class TakeAlongAxisGradient final : public Instruction {
 public:
  TakeAlongAxisGradient(const Operand& indices, const Operand& dy, const Operand& dx,
                        const IndexedAxis& axis)
      : indices_(indices), dy_(dy), dx_(dx), axis_(axis), kernel_(numeric_kernel(dx)) {}

  void run(const Frame& frame) const override {
    indexing_kernels().scatter_add_along_axis[kernel_](
        axis_, frame.data<void>(dy_), view(frame, indices_), frame.data<void>(dx_));
  }

  double flops() const override { return static_cast<double>(dy_.size()); }

 private:
  Operand indices_, dy_, dx_;
  IndexedAxis axis_;
  int kernel_;
};

std::unique_ptr<Instruction> make_take_along_axis_gradient(const Operands& inputs,
                                                           const Operands& outputs,
                                                           const Attributes& attributes) {
  check_counts(inputs, outputs, 2, 1);
  const std::int64_t axis = checked_axis(attributes, outputs[0]);
  const IndexedAxis along = check_along_axis(outputs[0], inputs[0], inputs[1], "dy", axis);
  return std::make_unique<TakeAlongAxisGradient>(inputs[0], inputs[1], outputs[0], along);
}

class ScatterUpdate final : public Instruction {
 public:
  ScatterUpdate(const Operand& x, const Operand& indices, const Operand& updates,
                const Operand& out)
      : x_(x), indices_(indices), updates_(updates), out_(out) {
    row_bytes_ = static_cast<std::int64_t>(dtype_bytes(x.dtype));
    for (std::int64_t d = 1; d < x.rank(); ++d) row_bytes_ *= x.shape[d];
  }

  void run(const Frame& frame) const override {
    const void* x = frame.data<void>(x_);
    if (x != frame.data<void>(out_)) {
      const std::int64_t bytes = x_.bytes();
      movement_kernels().concatenate(1, &x, &bytes, 1, frame.data<void>(out_));
    }
    indexing_kernels().scatter_rows(x_.shape[0], row_bytes_, indices_.size(),
                                    frame.data<void>(updates_), view(frame, indices_),
                                    frame.data<void>(out_));
  }

 private:
  Operand x_, indices_, updates_, out_;
  std::int64_t row_bytes_ = 0;
};

std::unique_ptr<Instruction> make_scatter_update(const Operands& inputs, const Operands& outputs,
                                                 const Attributes&) {
  check_counts(inputs, outputs, 3, 1);
  const Operand &x = inputs[0], &indices = inputs[1], &updates = inputs[2], &out = outputs[0];
  check_indices(indices);
  check_dtype("updates", updates, x.dtype);
  check_dtype("output", out, x.dtype);
  require(x.rank() > 0, "a scalar has no rows");
  check_shape("updates", updates.shape, gathered_shape(x, indices, 0));
  check_shape("output", out.shape, x.shape);
  return std::make_unique<ScatterUpdate>(x, indices, updates, out);
}

class OneHot final : public Instruction {
 public:
  OneHot(const Operand& indices, const Operand& out, double on, double off)
      : indices_(indices), out_(out), on_(out.dtype, on), off_(out.dtype, off) {}

  void run(const Frame& frame) const override {
    indexing_kernels().one_hot(indices_.size(), out_.shape.back(), view(frame, indices_), on_.bytes,
                               off_.bytes, static_cast<std::int64_t>(dtype_bytes(out_.dtype)),
                               frame.data<void>(out_));
  }

 private:
  Operand indices_, out_;
  Element on_, off_;
};

std::unique_ptr<Instruction> make_one_hot(const Operands& inputs, const Operands& outputs,
                                          const Attributes& attributes) {
  check_counts(inputs, outputs, 1, 1);
  const Operand &indices = inputs[0], &out = outputs[0];
  check_indices(indices);
  require(out.rank() > 0, "output must have a dimension of classes");
  Shape wanted = indices.shape;
  wanted.push_back(out.shape.back());
  check_shape("output", out.shape, wanted);
  return std::make_unique<OneHot>(indices, out, attributes.real("on", 1),
                                  attributes.real("off", 0));
}

const RegisterInstruction gather("gather", make_gather);
const RegisterInstruction scatter_add("scatter_add", make_scatter_add);
const RegisterInstruction scatter_update("scatter_update", make_scatter_update);
const RegisterInstruction take_along_axis("take_along_axis", make_take_along_axis);
const RegisterInstruction take_along_axis_gradient("take_along_axis_gradient",
                                                   make_take_along_axis_gradient);
const RegisterInstruction one_hot("one_hot", make_one_hot);

}  // namespace
}  // namespace kcore
