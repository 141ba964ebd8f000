// Instructions that move elements without computing.
//
//   reshape       the input's elements, in order
//   transpose     perm: output dimension d is input dimension perm[d]
//   slice         begin, strides (also negative); the output's shape says how many
//   slice_gradient  the same attributes: the input's elements back in their places, zero elsewhere
//   reverse       axes
//   broadcast_to  NumPy's rule
//   tile          repeats, one for each dimension
//   repeat        repeats, axis: each element (along the axis) so many times
//   pad           paddings (low, high for each dimension), value
//   concatenate   axis
#include "kernels/movement.h"
#include "program/element.h"
#include "program/instruction.h"

namespace kcore {
namespace {

void check_unary(const Operands& inputs, const Operands& outputs) {
  require(inputs.size() == 1 && outputs.size() == 1, "takes one input and has one output, got " +
                                                         std::to_string(inputs.size()) + " and " +
                                                         std::to_string(outputs.size()));
  require(inputs[0].dtype == outputs[0].dtype, std::string("output must be ") +
                                                   dtype_name(inputs[0].dtype) + ", got " +
                                                   dtype_name(outputs[0].dtype));
}

void check_shape(const Shape& shape, const Shape& wanted) {
  require(shape == wanted,
          "output must be of shape " + to_string(wanted) + ", got " + to_string(shape));
}

void check_length(const char* name, const std::vector<std::int64_t>& values, std::size_t length) {
  require(values.size() == length, std::string("attribute '") + name + "' must have " +
                                       std::to_string(length) + " elements, got " +
                                       std::to_string(values.size()));
}

void check_axis(std::int64_t axis, std::int64_t rank) {
  require(axis >= 0 && axis < rank,
          "axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(rank));
}

std::vector<std::int64_t> dense_strides(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= shape[d];
  }
  return strides;
}

// One loop of a copy.
struct Dimension {
  std::int64_t extent, in_stride, out_stride;
};

// The same copy in as few dimensions as possible.
StridedCopy make_copy(const std::vector<Dimension>& dimensions, DType dtype,
                      std::int64_t in_offset = 0, std::int64_t out_offset = 0) {
  std::vector<Dimension> merged;
  for (const Dimension& d : dimensions) {
    if (d.extent == 1) continue;
    if (!merged.empty() && merged.back().in_stride == d.in_stride * d.extent &&
        merged.back().out_stride == d.out_stride * d.extent) {
      merged.back() = {merged.back().extent * d.extent, d.in_stride, d.out_stride};
    } else {
      merged.push_back(d);
    }
  }
  require(merged.size() <= static_cast<std::size_t>(kMaxCopyRank), "too many dimensions");
  StridedCopy copy;
  copy.rank = static_cast<int>(merged.size());
  for (int d = 0; d < copy.rank; ++d) {
    copy.extents[d] = merged[d].extent;
    copy.in_strides[d] = merged[d].in_stride;
    copy.out_strides[d] = merged[d].out_stride;
  }
  copy.in_offset = in_offset;
  copy.out_offset = out_offset;
  copy.element_bytes = static_cast<std::int64_t>(dtype_bytes(dtype));
  return copy;
}

class Copy final : public Instruction {
 public:
  Copy(const Operand& in, const Operand& out, const StridedCopy& copy)
      : in_(in), out_(out), copy_(copy) {}

  void run(const Frame& frame) const override {
    movement_kernels().strided_copy(copy_, frame.data<void>(in_), frame.data<void>(out_));
  }

  ScratchNeed scratch() const override { return movement_kernels().strided_copy_scratch(copy_); }

 private:
  Operand in_, out_;
  StridedCopy copy_;
};

std::unique_ptr<Instruction> make_reshape(const Operands& inputs, const Operands& outputs,
                                          const Attributes&) {
  check_unary(inputs, outputs);
  require(inputs[0].size() == outputs[0].size(),
          "cannot reshape " + to_string(inputs[0].shape) + " to " + to_string(outputs[0].shape));
  return std::make_unique<Copy>(inputs[0], outputs[0],
                                make_copy({{inputs[0].size(), 1, 1}}, inputs[0].dtype));
}

std::unique_ptr<Instruction> make_transpose(const Operands& inputs, const Operands& outputs,
                                            const Attributes& attributes) {
  check_unary(inputs, outputs);
  const Operand &in = inputs[0], &out = outputs[0];
  const auto perm = attributes.integers("perm");
  check_length("perm", perm, in.shape.size());
  const auto in_strides = dense_strides(in.shape);
  std::vector<bool> seen(perm.size());
  Shape wanted;
  for (const std::int64_t axis : perm) {
    check_axis(axis, in.rank());
    require(!seen[axis], "perm " + to_string(perm) + " is not a permutation");
    seen[axis] = true;
    wanted.push_back(in.shape[axis]);
  }
  check_shape(out.shape, wanted);
  const auto out_strides = dense_strides(out.shape);
  std::vector<Dimension> dimensions;
  for (std::size_t d = 0; d < perm.size(); ++d) {
    dimensions.push_back({out.shape[d], in_strides[perm[d]], out_strides[d]});
  }
  return std::make_unique<Copy>(in, out, make_copy(dimensions, in.dtype));
}

// A view of `whole` with the extents of `part`, checked to lie within it.
struct Slice {
  std::vector<std::int64_t> begin, strides;
  bool unit_strides = true;
  std::int64_t offset = 0;
  std::vector<std::int64_t> element_strides;

  Slice(const Shape& whole, const Shape& part, const Attributes& attributes)
      : begin(attributes.integers("begin")), strides(attributes.integers("strides")) {
    require(part.size() == whole.size(),
            "cannot slice " + to_string(part) + " out of " + to_string(whole));
    check_length("begin", begin, whole.size());
    check_length("strides", strides, whole.size());
    const auto dense = dense_strides(whole);
    for (std::size_t d = 0; d < whole.size(); ++d) {
      require(strides[d] != 0, "a stride must not be zero");
      unit_strides = unit_strides && strides[d] == 1;
      std::int64_t last = 0, reach = 0;
      const bool inside =
          part[d] == 0 ||
          (begin[d] >= 0 && begin[d] < whole[d] &&
           !__builtin_mul_overflow(part[d] - 1, strides[d], &reach) &&
           !__builtin_add_overflow(begin[d], reach, &last) && last >= 0 && last < whole[d]);
      require(inside, "the slice from " + std::to_string(begin[d]) + " of " +
                          std::to_string(part[d]) + " elements with stride " +
                          std::to_string(strides[d]) + " leaves dimension " + std::to_string(d) +
                          " of " + to_string(whole));
      // The stride of a single step is never taken, and may be anything.
      element_strides.push_back(part[d] > 1 ? strides[d] * dense[d] : 0);
      offset += part[d] > 0 ? begin[d] * dense[d] : 0;
    }
  }
};

std::unique_ptr<Instruction> make_slice(const Operands& inputs, const Operands& outputs,
                                        const Attributes& attributes) {
  check_unary(inputs, outputs);
  const Operand &in = inputs[0], &out = outputs[0];
  const Slice slice(in.shape, out.shape, attributes);
  const auto out_strides = dense_strides(out.shape);
  std::vector<Dimension> dimensions;
  for (std::size_t d = 0; d < out.shape.size(); ++d) {
    dimensions.push_back({out.shape[d], slice.element_strides[d], out_strides[d]});
  }
  return std::make_unique<Copy>(in, out, make_copy(dimensions, in.dtype, slice.offset));
}

class Pad final : public Instruction {
 public:
  // `low`: where in the output the input begins; it must fit.
  Pad(const Operand& in, const Operand& out, const std::vector<std::int64_t>& low, double value)
      : in_(in), out_(out), value_(in.dtype, value) {
    // Unpadded inner dimensions make the elements of the padded one before them wider.
    std::vector<std::int64_t> ins, outs, lows;
    for (std::size_t d = 0; d < in.shape.size(); ++d) {
      if (!ins.empty() && in.shape[d] == out.shape[d]) {
        ins.back() *= in.shape[d];
        outs.back() *= in.shape[d];
        lows.back() *= in.shape[d];
      } else {
        ins.push_back(in.shape[d]);
        outs.push_back(out.shape[d]);
        lows.push_back(low[d]);
      }
    }
    if (ins.empty()) ins = {1}, outs = {1}, lows = {0};
    require(ins.size() <= static_cast<std::size_t>(kMaxCopyRank), "too many dimensions");
    padding_.rank = static_cast<int>(ins.size());
    for (std::size_t d = 0; d < ins.size(); ++d) {
      padding_.in_extents[d] = ins[d];
      padding_.out_extents[d] = outs[d];
      padding_.low[d] = lows[d];
    }
    padding_.element_bytes = static_cast<std::int64_t>(dtype_bytes(in.dtype));
  }

  void run(const Frame& frame) const override {
    movement_kernels().pad(padding_, frame.data<void>(in_), value_.bytes, frame.data<void>(out_));
  }

 private:
  Operand in_, out_;
  Padding padding_;
  Element value_;
};

std::unique_ptr<Instruction> make_pad(const Operands& inputs, const Operands& outputs,
                                      const Attributes& attributes) {
  check_unary(inputs, outputs);
  const Operand &in = inputs[0], &out = outputs[0];
  const auto paddings = attributes.integers("paddings");
  check_length("paddings", paddings, 2 * in.shape.size());
  Shape wanted;
  std::vector<std::int64_t> low;
  for (std::size_t d = 0; d < in.shape.size(); ++d) {
    std::int64_t extent = 0;
    require(paddings[2 * d] >= 0 && paddings[2 * d + 1] >= 0, "a padding must not be negative");
    require(!__builtin_add_overflow(in.shape[d], paddings[2 * d], &extent) &&
                !__builtin_add_overflow(extent, paddings[2 * d + 1], &extent),
            "the paddings are too large");
    low.push_back(paddings[2 * d]);
    wanted.push_back(extent);
  }
  check_shape(out.shape, wanted);
  return std::make_unique<Pad>(in, out, low, attributes.real("value", 0));
}

class ScatterSlice final : public Instruction {
 public:
  ScatterSlice(const Operand& in, const Operand& out, const StridedCopy& fill,
               const StridedCopy& copy)
      : in_(in), out_(out), fill_(fill), copy_(copy) {}

  void run(const Frame& frame) const override {
    const std::uint64_t zero = 0;
    movement_kernels().strided_copy(fill_, &zero, frame.data<void>(out_));
    movement_kernels().strided_copy(copy_, frame.data<void>(in_), frame.data<void>(out_));
  }

  ScratchNeed scratch() const override { return movement_kernels().strided_copy_scratch(copy_); }

 private:
  Operand in_, out_;
  StridedCopy fill_, copy_;
};

std::unique_ptr<Instruction> make_slice_gradient(const Operands& inputs, const Operands& outputs,
                                                 const Attributes& attributes) {
  check_unary(inputs, outputs);
  const Operand &in = inputs[0], &out = outputs[0];
  const Slice slice(out.shape, in.shape, attributes);
  if (slice.unit_strides && in.size() > 0) {
    return std::make_unique<Pad>(in, out, slice.begin, 0.0);
  }
  const auto in_strides = dense_strides(in.shape);
  std::vector<Dimension> dimensions;
  for (std::size_t d = 0; d < in.shape.size(); ++d) {
    dimensions.push_back({in.shape[d], in_strides[d], slice.element_strides[d]});
  }
  return std::make_unique<ScatterSlice>(in, out, make_copy({{out.size(), 0, 1}}, in.dtype),
                                        make_copy(dimensions, in.dtype, 0, slice.offset));
}

std::unique_ptr<Instruction> make_reverse(const Operands& inputs, const Operands& outputs,
                                          const Attributes& attributes) {
  check_unary(inputs, outputs);
  const Operand &in = inputs[0], &out = outputs[0];
  check_shape(out.shape, in.shape);
  const auto strides = dense_strides(in.shape);
  std::vector<Dimension> dimensions;
  for (std::size_t d = 0; d < in.shape.size(); ++d) {
    dimensions.push_back({in.shape[d], strides[d], strides[d]});
  }
  std::int64_t offset = 0;
  for (const std::int64_t axis : attributes.integers("axes")) {
    check_axis(axis, in.rank());
    require(dimensions[axis].in_stride >= 0, "axis " + std::to_string(axis) + " is given twice");
    dimensions[axis].in_stride = -strides[axis];
    if (in.size() > 0) offset += (in.shape[axis] - 1) * strides[axis];
  }
  return std::make_unique<Copy>(in, out, make_copy(dimensions, in.dtype, offset));
}

std::unique_ptr<Instruction> make_broadcast_to(const Operands& inputs, const Operands& outputs,
                                               const Attributes&) {
  check_unary(inputs, outputs);
  const Operand &in = inputs[0], &out = outputs[0];
  const auto in_strides = dense_strides(in.shape), out_strides = dense_strides(out.shape);
  bool fits = in.rank() <= out.rank();
  std::vector<Dimension> dimensions;
  for (std::size_t d = 0; fits && d < out.shape.size(); ++d) {
    const std::size_t missing = out.shape.size() - in.shape.size();
    const std::int64_t extent = d < missing ? 1 : in.shape[d - missing];
    fits = extent == 1 || extent == out.shape[d];
    dimensions.push_back({out.shape[d], extent == 1 ? 0 : in_strides[d - missing], out_strides[d]});
  }
  require(fits, "cannot broadcast " + to_string(in.shape) + " to " + to_string(out.shape));
  return std::make_unique<Copy>(in, out, make_copy(dimensions, in.dtype));
}

std::int64_t checked_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  require(b >= 0 && !__builtin_mul_overflow(a, b, &product),
          "cannot repeat " + std::to_string(b) + " times");
  return product;
}

std::unique_ptr<Instruction> make_tile(const Operands& inputs, const Operands& outputs,
                                       const Attributes& attributes) {
  check_unary(inputs, outputs);
  const Operand &in = inputs[0], &out = outputs[0];
  const auto repeats = attributes.integers("repeats");
  check_length("repeats", repeats, in.shape.size());
  Shape wanted;
  for (std::size_t d = 0; d < repeats.size(); ++d) {
    wanted.push_back(checked_product(in.shape[d], repeats[d]));
  }
  check_shape(out.shape, wanted);
  const auto in_strides = dense_strides(in.shape), out_strides = dense_strides(out.shape);
  std::vector<Dimension> dimensions;
  for (std::size_t d = 0; d < repeats.size(); ++d) {
    dimensions.push_back({repeats[d], 0, in.shape[d] * out_strides[d]});
    dimensions.push_back({in.shape[d], in_strides[d], out_strides[d]});
  }
  return std::make_unique<Copy>(in, out, make_copy(dimensions, in.dtype));
}

std::unique_ptr<Instruction> make_repeat(const Operands& inputs, const Operands& outputs,
                                         const Attributes& attributes) {
  check_unary(inputs, outputs);
  const Operand &in = inputs[0], &out = outputs[0];
  const std::int64_t axis = attributes.integer("axis"), repeats = attributes.integer("repeats");
  check_axis(axis, in.rank());
  Shape wanted = in.shape;
  wanted[axis] = checked_product(in.shape[axis], repeats);
  check_shape(out.shape, wanted);
  const auto in_strides = dense_strides(in.shape), out_strides = dense_strides(out.shape);
  std::vector<Dimension> dimensions;
  for (std::int64_t d = 0; d < in.rank(); ++d) {
    const bool repeated = d == axis;
    dimensions.push_back({in.shape[d], in_strides[d], (repeated ? repeats : 1) * out_strides[d]});
    if (repeated) dimensions.push_back({repeats, 0, out_strides[d]});
  }
  return std::make_unique<Copy>(in, out, make_copy(dimensions, in.dtype));
}

class Concatenate final : public Instruction {
 public:
  Concatenate(const Operands& inputs, const Operand& out, std::int64_t axis)
      : inputs_(inputs), out_(out) {
    for (std::int64_t d = 0; d < axis; ++d) rows_ *= out.shape[d];
    for (const Operand& in : inputs) {
      std::int64_t width = static_cast<std::int64_t>(dtype_bytes(in.dtype));
      for (std::int64_t d = axis; d < in.rank(); ++d) width *= in.shape[d];
      widths_.push_back(width);
    }
  }

  std::int64_t workspace_bytes() const override {
    return static_cast<std::int64_t>(inputs_.size() * sizeof(void*));
  }

  void run(const Frame& frame) const override {
    auto** data = reinterpret_cast<const void**>(frame.workspace);
    for (std::size_t i = 0; i < inputs_.size(); ++i) data[i] = frame.data<void>(inputs_[i]);
    movement_kernels().concatenate(static_cast<std::int64_t>(inputs_.size()), data, widths_.data(),
                                   rows_, frame.data<void>(out_));
  }

 private:
  Operands inputs_;
  Operand out_;
  std::int64_t rows_ = 1;
  std::vector<std::int64_t> widths_;
};

std::unique_ptr<Instruction> make_concatenate(const Operands& inputs, const Operands& outputs,
                                              const Attributes& attributes) {
  require(!inputs.empty() && outputs.size() == 1, "takes at least one input and has one output");
  const Operand& out = outputs[0];
  const std::int64_t axis = attributes.integer("axis");
  check_axis(axis, out.rank());
  std::int64_t extent = 0;
  for (const Operand& in : inputs) {
    Shape fitting = out.shape;
    if (in.rank() == out.rank()) fitting[axis] = in.shape[axis];
    require(in.dtype == out.dtype && in.shape == fitting,
            std::string("cannot concatenate ") + dtype_name(in.dtype) + " " + to_string(in.shape) +
                " into " + dtype_name(out.dtype) + " " + to_string(out.shape) + " on axis " +
                std::to_string(axis));
    extent += in.shape[axis];
  }
  Shape wanted = out.shape;
  wanted[axis] = extent;
  check_shape(out.shape, wanted);
  return std::make_unique<Concatenate>(inputs, out, axis);
}

const RegisterInstruction reshape("reshape", make_reshape);
const RegisterInstruction transpose("transpose", make_transpose);
const RegisterInstruction slice("slice", make_slice);
const RegisterInstruction slice_gradient("slice_gradient", make_slice_gradient);
const RegisterInstruction reverse("reverse", make_reverse);
const RegisterInstruction broadcast_to("broadcast_to", make_broadcast_to);
const RegisterInstruction tile("tile", make_tile);
const RegisterInstruction repeat("repeat", make_repeat);
const RegisterInstruction pad("pad", make_pad);
const RegisterInstruction concatenate("concatenate", make_concatenate);

}  // namespace
}  // namespace kcore
