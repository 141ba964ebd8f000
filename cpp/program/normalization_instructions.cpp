// Normalisation, float32 or float64; the last axis holds the features. Every one takes `epsilon`.
//
//   batch_norm_training    x, gamma, beta -> y, mean, variance (of each feature; biased);
//                          activation: none or relu, of y
//   batch_norm_gradient    dy, x, gamma, mean, variance -> dx, dgamma, dbeta
//   batch_norm_inference   x, gamma, beta, mean, variance -> y
//   layer_norm             x, gamma, beta -> y, mean, 1 / sqrt(variance + epsilon) (of each row)
//   layer_norm_gradient    dy, x, gamma, mean, inverse -> dx, dgamma, dbeta (no epsilon)
#include <cmath>

#include "kernels/normalization.h"
#include "program/instruction.h"

namespace kcore {
namespace {

// Checks numbers, dtypes and shapes: 'x' stands for the tensor's own shape, 'c' for its features,
// 'r' for its rows.
void check(const Operands& inputs, const Operands& outputs, const std::string& input_kinds,
           const std::string& output_kinds) {
  require(inputs.size() == input_kinds.size() && outputs.size() == output_kinds.size(),
          "takes " + std::to_string(input_kinds.size()) + " inputs and has " +
              std::to_string(output_kinds.size()) + " outputs, got " +
              std::to_string(inputs.size()) + " and " + std::to_string(outputs.size()));
  const Operand& x = inputs[0];
  require((x.dtype == DType::float32 || x.dtype == DType::float64) && x.rank() > 0,
          std::string("input 0 must be float32 or float64 and have features, got ") +
              dtype_name(x.dtype) + " " + to_string(x.shape));
  const auto check_all = [&](const char* what, const Operands& operands, const std::string& kinds) {
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      Shape wanted = x.shape;
      if (kinds[i] == 'c') wanted = {x.shape.back()};
      if (kinds[i] == 'r') wanted.pop_back();
      require(operands[i].dtype == x.dtype && operands[i].shape == wanted,
              std::string(what) + " " + std::to_string(i) + " must be " + dtype_name(x.dtype) +
                  " " + to_string(wanted) + ", got " + dtype_name(operands[i].dtype) + " " +
                  to_string(operands[i].shape));
    }
  };
  check_all("input", inputs, input_kinds);
  check_all("output", outputs, output_kinds);
}

double checked_epsilon(const Attributes& attributes) {
  const double epsilon = attributes.real("epsilon");
  require(epsilon >= 0 && std::isfinite(epsilon), "epsilon must be finite and not negative");
  return epsilon;
}

// What every one of them shares: operands, extents and epsilon.
class Normalization : public Instruction {
 public:
  Normalization(const Operands& inputs, const Operands& outputs, double epsilon)
      : inputs_(inputs), outputs_(outputs), epsilon_(epsilon) {
    columns_ = inputs[0].shape.back();
    for (std::int64_t d = 0; d + 1 < inputs[0].rank(); ++d) rows_ *= inputs[0].shape[d];
    kernel_ = inputs[0].dtype == DType::float64;
  }

  std::int64_t workspace_bytes() const override {
    return normalization_workspace_bytes(rows_, columns_);
  }

  ScratchNeed scratch() const override {
    return normalization_kernels().scratch[kernel_](rows_, columns_);
  }

  double flops() const override { return 8.0 * static_cast<double>(rows_ * columns_); }

 protected:
  void* in(const Frame& frame, int i) const { return frame.data<void>(inputs_[i]); }
  void* out(const Frame& frame, int i) const { return frame.data<void>(outputs_[i]); }

  Operands inputs_, outputs_;
  double epsilon_;
  std::int64_t rows_ = 1, columns_ = 1;
  int kernel_ = 0;
};

class BatchNormTraining final : public Normalization {
 public:
  BatchNormTraining(const Operands& inputs, const Operands& outputs, double epsilon,
                    const std::string& activation)
      : Normalization(inputs, outputs, epsilon), relu_(activation == "relu") {
    require(relu_ || activation == "none",
            "activation must be none or relu, got '" + activation + "'");
  }

  void run(const Frame& f) const override {
    normalization_kernels().batch_norm_training[kernel_](rows_, columns_, epsilon_, relu_, in(f, 0),
                                                         in(f, 1), in(f, 2), out(f, 0), out(f, 1),
                                                         out(f, 2), f.workspace);
  }

 private:
  bool relu_;
};

class BatchNormGradient final : public Normalization {
 public:
  using Normalization::Normalization;
  void run(const Frame& f) const override {
    normalization_kernels().batch_norm_gradient[kernel_](
        rows_, columns_, epsilon_, in(f, 0), in(f, 1), in(f, 2), in(f, 3), in(f, 4), out(f, 0),
        out(f, 1), out(f, 2), f.workspace);
  }
};

class BatchNormInference final : public Normalization {
 public:
  using Normalization::Normalization;
  void run(const Frame& f) const override {
    normalization_kernels().batch_norm_inference[kernel_](rows_, columns_, epsilon_, in(f, 0),
                                                          in(f, 1), in(f, 2), in(f, 3), in(f, 4),
                                                          out(f, 0), f.workspace);
  }
};

class LayerNorm final : public Normalization {
 public:
  using Normalization::Normalization;
  void run(const Frame& f) const override {
    normalization_kernels().layer_norm[kernel_](rows_, columns_, epsilon_, in(f, 0), in(f, 1),
                                                in(f, 2), out(f, 0), out(f, 1), out(f, 2));
  }
};

class LayerNormGradient final : public Normalization {
 public:
  using Normalization::Normalization;
  void run(const Frame& f) const override {
    normalization_kernels().layer_norm_gradient[kernel_](rows_, columns_, in(f, 0), in(f, 1),
                                                         in(f, 2), in(f, 3), in(f, 4), out(f, 0),
                                                         out(f, 1), out(f, 2), f.workspace);
  }
};

std::unique_ptr<Instruction> make_batch_norm_training(const Operands& inputs,
                                                      const Operands& outputs,
                                                      const Attributes& attributes) {
  check(inputs, outputs, "xcc", "xcc");
  return std::make_unique<BatchNormTraining>(inputs, outputs, checked_epsilon(attributes),
                                             attributes.text("activation", "none"));
}

std::unique_ptr<Instruction> make_batch_norm_gradient(const Operands& inputs,
                                                      const Operands& outputs,
                                                      const Attributes& attributes) {
  check(inputs, outputs, "xxccc", "xcc");
  return std::make_unique<BatchNormGradient>(inputs, outputs, checked_epsilon(attributes));
}

std::unique_ptr<Instruction> make_batch_norm_inference(const Operands& inputs,
                                                       const Operands& outputs,
                                                       const Attributes& attributes) {
  check(inputs, outputs, "xcccc", "x");
  return std::make_unique<BatchNormInference>(inputs, outputs, checked_epsilon(attributes));
}

std::unique_ptr<Instruction> make_layer_norm(const Operands& inputs, const Operands& outputs,
                                             const Attributes& attributes) {
  check(inputs, outputs, "xcc", "xrr");
  return std::make_unique<LayerNorm>(inputs, outputs, checked_epsilon(attributes));
}

std::unique_ptr<Instruction> make_layer_norm_gradient(const Operands& inputs,
                                                      const Operands& outputs, const Attributes&) {
  check(inputs, outputs, "xxcrr", "xcc");
  return std::make_unique<LayerNormGradient>(inputs, outputs, 0);
}

const RegisterInstruction batch_norm_training("batch_norm_training", make_batch_norm_training);
const RegisterInstruction batch_norm_gradient("batch_norm_gradient", make_batch_norm_gradient);
const RegisterInstruction batch_norm_inference("batch_norm_inference", make_batch_norm_inference);
const RegisterInstruction layer_norm("layer_norm", make_layer_norm);
const RegisterInstruction layer_norm_gradient("layer_norm_gradient", make_layer_norm_gradient);

}  // namespace
}  // namespace kcore
