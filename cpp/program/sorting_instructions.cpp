// Instructions about order, along the last axis. NaN is greater than every number. Indices come as
// int32 or int64, whichever the output is.
//
//   sort, argsort   descending; equal elements keep their order
//   top_k           -> the greatest values, greatest first, and their indices
//   searchsorted    sorted vector, values -> where each would be inserted; side: left or right
//   in_top_k        predictions, targets -> whether the target is among the row's k greatest
#include "kernels/sorting.h"
#include "program/instruction.h"

namespace kcore {
namespace {

void check_counts(const Operands& inputs, const Operands& outputs, std::size_t in,
                  std::size_t out) {
  require(inputs.size() == in && outputs.size() == out,
          "takes " + std::to_string(in) + " inputs and has " + std::to_string(out) +
              " outputs, got " + std::to_string(inputs.size()) + " and " +
              std::to_string(outputs.size()));
}

void check(const char* what, const Operand& operand, DType dtype, const Shape& shape) {
  require(operand.dtype == dtype && operand.shape == shape,
          std::string(what) + " must be " + dtype_name(dtype) + " " + to_string(shape) + ", got " +
              dtype_name(operand.dtype) + " " + to_string(operand.shape));
}

void check_index_dtype(const char* what, const Operand& operand) {
  require(operand.dtype == DType::int32 || operand.dtype == DType::int64,
          std::string(what) + " must be int32 or int64, got " + dtype_name(operand.dtype));
}

std::int64_t index_bytes(const Operand& operand) {
  return static_cast<std::int64_t>(dtype_bytes(operand.dtype));
}

// Which of the kernels for uint8 (and bool), int32, int64, float32 and float64.
int ordered_kernel(const Operand& x) {
  return x.dtype == DType::boolean ? 0 : static_cast<int>(x.dtype) - 1;
}

// The last axis' extent; the elements must be countable by the indices' dtype.
std::int64_t checked_columns(const Operand& x) {
  require(x.rank() > 0, "a scalar has no axis");
  require(x.shape.back() <= 0x7fffffff, "the last axis is too long");
  return x.shape.back();
}

std::int64_t rows_of(const Operand& x) {
  std::int64_t rows = 1;
  for (std::int64_t d = 0; d + 1 < x.rank(); ++d) rows *= x.shape[d];
  return rows;
}

class Sort final : public Instruction {
 public:
  Sort(const Operand& x, const Operand& out, bool indices, bool descending)
      : x_(x), out_(out), n_(checked_columns(x)), indices_(indices), descending_(descending) {}

  std::int64_t workspace_bytes() const override { return sorting_workspace_bytes(rows_of(x_), n_); }

  void run(const Frame& frame) const override {
    void* out = frame.data<void>(out_);
    sorting_kernels().sort[ordered_kernel(x_)](rows_of(x_), n_, descending_, frame.data<void>(x_),
                                               frame.workspace, indices_ ? nullptr : out,
                                               indices_ ? out : nullptr, index_bytes(out_));
  }

 private:
  Operand x_, out_;
  std::int64_t n_;
  bool indices_, descending_;
};

std::unique_ptr<Instruction> make_sort(const Operands& inputs, const Operands& outputs,
                                       const Attributes& attributes) {
  check_counts(inputs, outputs, 1, 1);
  check("output", outputs[0], inputs[0].dtype, inputs[0].shape);
  return std::make_unique<Sort>(inputs[0], outputs[0], false, attributes.flag("descending"));
}

std::unique_ptr<Instruction> make_argsort(const Operands& inputs, const Operands& outputs,
                                          const Attributes& attributes) {
  check_counts(inputs, outputs, 1, 1);
  check_index_dtype("output", outputs[0]);
  check("output", outputs[0], outputs[0].dtype, inputs[0].shape);
  return std::make_unique<Sort>(inputs[0], outputs[0], true, attributes.flag("descending"));
}

class TopK final : public Instruction {
 public:
  TopK(const Operand& x, const Operand& values, const Operand& indices)
      : x_(x), values_(values), indices_(indices) {}

  std::int64_t workspace_bytes() const override {
    return sorting_workspace_bytes(rows_of(x_), x_.shape.back());
  }

  void run(const Frame& frame) const override {
    sorting_kernels().top_k[ordered_kernel(x_)](
        rows_of(x_), x_.shape.back(), values_.shape.back(), frame.data<void>(x_), frame.workspace,
        frame.data<void>(values_), frame.data<void>(indices_), index_bytes(indices_));
  }

 private:
  Operand x_, values_, indices_;
};

std::unique_ptr<Instruction> make_top_k(const Operands& inputs, const Operands& outputs,
                                        const Attributes&) {
  check_counts(inputs, outputs, 1, 2);
  const Operand &x = inputs[0], &values = outputs[0], &indices = outputs[1];
  const std::int64_t n = checked_columns(x);
  require(values.rank() == x.rank() && values.shape.back() <= n,
          "cannot take the greatest " + to_string(values.shape) + " of " + to_string(x.shape));
  Shape wanted = x.shape;
  wanted.back() = values.shape.back();
  check("values", values, x.dtype, wanted);
  check_index_dtype("indices", indices);
  check("indices", indices, indices.dtype, wanted);
  return std::make_unique<TopK>(x, values, indices);
}

class SearchSorted final : public Instruction {
 public:
  SearchSorted(const Operand& sorted, const Operand& values, const Operand& out, bool right)
      : sorted_(sorted), values_(values), out_(out), right_(right) {}

  void run(const Frame& frame) const override {
    sorting_kernels().searchsorted[ordered_kernel(sorted_)](
        sorted_.size(), frame.data<void>(sorted_), values_.size(), frame.data<void>(values_),
        right_, frame.data<void>(out_), index_bytes(out_));
  }

 private:
  Operand sorted_, values_, out_;
  bool right_;
};

std::unique_ptr<Instruction> make_searchsorted(const Operands& inputs, const Operands& outputs,
                                               const Attributes& attributes) {
  check_counts(inputs, outputs, 2, 1);
  const Operand &sorted = inputs[0], &values = inputs[1], &out = outputs[0];
  require(sorted.rank() == 1,
          "the sorted elements must be a vector, got shape " + to_string(sorted.shape));
  checked_columns(sorted);
  check("values", values, sorted.dtype, values.shape);
  check_index_dtype("output", out);
  check("output", out, out.dtype, values.shape);
  const std::string side = attributes.text("side", "left");
  require(side == "left" || side == "right", "side must be left or right, got '" + side + "'");
  return std::make_unique<SearchSorted>(sorted, values, out, side == "right");
}

class InTopK final : public Instruction {
 public:
  InTopK(const Operand& predictions, const Operand& targets, const Operand& out, std::int64_t k)
      : predictions_(predictions), targets_(targets), out_(out), k_(k) {}

  void run(const Frame& frame) const override {
    const int kernel = predictions_.dtype == DType::float64;
    sorting_kernels().in_top_k[kernel](predictions_.shape[0], predictions_.shape[1], k_,
                                       frame.data<void>(predictions_), frame.data<void>(targets_),
                                       index_bytes(targets_), frame.data<bool>(out_));
  }

 private:
  Operand predictions_, targets_, out_;
  std::int64_t k_;
};

std::unique_ptr<Instruction> make_in_top_k(const Operands& inputs, const Operands& outputs,
                                           const Attributes& attributes) {
  check_counts(inputs, outputs, 2, 1);
  const Operand &predictions = inputs[0], &targets = inputs[1], &out = outputs[0];
  require(predictions.rank() == 2,
          "predictions must be a matrix, got shape " + to_string(predictions.shape));
  require(
      predictions.dtype == DType::float32 || predictions.dtype == DType::float64,
      std::string("predictions must be float32 or float64, got ") + dtype_name(predictions.dtype));
  check_index_dtype("targets", targets);
  check("targets", targets, targets.dtype, {predictions.shape[0]});
  check("output", out, DType::boolean, {predictions.shape[0]});
  return std::make_unique<InTopK>(predictions, targets, out, attributes.integer("k"));
}

const RegisterInstruction sort("sort", make_sort);
const RegisterInstruction argsort("argsort", make_argsort);
const RegisterInstruction top_k("top_k", make_top_k);
const RegisterInstruction searchsorted("searchsorted", make_searchsorted);
const RegisterInstruction in_top_k("in_top_k", make_in_top_k);

}  // namespace
}  // namespace kcore
