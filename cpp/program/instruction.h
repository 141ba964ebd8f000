// What a program is made of: operands, attributes, instructions, and the registry that makes an
// instruction from its name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "simd/scratch.h"

namespace kcore {

enum class DType : std::uint8_t { boolean, uint8, int32, int64, float32, float64 };

std::size_t dtype_bytes(DType dtype);
const char* dtype_name(DType dtype);
DType dtype_from_name(const std::string& name);  // throws InvalidProgram

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<bool>() {
  return DType::boolean;
}
template <>
constexpr DType dtype_of<std::uint8_t>() {
  return DType::uint8;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::int32;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::int64;
}
template <>
constexpr DType dtype_of<float>() {
  return DType::float32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::float64;
}

// A program that cannot run: raised while it is built, as ValueError in Python.
struct InvalidProgram : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

using Shape = std::vector<std::int64_t>;

std::string to_string(const Shape& shape);

// A dense row-major tensor: the slot of the frame that holds its address, and what lies there.
struct Operand {
  int slot = -1;
  DType dtype = DType::float32;
  Shape shape;

  std::int64_t size() const;
  std::int64_t rank() const { return static_cast<std::int64_t>(shape.size()); }
  std::int64_t bytes() const { return size() * static_cast<std::int64_t>(dtype_bytes(dtype)); }
};

class Program;

// The named parameters of an instruction. Each getter throws InvalidProgram if the attribute is
// absent (and no fallback is given) or of another type.
class Attributes {
 public:
  using Value =
      std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>,
                   std::vector<double>, std::vector<std::string>, std::shared_ptr<const Program>>;

  void set(const std::string& name, Value value) { values_[name] = std::move(value); }
  bool has(const std::string& name) const { return values_.count(name) != 0; }

  std::int64_t integer(const std::string& name) const;
  std::int64_t integer(const std::string& name, std::int64_t fallback) const;
  bool flag(const std::string& name) const { return integer(name, 0) != 0; }
  double real(const std::string& name) const;
  double real(const std::string& name, double fallback) const;
  std::string text(const std::string& name) const;
  std::string text(const std::string& name, const std::string& fallback) const;
  std::vector<std::int64_t> integers(const std::string& name) const;
  std::vector<double> reals(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  std::shared_ptr<const Program> program(const std::string& name) const;
  std::vector<const Program*> programs() const;  // all of them

 private:
  std::map<std::string, Value> values_;
};

// The state of one run: where every slot's data is, scratch memory, and the random stream.
struct Frame {
  void* const* slots = nullptr;
  std::byte* workspace = nullptr;  // workspace_bytes() of the largest instruction, 64-byte aligned
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  const std::byte* prepared = nullptr;  // what prepare() made, or null if it hasn't been called

  template <class T>
  T* data(const Operand& operand) const {
    return static_cast<T*>(slots[operand.slot]);
  }
};

// One call of a kernel. Whatever can be checked or prepared is done by the constructor, from
// shapes and attributes alone; run() only reads slots and calls kernels, and must not throw.
class Instruction {
 public:
  virtual ~Instruction() = default;
  virtual void run(const Frame& frame) const = 0;
  // Memory of the run that run() needs; its content is undefined at the start.
  virtual std::int64_t workspace_bytes() const { return 0; }
  // What its kernels take of their threads' scratch memory, with as many threads as there are now.
  virtual ScratchNeed scratch() const { return {}; }
  // Whether an output may be the very memory of that input, of as many elements of the same width.
  virtual bool in_place(std::size_t /*input*/) const { return false; }
  // The program that run() runs in its turn, or null.
  virtual const Program* body() const { return nullptr; }

  // An operand that prepare() copies into the form that run() reads best. A program keeps the copy
  // where the operand stays the same from run to run.
  struct Preparable {
    int slot = -1;
    std::int64_t bytes = 0;
  };
  virtual Preparable preparable() const { return {}; }
  virtual void prepare(const Frame&, std::byte*) const {}

  // Floating-point operations, for the profile.
  virtual double flops() const { return 0; }
};

using Operands = std::vector<Operand>;
using MakeInstruction = std::unique_ptr<Instruction> (*)(const Operands& inputs,
                                                         const Operands& outputs,
                                                         const Attributes& attributes);

// `static const RegisterInstruction matmul("matmul", make_matmul);` in the family's source file.
struct RegisterInstruction {
  RegisterInstruction(const char* name, MakeInstruction make);
};

// Throws InvalidProgram, naming the instruction, if the name, operands or attributes are wrong.
std::unique_ptr<Instruction> make_instruction(const std::string& name, const Operands& inputs,
                                              const Operands& outputs,
                                              const Attributes& attributes);

std::vector<std::string> instruction_names();

// Throws InvalidProgram with the message unless the condition holds.
void require(bool condition, const std::string& message);

}  // namespace kcore
