// matmul: activation(a @ b + bias), over leading batch axes that broadcast. Attributes: transpose_a
// and transpose_b (of the last two axes), activation, and addend: whether an input follows b, of
// the output's shape, that is added before the activation.
//
// matmul_elementwise: a chain (see elementwise_chain.h) over the output of a matmul, done on one
// piece after another while it is in the cache. Besides the attributes of both, `matmul_inputs`: so
// many of the inputs are the matmul's. The others follow the matmul's output as the chain's.
#include <algorithm>
#include <type_traits>

#include "kernels/gemm.h"
#include "program/elementwise_chain.h"
#include "program/epilogue_attributes.h"
#include "program/instruction.h"

namespace kcore {
namespace {

template <class T>
class Matmul final : public Instruction {
 public:
  using Element = T;

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

  void run(const Frame& frame) const override { multiply(frame, frame.data<T>(out_), nullptr); }

  // Writes the product to c, or hands it to the taker.
  void multiply(const Frame& frame, T* c, const PieceTaker<T>* taker) const {
    if (out_.size() == 0) return;
    Gemm<T> gemm = gemm_;
    gemm.a = frame.data<T>(a_);
    gemm.b = frame.data<T>(b_);
    gemm.c = c;
    gemm.taker = taker;
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

  bool in_pieces() const {
    return count_ == 1 && out_.size() > 0 && gemm_kernels<T>().in_pieces(gemm_);
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

  ScratchNeed scratch() const override { return scratch(nullptr); }
  ScratchNeed scratch(const PieceTaker<T>* taker) const {
    Gemm<T> gemm = gemm_;
    gemm.taker = taker;
    return gemm_kernels<T>().scratch(gemm, count_);
  }

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

template <class T>
class MatmulElementwise final : public Instruction {
 public:
  MatmulElementwise(Matmul<T> matmul, std::int64_t matmul_inputs, const Operand& product,
                    const Operands& chain_inputs, const Operands& outputs,
                    const Attributes& attributes)
      : matmul_(std::move(matmul)),
        matmul_inputs_(static_cast<std::size_t>(matmul_inputs)),
        product_(product),
        chain_(chain_inputs, outputs, attributes) {}

  void run(const Frame& frame) const override {
    Run run{*this, {}};
    chain_.find(frame, run.at);
    if (!matmul_.in_pieces()) {
      run.at.inputs[0] = frame.workspace;
      matmul_.multiply(frame, reinterpret_cast<T*>(frame.workspace), nullptr);
      return elementwise_kernels().evaluate(chain_.plan(), run.at.inputs, run.at.outputs);
    }
    const PieceTaker<T> taker{take, &run};
    matmul_.multiply(frame, nullptr, &taker);
  }

  std::int64_t workspace_bytes() const override {
    return matmul_.in_pieces() ? 0 : product_.bytes();
  }

  ScratchNeed scratch() const override {
    const PieceTaker<T> taker{};
    ScratchNeed need = matmul_.scratch(matmul_.in_pieces() ? &taker : nullptr);
    need.cover(elementwise_kernels().scratch(chain_.plan()));
    return need;
  }

  bool in_place(std::size_t input) const override { return input >= matmul_inputs_; }

  Preparable preparable() const override { return matmul_.preparable(); }
  void prepare(const Frame& frame, std::byte* to) const override { matmul_.prepare(frame, to); }

  double flops() const override { return matmul_.flops() + chain_.flops(); }

 private:
  struct Run {
    const MatmulElementwise& self;
    ElementwiseChain::Addresses at;
  };

  static void take(const void* context, const T* piece, std::int64_t row, std::int64_t rows,
                   std::int64_t col, std::int64_t cols) {
    const auto& [self, at] = *static_cast<const Run*>(context);
    const ElementwisePlan& plan = self.chain_.plan();
    const void* inputs[ElementwisePlan::kMaxOperands];
    std::copy_n(at.inputs, plan.inputs, inputs);
    inputs[0] = piece;
    const std::int64_t stride = self.product_.shape.back();
    elementwise_kernels().evaluate_part(plan, inputs, at.outputs,
                                        {row * stride + col, rows, cols, stride, 0});
  }

  Matmul<T> matmul_;
  std::size_t matmul_inputs_;
  Operand product_;
  ElementwiseChain chain_;
};

// make(Matmul<T>), T being the output's dtype.
template <class Make>
std::unique_ptr<Instruction> with_matmul(const Operands& inputs, const Operand& out,
                                         const Attributes& attributes, const Make& make) {
  const bool addend = attributes.flag("addend");
  const std::size_t least = addend ? 3 : 2;
  require(inputs.size() == least || inputs.size() == least + 1,
          std::string("takes a, b") + (addend ? ", an addend" : "") +
              " and optionally a bias, and has one output");
  for (const Operand& operand : inputs) {
    require(operand.dtype == out.dtype, std::string("takes operands of one dtype, got ") +
                                            dtype_name(operand.dtype) + " for an output of " +
                                            dtype_name(out.dtype));
  }
  const bool transpose_a = attributes.flag("transpose_a");
  const bool transpose_b = attributes.flag("transpose_b");
  const std::string name = attributes.text("activation", "none");
  const Activation activation = activation_from_name(name);
  const bool floating = out.dtype == DType::float32 || out.dtype == DType::float64;
  require(floating || activation <= Activation::relu,
          std::string(dtype_name(out.dtype)) + " takes the activations none and relu, got '" +
              name + "'");
  const auto of = [&](auto zero) {
    return make(Matmul<decltype(zero)>(inputs, out, transpose_a, transpose_b, addend, activation));
  };
  switch (out.dtype) {
    case DType::float32:
      return of(float{});
    case DType::float64:
      return of(double{});
    case DType::int32:
      return of(std::int32_t{});
    case DType::int64:
      return of(std::int64_t{});
    default:
      throw InvalidProgram(std::string("has no kernel for ") + dtype_name(out.dtype));
  }
}

std::unique_ptr<Instruction> make_matmul(const Operands& inputs, const Operands& outputs,
                                         const Attributes& attributes) {
  require(outputs.size() == 1, "has one output");
  return with_matmul(inputs, outputs[0], attributes,
                     [](auto matmul) -> std::unique_ptr<Instruction> {
                       return std::make_unique<decltype(matmul)>(std::move(matmul));
                     });
}

std::unique_ptr<Instruction> make_matmul_elementwise(const Operands& inputs,
                                                     const Operands& outputs,
                                                     const Attributes& attributes) {
  const std::int64_t count = attributes.integer("matmul_inputs");
  require(count >= 2 && count <= static_cast<std::int64_t>(inputs.size()),
          "matmul_inputs is " + std::to_string(count) + " of " + std::to_string(inputs.size()) +
              " inputs");
  require(!outputs.empty(), "needs an output");
  const auto chain_begin = inputs.begin() + count;
  const Operand product{-1, inputs[0].dtype, outputs[0].shape};
  Operands chain_inputs{product};
  chain_inputs.insert(chain_inputs.end(), chain_begin, inputs.end());
  return with_matmul({inputs.begin(), chain_begin}, product, attributes,
                     [&](auto matmul) -> std::unique_ptr<Instruction> {
                       using T = typename decltype(matmul)::Element;
                       if constexpr (std::is_floating_point_v<T>) {
                         return std::make_unique<MatmulElementwise<T>>(
                             std::move(matmul), count, product, chain_inputs, outputs, attributes);
                       } else {
                         throw InvalidProgram(std::string("takes a product of floats, got ") +
                                              dtype_name(product.dtype));
                       }
                     });
}

const RegisterInstruction matmul("matmul", make_matmul);
const RegisterInstruction matmul_elementwise("matmul_elementwise", make_matmul_elementwise);

}  // namespace
}  // namespace kcore
