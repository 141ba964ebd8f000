// A straight-line expression over broadcast inputs: what the attributes of an instruction say,
// checked and laid out for the kernel.
//
// Attributes: `ops`, one opcode a step; `args`, three register numbers a step (-1: none);
// `constants` and `constant_dtypes`; `stores`, one register an output. Registers are numbered:
// the inputs, the constants, then the steps.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kernels/elementwise.h"
#include "program/instruction.h"

namespace kcore {

// The number of arguments of each opcode.
std::map<std::string, int> elementwise_opcodes();

class ElementwiseChain {
 public:
  ElementwiseChain(const Operands& inputs, const Operands& outputs, const Attributes& attributes);
  ElementwiseChain(const ElementwiseChain&) = delete;
  ElementwiseChain& operator=(const ElementwiseChain&) = delete;

  const ElementwisePlan& plan() const { return plan_; }
  double flops() const;

  // Where a run's inputs and outputs are; null for an operand without a slot.
  struct Addresses {
    const void* inputs[ElementwisePlan::kMaxOperands];
    void* outputs[ElementwisePlan::kMaxOperands];
  };
  void find(const Frame& frame, Addresses& addresses) const;

 private:
  struct Kind {
    Opcode opcode;
    ElementType type;  // of the operands
  };

  void add_input(const Operand& input, const Shape& shape);
  void add_constants(const std::vector<double>& values, const std::vector<std::string>& dtypes);
  void add_steps(const std::vector<std::string>& ops, const std::vector<std::int64_t>& args);
  int add_step(int opcode, const std::int64_t* args);
  void add_stores(const std::vector<std::int64_t>& stores);
  void fuse_steps();
  void set_step(std::size_t s, BlockFunction function, const int* args);
  void assign_slots();
  void make_plan();
  std::int64_t grain(std::int64_t cost) const;

  Operands inputs_, outputs_;
  std::vector<Kind> kinds_;    // of each step
  std::vector<DType> dtypes_;  // of each register
  std::vector<Broadcast> broadcasts_;
  std::vector<unsigned char> splats_;
  std::vector<ElementwiseStep> steps_;
  std::vector<int> stores_, last_use_;
  std::int64_t cost_ = 0;
  int slots_ = 0;
  ElementwisePlan plan_{};
};

}  // namespace kcore
