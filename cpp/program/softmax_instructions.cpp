// softmax, log_softmax: x -> y, over the last axis. softmax_gradient, log_softmax_gradient:
// (y, dy) -> dx. softmax_cross_entropy: (logits, labels) -> (losses, log_sums), labels dense or
// class indices. softmax_cross_entropy_gradient: (logits, labels, log_sums, dlosses) -> dlogits.
#include "kernels/softmax.h"
#include "program/instruction.h"

namespace kcore {
namespace {

static_assert(static_cast<int>(ElementType::float64) == static_cast<int>(DType::float64),
              "ElementType and DType must agree");

struct Rows {
  std::int64_t rows, columns;
};

Rows rows_of(const Operand& x) {
  require(x.dtype == DType::float32 || x.dtype == DType::float64,
          std::string("must be of floats, got ") + dtype_name(x.dtype));
  require(x.rank() >= 1, "needs an axis, got a scalar");
  std::int64_t rows = 1;
  for (std::int64_t d = 0; d + 1 < x.rank(); ++d) rows *= x.shape[static_cast<std::size_t>(d)];
  return {rows, x.shape.back()};
}

void require_like(const Operand& x, const Operand& other, const char* what) {
  require(other.dtype == x.dtype && other.shape == x.shape,
          std::string(what) + " must be " + dtype_name(x.dtype) + " " + to_string(x.shape) +
              ", got " + dtype_name(other.dtype) + " " + to_string(other.shape));
}

// Of a row's value: the shape without the last axis.
Operand per_row(const Operand& x) {
  Operand result = x;
  result.shape.pop_back();
  return result;
}

void require_labels(const Operand& logits, const Operand& labels) {
  if (labels.dtype == DType::int32 || labels.dtype == DType::int64) {
    require(labels.shape == per_row(logits).shape, "class indices must be of shape " +
                                                       to_string(per_row(logits).shape) + ", got " +
                                                       to_string(labels.shape));
  } else {
    require_like(logits, labels, "labels");
  }
}

Labels labels_of(const Frame& frame, const Operand& labels) {
  return {frame.data<void>(labels), static_cast<ElementType>(labels.dtype)};
}

using Map = void (*)(ElementType, const void*, void*, std::int64_t, std::int64_t);
using Gradient = void (*)(ElementType, const void*, const void*, void*, std::int64_t, std::int64_t);

class RowMap final : public Instruction {
 public:
  RowMap(Map map, const Operand& x, const Operand& y) : map_(map), x_(x), y_(y), rows_(rows_of(x)) {
    require_like(x, y, "output");
  }
  void run(const Frame& frame) const override {
    map_(static_cast<ElementType>(x_.dtype), frame.data<void>(x_), frame.data<void>(y_), rows_.rows,
         rows_.columns);
  }
  double flops() const override { return 4.0 * static_cast<double>(x_.size()); }

 private:
  Map map_;
  Operand x_, y_;
  Rows rows_;
};

class RowGradient final : public Instruction {
 public:
  RowGradient(Gradient gradient, const Operand& y, const Operand& dy, const Operand& dx)
      : gradient_(gradient), y_(y), dy_(dy), dx_(dx), rows_(rows_of(y)) {
    require_like(y, dy, "dy");
    require_like(y, dx, "output");
  }
  void run(const Frame& frame) const override {
    gradient_(static_cast<ElementType>(y_.dtype), frame.data<void>(y_), frame.data<void>(dy_),
              frame.data<void>(dx_), rows_.rows, rows_.columns);
  }
  double flops() const override { return 4.0 * static_cast<double>(y_.size()); }

 private:
  Gradient gradient_;
  Operand y_, dy_, dx_;
  Rows rows_;
};

class CrossEntropy final : public Instruction {
 public:
  CrossEntropy(const Operands& in, const Operands& out)
      : logits_(in[0]), labels_(in[1]), losses_(out[0]), log_sums_(out[1]), rows_(rows_of(in[0])) {
    require_labels(logits_, labels_);
    require_like(per_row(logits_), losses_, "losses");
    require_like(per_row(logits_), log_sums_, "log_sums");
  }
  void run(const Frame& frame) const override {
    softmax_kernels().cross_entropy(static_cast<ElementType>(logits_.dtype),
                                    frame.data<void>(logits_), labels_of(frame, labels_),
                                    frame.data<void>(losses_), frame.data<void>(log_sums_),
                                    rows_.rows, rows_.columns);
  }
  double flops() const override { return 4.0 * static_cast<double>(logits_.size()); }

 private:
  Operand logits_, labels_, losses_, log_sums_;
  Rows rows_;
};

class CrossEntropyGradient final : public Instruction {
 public:
  CrossEntropyGradient(const Operands& in, const Operand& dlogits)
      : logits_(in[0]),
        labels_(in[1]),
        log_sums_(in[2]),
        dlosses_(in[3]),
        dlogits_(dlogits),
        rows_(rows_of(in[0])) {
    require_labels(logits_, labels_);
    require_like(per_row(logits_), log_sums_, "log_sums");
    require_like(per_row(logits_), dlosses_, "dlosses");
    require_like(logits_, dlogits_, "output");
  }
  void run(const Frame& frame) const override {
    softmax_kernels().cross_entropy_gradient(
        static_cast<ElementType>(logits_.dtype), frame.data<void>(logits_),
        labels_of(frame, labels_), frame.data<void>(log_sums_), frame.data<void>(dlosses_),
        frame.data<void>(dlogits_), rows_.rows, rows_.columns);
  }
  double flops() const override { return 4.0 * static_cast<double>(logits_.size()); }

 private:
  Operand logits_, labels_, log_sums_, dlosses_, dlogits_;
  Rows rows_;
};

void require_counts(const Operands& inputs, std::size_t in, const Operands& outputs,
                    std::size_t out) {
  require(inputs.size() == in && outputs.size() == out,
          "takes " + std::to_string(in) + " inputs and " + std::to_string(out) + " outputs, got " +
              std::to_string(inputs.size()) + " and " + std::to_string(outputs.size()));
}

template <Map SoftmaxKernels::*map>
std::unique_ptr<Instruction> make_map(const Operands& inputs, const Operands& outputs,
                                      const Attributes&) {
  require_counts(inputs, 1, outputs, 1);
  return std::make_unique<RowMap>(softmax_kernels().*map, inputs[0], outputs[0]);
}

template <Gradient SoftmaxKernels::*gradient>
std::unique_ptr<Instruction> make_gradient(const Operands& inputs, const Operands& outputs,
                                           const Attributes&) {
  require_counts(inputs, 2, outputs, 1);
  return std::make_unique<RowGradient>(softmax_kernels().*gradient, inputs[0], inputs[1],
                                       outputs[0]);
}

std::unique_ptr<Instruction> make_cross_entropy(const Operands& inputs, const Operands& outputs,
                                                const Attributes&) {
  require_counts(inputs, 2, outputs, 2);
  return std::make_unique<CrossEntropy>(inputs, outputs);
}

std::unique_ptr<Instruction> make_cross_entropy_gradient(const Operands& inputs,
                                                         const Operands& outputs,
                                                         const Attributes&) {
  require_counts(inputs, 4, outputs, 1);
  return std::make_unique<CrossEntropyGradient>(inputs, outputs[0]);
}

const RegisterInstruction softmax("softmax", make_map<&SoftmaxKernels::softmax>);
const RegisterInstruction log_softmax("log_softmax", make_map<&SoftmaxKernels::log_softmax>);
const RegisterInstruction softmax_gradient("softmax_gradient",
                                           make_gradient<&SoftmaxKernels::softmax_gradient>);
const RegisterInstruction log_softmax_gradient(
    "log_softmax_gradient", make_gradient<&SoftmaxKernels::log_softmax_gradient>);
const RegisterInstruction cross_entropy("softmax_cross_entropy", make_cross_entropy);
const RegisterInstruction cross_entropy_gradient("softmax_cross_entropy_gradient",
                                                 make_cross_entropy_gradient);

}  // namespace
}  // namespace kcore
