// matmul: activation(a @ b + bias), over leading batch axes that broadcast. Attributes: transpose_a
// and transpose_b (of the last two axes), activation, and addend: whether an input follows b, of
// the output's shape, that is added before the activation.
#include <algorithm>

#include "kernels/gemm.h"
#include "program/epilogue_attributes.h"
#include "program/instruction.h"

namespace kcore {
namespace {

template <class T>
class Matmul final : public Instruction {
 public:
  Matmul(const Operands& inputs, const Operand& out, bool transpose_a, bool transpose_b,
         bool addend, Activation activation)
      : a_(inputs[0]), b_(inputs[1]), out_(out) {
    const std::string shapes = to_string(a_.shape) + " and " + to_string(b_.shape);
    require(a_.rank() >= 2 && b_.rank() >= 2, "takes tensors of at least two axes, got " + shapes);
    const std::int64_t a_rows = a_.shape[a_.rank() - 2], a_cols = a_.shape[a_.rank() - 1];
    const std::int64_t b_rows = b_.shape[b_.rank() - 2], b_cols = b_.shape[b_.rank() - 1];
    gemm_.m = transpose_a ? a_cols : a_rows;
    gemm_.k = transpose_a ? a_rows : a_cols;
    gemm_.n = transpose_b ? b_rows : b_cols;
    require(gemm_.k == (transpose_b ? b_cols : b_rows),
            "the inner extents of " + shapes + " differ");
    gemm_.a_stride = a_cols;
    gemm_.b_stride = b_cols;
    gemm_.c_stride = gemm_.n;
    gemm_.transpose_a = transpose_a;
    gemm_.transpose_b = transpose_b;
    gemm_.activation = activation;

    const std::int64_t rank = std::max(a_.rank(), b_.rank());
    Shape expected(static_cast<std::size_t>(rank));
    const auto extent = [&](const Operand& x, std::int64_t axis) {
      const std::int64_t own = axis - (rank - x.rank());
      return own < 0 ? 1 : x.shape[own];
    };
    for (std::int64_t axis = 0; axis < rank - 2; ++axis) {
      const std::int64_t x = extent(a_, axis), y = extent(b_, axis);
      require(x == y || x == 1 || y == 1, "the batch axes of " + shapes + " do not broadcast");
      expected[axis] = x == 1 ? y : x;
      count_ *= expected[axis];
    }
    expected[rank - 2] = gemm_.m;
    expected[rank - 1] = gemm_.n;
    require(out.shape == expected,
            "gives " + to_string(expected) + ", got an output of " + to_string(out.shape));
    if (addend) {
      addend_ = inputs[2];
      require(addend_.shape == expected,
              "takes an addend of " + to_string(expected) + ", got " + to_string(addend_.shape));
    }
    if (inputs.size() == (addend ? 4 : 3)) {
      bias_ = inputs.back();
      require(bias_.shape == Shape{gemm_.n}, "takes a bias of " + std::to_string(gemm_.n) +
                                                 " elements, got " + to_string(bias_.shape));
    }

    const std::int64_t b_size = b_rows * b_cols;
    // One b for every item: the rows of all items are the rows of one product.
    if (count_ > 1 && !transpose_a && b_.size() == b_size &&
        a_.size() == count_ * gemm_.m * gemm_.k) {
      gemm_.m *= count_;
      count_ = 1;
    }
    if (count_ > 1 && out.size() > 0) {
      require(count_ <= kMostItems, "multiplies at most " + std::to_string(kMostItems) +
                                        " pairs of matrices at once, got " + shapes);
      set_offsets(expected, extent);
    }
  }

  void run(const Frame& frame) const override {
    if (out_.size() == 0) return;
    Gemm<T> gemm = gemm_;
    gemm.a = frame.data<T>(a_);
    gemm.b = frame.data<T>(b_);
    gemm.c = frame.data<T>(out_);
    if (bias_.slot >= 0) gemm.bias = frame.data<T>(bias_);
    if (addend_.slot >= 0) gemm.addend = frame.data<T>(addend_);
    if (count_ == 1) {
      gemm.prepared = reinterpret_cast<const T*>(frame.prepared);
      gemm_kernels<T>().gemm(gemm);
    } else {
      gemm_kernels<T>().batched(gemm, count_, a_offsets_.data(), b_offsets_.data(),
                                gemm.m * gemm.n);
    }
  }

  Preparable preparable() const override {
    if (count_ != 1 || out_.size() == 0) return {};
    const std::int64_t elements = gemm_kernels<T>().prepared_elements(gemm_);
    return {b_.slot, elements * static_cast<std::int64_t>(sizeof(T))};
  }
  void prepare(const Frame& frame, std::byte* to) const override {
    Gemm<T> gemm = gemm_;
    gemm.b = frame.data<T>(b_);
    gemm_kernels<T>().prepare(gemm, reinterpret_cast<T*>(to));
  }

  ScratchNeed scratch() const override { return gemm_kernels<T>().scratch(gemm_, count_); }

  double flops() const override {
    return 2.0 * static_cast<double>(count_) * static_cast<double>(gemm_.m) *
           static_cast<double>(gemm_.n) * static_cast<double>(gemm_.k);
  }

 private:
  // The offsets of so many take a gigabyte.
  static constexpr std::int64_t kMostItems = std::int64_t{1} << 26;

  template <class Extent>
  void set_offsets(const Shape& shape, const Extent& extent) {
    const auto axes = static_cast<std::int64_t>(shape.size()) - 2;
    for (std::int64_t item = 0; item < count_; ++item) {
      std::int64_t rest = item, a = 0, b = 0, a_step = gemm_.m * gemm_.k,
                   b_step = gemm_.k * gemm_.n;
      for (std::int64_t axis = axes - 1; axis >= 0; --axis) {
        const std::int64_t index = rest % shape[axis];
        rest /= shape[axis];
        if (extent(a_, axis) > 1) a += index * a_step;
        if (extent(b_, axis) > 1) b += index * b_step;
        a_step *= extent(a_, axis);
        b_step *= extent(b_, axis);
      }
      a_offsets_.push_back(a);
      b_offsets_.push_back(b);
    }
  }

  Operand a_, b_, addend_, bias_, out_;
  Gemm<T> gemm_;
  std::int64_t count_ = 1;
  std::vector<std::int64_t> a_offsets_, b_offsets_;
};

std::unique_ptr<Instruction> make_matmul(const Operands& inputs, const Operands& outputs,
                                         const Attributes& attributes) {
  const bool addend = attributes.flag("addend");
  const std::size_t least = addend ? 3 : 2;
  require((inputs.size() == least || inputs.size() == least + 1) && outputs.size() == 1,
          std::string("takes a, b") + (addend ? ", an addend" : "") +
              " and optionally a bias, and has one output");
  for (const Operand& operand : inputs) {
    require(operand.dtype == outputs[0].dtype,
            std::string("takes operands of one dtype, got ") + dtype_name(operand.dtype) +
                " for an output of " + dtype_name(outputs[0].dtype));
  }
  const bool transpose_a = attributes.flag("transpose_a");
  const bool transpose_b = attributes.flag("transpose_b");
  const std::string name = attributes.text("activation", "none");
  const Activation activation = activation_from_name(name);
  const bool floating = outputs[0].dtype == DType::float32 || outputs[0].dtype == DType::float64;
  require(floating || activation <= Activation::relu,
          std::string(dtype_name(outputs[0].dtype)) +
              " takes the activations none and relu, got '" + name + "'");
  const auto make = [&](auto zero) -> std::unique_ptr<Instruction> {
    return std::make_unique<Matmul<decltype(zero)>>(inputs, outputs[0], transpose_a, transpose_b,
                                                    addend, activation);
  };
  switch (outputs[0].dtype) {
    case DType::float32:
      return make(float{});
    case DType::float64:
      return make(double{});
    case DType::int32:
      return make(std::int32_t{});
    case DType::int64:
      return make(std::int64_t{});
    default:
      throw InvalidProgram(std::string("has no kernel for ") + dtype_name(outputs[0].dtype));
  }
}

const RegisterInstruction matmul("matmul", make_matmul);

}  // namespace
}  // namespace kcore
