// elementwise: a chain (see elementwise_chain.h), in one pass.
#include "program/elementwise_chain.h"
#include "program/instruction.h"

namespace kcore {
namespace {

class Elementwise final : public Instruction {
 public:
  Elementwise(const Operands& inputs, const Operands& outputs, const Attributes& attributes)
      : chain_(inputs, outputs, attributes) {}

  void run(const Frame& frame) const override {
    ElementwiseChain::Addresses at;
    chain_.find(frame, at);
    elementwise_kernels().evaluate(chain_.plan(), at.inputs, at.outputs);
  }

  bool in_place(std::size_t) const override { return true; }

  ScratchNeed scratch() const override { return elementwise_kernels().scratch(chain_.plan()); }

  double flops() const override { return chain_.flops(); }

 private:
  ElementwiseChain chain_;
};

std::unique_ptr<Instruction> make_elementwise(const Operands& inputs, const Operands& outputs,
                                              const Attributes& attributes) {
  return std::make_unique<Elementwise>(inputs, outputs, attributes);
}

const RegisterInstruction elementwise("elementwise", make_elementwise);

}  // namespace
}  // namespace kcore
