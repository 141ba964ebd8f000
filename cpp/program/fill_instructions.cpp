// fill: every element of the output is attribute `value`.
#include <cstring>

#include "kernels/fill.h"
#include "program/instruction.h"

namespace kcore {
namespace {

class Fill final : public Instruction {
 public:
  Fill(const Operand& out, double value) : out_(out) {
    switch (out.dtype) {
      case DType::boolean:
      case DType::uint8:
        set(static_cast<std::uint8_t>(out.dtype == DType::boolean ? value != 0 : value));
        break;
      case DType::int32:
        set(static_cast<std::int32_t>(value));
        break;
      case DType::int64:
        set(static_cast<std::int64_t>(value));
        break;
      case DType::float32:
        set(static_cast<float>(value));
        break;
      case DType::float64:
        set(value);
        break;
    }
  }

  void run(const Frame& frame) const override {
    fill_kernels().fill(frame.data<void>(out_), out_.size(),
                        static_cast<std::int64_t>(dtype_bytes(out_.dtype)), element_);
  }

 private:
  template <class T>
  void set(T value) {
    std::memcpy(element_, &value, sizeof(T));
  }

  Operand out_;
  unsigned char element_[8] = {};
};

std::unique_ptr<Instruction> make_fill(const Operands& inputs, const Operands& outputs,
                                       const Attributes& attributes) {
  require(inputs.empty() && outputs.size() == 1, "takes no input and has one output");
  return std::make_unique<Fill>(outputs[0], attributes.real("value"));
}

const RegisterInstruction fill("fill", make_fill);

}  // namespace
}  // namespace kcore
