#include "program/instruction.h"

namespace kcore {

namespace {

struct DTypeInfo {
  DType dtype;
  const char* name;
  std::size_t bytes;
};

constexpr DTypeInfo kDTypes[] = {
    {DType::boolean, "bool", 1}, {DType::uint8, "uint8", 1},     {DType::int32, "int32", 4},
    {DType::int64, "int64", 8},  {DType::float32, "float32", 4}, {DType::float64, "float64", 8},
};

using Registry = std::map<std::string, MakeInstruction>;

Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

std::size_t dtype_bytes(DType dtype) { return kDTypes[static_cast<int>(dtype)].bytes; }

const char* dtype_name(DType dtype) { return kDTypes[static_cast<int>(dtype)].name; }

DType dtype_from_name(const std::string& name) {
  for (const DTypeInfo& info : kDTypes) {
    if (name == info.name) return info.dtype;
  }
  throw InvalidProgram("unknown dtype '" + name + "'");
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::int64_t Operand::size() const {
  std::int64_t n = 1;
  for (const std::int64_t extent : shape) n *= extent;
  return n;
}

void require(bool condition, const std::string& message) {
  if (!condition) throw InvalidProgram(message);
}

namespace {

template <class T>
const T& get(const std::map<std::string, Attributes::Value>& values, const std::string& name,
             const char* type) {
  const auto found = values.find(name);
  require(found != values.end(), "attribute '" + name + "' is missing");
  const T* value = std::get_if<T>(&found->second);
  require(value != nullptr, "attribute '" + name + "' must be " + type);
  return *value;
}

// An empty list has no element to tell its type by; it is stored as a list of integers.
bool is_empty_list(const std::map<std::string, Attributes::Value>& values,
                   const std::string& name) {
  const auto found = values.find(name);
  if (found == values.end()) return false;
  const auto* list = std::get_if<std::vector<std::int64_t>>(&found->second);
  return list != nullptr && list->empty();
}

}  // namespace

std::int64_t Attributes::integer(const std::string& name) const {
  return get<std::int64_t>(values_, name, "an integer");
}

std::int64_t Attributes::integer(const std::string& name, std::int64_t fallback) const {
  return has(name) ? integer(name) : fallback;
}

double Attributes::real(const std::string& name) const {
  const auto found = values_.find(name);
  if (found != values_.end()) {
    if (const auto* whole = std::get_if<std::int64_t>(&found->second)) {
      return static_cast<double>(*whole);
    }
  }
  return get<double>(values_, name, "a number");
}

double Attributes::real(const std::string& name, double fallback) const {
  return has(name) ? real(name) : fallback;
}

std::string Attributes::text(const std::string& name) const {
  return get<std::string>(values_, name, "a string");
}

std::string Attributes::text(const std::string& name, const std::string& fallback) const {
  return has(name) ? text(name) : fallback;
}

std::vector<std::int64_t> Attributes::integers(const std::string& name) const {
  return get<std::vector<std::int64_t>>(values_, name, "a list of integers");
}

std::vector<double> Attributes::reals(const std::string& name) const {
  if (is_empty_list(values_, name)) return {};
  return get<std::vector<double>>(values_, name, "a list of floats");
}

std::vector<std::string> Attributes::texts(const std::string& name) const {
  if (is_empty_list(values_, name)) return {};
  return get<std::vector<std::string>>(values_, name, "a list of strings");
}

std::shared_ptr<const Program> Attributes::program(const std::string& name) const {
  return get<std::shared_ptr<const Program>>(values_, name, "a program");
}

std::vector<const Program*> Attributes::programs() const {
  std::vector<const Program*> programs;
  for (const auto& [name, value] : values_) {
    if (const auto* program = std::get_if<std::shared_ptr<const Program>>(&value)) {
      programs.push_back(program->get());
    }
  }
  return programs;
}

RegisterInstruction::RegisterInstruction(const char* name, MakeInstruction make) {
  registry()[name] = make;
}

std::unique_ptr<Instruction> make_instruction(const std::string& name, const Operands& inputs,
                                              const Operands& outputs,
                                              const Attributes& attributes) {
  const auto found = registry().find(name);
  require(found != registry().end(), "unknown instruction '" + name + "'");
  try {
    return found->second(inputs, outputs, attributes);
  } catch (const InvalidProgram& error) {
    throw InvalidProgram(name + ": " + error.what());
  }
}

std::vector<std::string> instruction_names() {
  std::vector<std::string> names;
  for (const auto& entry : registry()) names.push_back(entry.first);
  return names;
}

}  // namespace kcore
