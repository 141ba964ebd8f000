// scan: a program run once a step, handing states on.
//
// `body` is the program; `sequences`, `states`, `captured` and `outputs` count its operands. The
// body's inputs are a slice of every sequence, the states and the captured tensors; its outputs are
// the new states and the step's outputs. The instruction's inputs are the sequences (with the steps
// as first dimension), the initial states and the captured tensors; its outputs are the final
// states and the outputs of all steps, each at the place of its step. With `reverse` the last step
// runs first.
//
// Nothing is copied: slices are addresses within the sequences and the outputs, and states
// alternate between two buffers until the last step writes the final ones.
//
// A random instruction of the body sees the step (step + 1) * 2^20 + t, t being the place of the
// loop's step: no two steps of any runs draw the same numbers. Loops have therefore at most 2^20
// steps.
#include <cstring>

#include "program/program.h"

namespace kcore {
namespace {

constexpr std::int64_t kMaxSteps = std::int64_t{1} << 20;
constexpr std::int64_t kAlignment = 64;

std::int64_t aligned(std::int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

class Scan final : public Instruction {
 public:
  Scan(const Operands& inputs, const Operands& outputs, const Attributes& attributes)
      : inputs_(inputs),
        outputs_(outputs),
        body_(attributes.program("body")),
        sequences_(attributes.integer("sequences")),
        states_(attributes.integer("states")),
        reverse_(attributes.flag("reverse")) {
    const std::int64_t captured = attributes.integer("captured");
    const std::int64_t stacked = attributes.integer("outputs");
    constexpr std::int64_t kLimit = 1 << 20;
    for (const std::int64_t count : {sequences_, states_, captured, stacked}) {
      require(count >= 0 && count < kLimit, "a count of operands is out of range");
    }
    require(body_ != nullptr, "body is no program");
    const auto count_is = [](const char* what, std::size_t count, std::int64_t wanted) {
      require(static_cast<std::int64_t>(count) == wanted, std::string(what) + " must be " +
                                                              std::to_string(wanted) + ", got " +
                                                              std::to_string(count));
    };
    count_is("inputs", inputs.size(), sequences_ + states_ + captured);
    count_is("outputs", outputs.size(), states_ + stacked);
    count_is("inputs and outputs of the body", body_->external().size(),
             sequences_ + 2 * states_ + captured + stacked);
    steps_ = steps(attributes);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const bool sliced = static_cast<std::int64_t>(i) < sequences_;
      check("input " + std::to_string(i), inputs[i], body_buffer(i), sliced);
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const bool sliced = static_cast<std::int64_t>(i) >= states_;
      check("output " + std::to_string(i), outputs[i], body_buffer(inputs.size() + i), sliced);
      if (sliced) continue;
      const Operand& initial = inputs[sequences_ + i];
      require(outputs[i].dtype == initial.dtype && outputs[i].shape == initial.shape,
              "state " + std::to_string(i) + " begins as " + describe(initial) + " and ends as " +
                  describe(outputs[i]));
      state_offsets_.push_back(state_bytes_);
      state_bytes_ += aligned(initial.bytes());
    }
  }

  std::int64_t workspace_bytes() const override {
    return 2 * state_bytes_ +
           aligned(static_cast<std::int64_t>(body_->external().size() * sizeof(void*)));
  }

  const Program* body() const override { return body_.get(); }

  double flops() const override {
    double sum = 0;
    for (std::size_t i = 0; i < body_->instruction_count(); ++i) sum += body_->flops(i);
    return sum * static_cast<double>(steps_);
  }

  void run(const Frame& frame) const override {
    if (steps_ == 0) return copy_states(frame);
    auto** addresses = reinterpret_cast<void**>(frame.workspace + 2 * state_bytes_);
    void** results = addresses + inputs_.size();
    for (std::size_t i = sequences_ + states_; i < inputs_.size(); ++i) {
      addresses[i] = frame.data<void>(inputs_[i]);
    }
    for (std::int64_t k = 0; k < steps_; ++k) {
      const std::int64_t t = reverse_ ? steps_ - 1 - k : k;
      for (std::int64_t i = 0; i < sequences_; ++i) addresses[i] = slice(frame, inputs_[i], t);
      for (std::int64_t i = 0; i < states_; ++i) {
        addresses[sequences_ + i] =
            k == 0 ? frame.data<void>(inputs_[sequences_ + i]) : state(frame, i, k - 1);
        results[i] = state(frame, i, k);
      }
      for (std::size_t i = states_; i < outputs_.size(); ++i) {
        results[i] = slice(frame, outputs_[i], t);
      }
      const std::uint64_t step = ((frame.step + 1) << 20) + static_cast<std::uint64_t>(t);
      body_->run(addresses, frame.seed, step, nullptr);
    }
  }

 private:
  static std::string describe(const Operand& operand) {
    return std::string(dtype_name(operand.dtype)) + " " + to_string(operand.shape);
  }

  const Buffer& body_buffer(std::size_t i) const { return body_->buffers()[body_->external()[i]]; }

  // The extent that all sequences and stacked outputs begin with.
  std::int64_t steps(const Attributes& attributes) const {
    std::int64_t steps = attributes.integer("steps", -1);
    const auto check_steps = [&](const Operand& operand) {
      require(operand.rank() > 0, "a sequence must have steps, got a scalar");
      if (steps < 0) steps = operand.shape[0];
      require(operand.shape[0] == steps, "a sequence of " + std::to_string(steps) +
                                             " steps was wanted, got shape " +
                                             to_string(operand.shape));
    };
    for (std::int64_t i = 0; i < sequences_; ++i) check_steps(inputs_[i]);
    for (std::size_t i = states_; i < outputs_.size(); ++i) check_steps(outputs_[i]);
    require(steps >= 0, "nothing says how many steps there are");
    require(steps <= kMaxSteps, "there are more than 2^20 steps");
    return steps;
  }

  static void check(const std::string& what, const Operand& operand, const Buffer& buffer,
                    bool sliced) {
    const Shape shape(operand.shape.begin() + (sliced ? 1 : 0), operand.shape.end());
    require(operand.dtype == buffer.dtype && shape == buffer.shape,
            what + " is " + describe(operand) + (sliced ? " a step of which" : " which") +
                " does not fit the body's " + dtype_name(buffer.dtype) + " " +
                to_string(buffer.shape));
  }

  void* slice(const Frame& frame, const Operand& sequence, std::int64_t t) const {
    return frame.data<std::byte>(sequence) + sequence.bytes() / steps_ * t;
  }

  // State i after the k-th step that is run.
  void* state(const Frame& frame, std::int64_t i, std::int64_t k) const {
    if (k == steps_ - 1) return frame.data<void>(outputs_[i]);
    return frame.workspace + k % 2 * state_bytes_ + state_offsets_[i];
  }

  void copy_states(const Frame& frame) const {
    for (std::int64_t i = 0; i < states_; ++i) {
      const auto bytes = static_cast<std::size_t>(outputs_[i].bytes());
      if (bytes == 0) continue;
      std::memmove(frame.data<void>(outputs_[i]), frame.data<void>(inputs_[sequences_ + i]), bytes);
    }
  }

  Operands inputs_, outputs_;
  std::shared_ptr<const Program> body_;
  std::int64_t sequences_, states_;
  bool reverse_;
  std::int64_t steps_ = 0;
  std::vector<std::int64_t> state_offsets_;
  std::int64_t state_bytes_ = 0;
};

std::unique_ptr<Instruction> make_scan(const Operands& inputs, const Operands& outputs,
                                       const Attributes& attributes) {
  return std::make_unique<Scan>(inputs, outputs, attributes);
}

const RegisterInstruction scan("scan", make_scan);

}  // namespace
}  // namespace kcore
