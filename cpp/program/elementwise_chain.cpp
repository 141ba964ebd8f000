#include "program/elementwise_chain.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "simd/parallel.h"

namespace kcore {
namespace {

constexpr std::int64_t kCacheBytes = 20 * 1024;  // of blocks that one pass keeps alive
// In units of an addition's cost, as much as reading or writing an element that is in a cache.
constexpr std::int64_t kSequentialCost = 3 * kParallelElements / 2;
constexpr std::int64_t kTaskCost = kParallelElements;
constexpr std::int64_t kBlocksOfTask = 16;  // at most

static_assert(static_cast<int>(ElementType::float64) == static_cast<int>(DType::float64) &&
                  static_cast<int>(ElementType::uint8) == static_cast<int>(DType::uint8),
              "ElementType and DType must agree");

int opcode_from_name(const std::string& name) {
  for (int i = 0; i < kOpcodeCount; ++i) {
    if (name == kOpcodes[i].name) return i;
  }
  throw InvalidProgram("unknown opcode '" + name + "'");
}

DType result_dtype(Opcode opcode, DType operand) {
  switch (opcode) {
    case Opcode::equal:
    case Opcode::not_equal:
    case Opcode::less:
    case Opcode::less_equal:
    case Opcode::greater:
    case Opcode::greater_equal:
    case Opcode::logical_and:
    case Opcode::logical_or:
    case Opcode::logical_xor:
    case Opcode::logical_not:
    case Opcode::isnan:
    case Opcode::isinf:
    case Opcode::isfinite:
    case Opcode::cast_bool:
      return DType::boolean;
    case Opcode::cast_uint8:
      return DType::uint8;
    case Opcode::cast_int32:
      return DType::int32;
    case Opcode::cast_int64:
      return DType::int64;
    case Opcode::cast_float32:
      return DType::float32;
    case Opcode::cast_float64:
      return DType::float64;
    default:
      return operand;
  }
}

// Merges the dimensions along which the input is spread in the same way.
Broadcast make_broadcast(const Operand& input, const Shape& shape) {
  const std::size_t missing = shape.size() - input.shape.size();
  Broadcast result;
  result.element_bytes = static_cast<std::int64_t>(dtype_bytes(input.dtype));
  std::vector<std::int64_t> extents, strides;  // innermost first
  std::int64_t stride = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    const std::int64_t extent = d >= missing ? input.shape[d - missing] : 1;
    if (shape[d] == 1) continue;
    const std::int64_t step = extent == 1 ? 0 : stride;
    const bool merges =
        !extents.empty() &&
        (step == 0 ? strides.back() == 0
                   : strides.back() != 0 && step == strides.back() * extents.back());
    if (merges) {
      extents.back() *= shape[d];
    } else {
      extents.push_back(shape[d]);
      strides.push_back(step);
    }
    stride *= extent;
  }
  bool repeated = false;
  if (!strides.empty() && strides.back() == 0) {
    extents.pop_back();
    strides.pop_back();
    repeated = true;
  }
  if (extents.empty()) {
    result.kind = Broadcast::Kind::scalar;
    return result;
  }
  if (repeated || extents.size() > 1) result.kind = Broadcast::Kind::strided;
  require(extents.size() <= Broadcast::kMaxRank,
          "shape " + to_string(input.shape) + " is spread in too many dimensions");
  result.rank = static_cast<int>(extents.size());
  result.period = 1;
  for (int d = 0; d < result.rank; ++d) {
    result.extents[d] = extents[extents.size() - 1 - static_cast<std::size_t>(d)];
    result.strides[d] = strides[extents.size() - 1 - static_cast<std::size_t>(d)];
    result.period *= result.extents[d];
  }
  return result;
}

// A whole number out of an integer type's range saturates.
template <class T>
void fill_splat(unsigned char* splat, double value) {
  T element;
  if constexpr (std::is_integral_v<T>) {
    constexpr T low = std::numeric_limits<T>::min(), high = std::numeric_limits<T>::max();
    element = !(value >= static_cast<double>(low)) ? low
              : value >= static_cast<double>(high) ? high
                                                   : static_cast<T>(value);
  } else {
    element = static_cast<T>(value);
  }
  for (std::int64_t i = 0; i < kSplatBytes; i += static_cast<std::int64_t>(sizeof(T))) {
    std::memcpy(splat + i, &element, sizeof(T));
  }
}

}  // namespace

ElementwiseChain::ElementwiseChain(const Operands& inputs, const Operands& outputs,
                                   const Attributes& attributes)
    : inputs_(inputs), outputs_(outputs) {
  require(!outputs.empty(), "needs an output");
  require(inputs.size() <= ElementwisePlan::kMaxOperands &&
              outputs.size() <= ElementwisePlan::kMaxOperands,
          "takes at most 256 inputs and outputs");
  const Shape& shape = outputs[0].shape;
  for (const Operand& output : outputs) {
    require(output.shape == shape,
            "outputs of shapes " + to_string(shape) + " and " + to_string(output.shape));
  }
  for (const Operand& input : inputs) add_input(input, shape);
  add_constants(attributes.reals("constants"), attributes.texts("constant_dtypes"));
  add_steps(attributes.texts("ops"), attributes.integers("args"));
  add_stores(attributes.integers("stores"));
  fuse_steps();
  assign_slots();
  make_plan();
}

void ElementwiseChain::add_input(const Operand& input, const Shape& shape) {
  bool fits = input.shape.size() <= shape.size();
  for (std::size_t d = 0; fits && d < input.shape.size(); ++d) {
    const std::int64_t wanted = shape[shape.size() - input.shape.size() + d];
    fits = input.shape[d] == wanted || input.shape[d] == 1;
  }
  require(fits, "an input of shape " + to_string(input.shape) +
                    " does not broadcast to the output's " + to_string(shape));
  broadcasts_.push_back(make_broadcast(input, shape));
  dtypes_.push_back(input.dtype);
}

void ElementwiseChain::add_constants(const std::vector<double>& values,
                                     const std::vector<std::string>& dtypes) {
  require(values.size() == dtypes.size(), std::to_string(values.size()) + " constants, but " +
                                              std::to_string(dtypes.size()) + " dtypes of them");
  splats_.resize(values.size() * kSplatBytes);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const DType dtype = dtype_from_name(dtypes[i]);
    unsigned char* splat = splats_.data() + i * kSplatBytes;
    switch (dtype) {
      case DType::boolean:
        fill_splat<std::uint8_t>(splat, values[i] != 0);
        break;
      case DType::uint8:
        fill_splat<std::uint8_t>(splat, values[i]);
        break;
      case DType::int32:
        fill_splat<std::int32_t>(splat, values[i]);
        break;
      case DType::int64:
        fill_splat<std::int64_t>(splat, values[i]);
        break;
      case DType::float32:
        fill_splat<float>(splat, values[i]);
        break;
      case DType::float64:
        fill_splat<double>(splat, values[i]);
        break;
    }
    dtypes_.push_back(dtype);
  }
}

void ElementwiseChain::add_steps(const std::vector<std::string>& ops,
                                 const std::vector<std::int64_t>& args) {
  require(args.size() == 3 * ops.size(), std::to_string(ops.size()) + " ops need " +
                                             std::to_string(3 * ops.size()) + " args, got " +
                                             std::to_string(args.size()));
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const int opcode = opcode_from_name(ops[i]);
    add_step(opcode, &args[3 * i]);
  }
}

int ElementwiseChain::add_step(int opcode, const std::int64_t* args) {
  const OpcodeInfo& info = kOpcodes[opcode];
  ElementwiseStep step{nullptr, {-1, -1, -1, -1}, 0, -1, 0};
  for (int k = 0; k < 3; ++k) {
    const bool wanted = k < info.arity;
    const bool valid = wanted ? args[k] >= 0 && args[k] < static_cast<std::int64_t>(dtypes_.size())
                              : args[k] == -1;
    require(valid, std::string(info.name) + ": argument " + std::to_string(k) + " is register " +
                       std::to_string(args[k]));
    step.args[k] = static_cast<int>(args[k]);
  }
  const bool chooses = static_cast<Opcode>(opcode) == Opcode::where;
  const DType operand = dtypes_[static_cast<std::size_t>(args[chooses ? 1 : 0])];
  if (chooses) {
    const DType condition = dtypes_[static_cast<std::size_t>(args[0])];
    require(condition == DType::boolean,
            std::string("where: the condition is ") + dtype_name(condition) + ", not bool");
  }
  for (int k = chooses ? 2 : 1; k < info.arity; ++k) {
    const DType other = dtypes_[static_cast<std::size_t>(args[k])];
    require(other == operand, std::string(info.name) + ": operands of dtypes " +
                                  dtype_name(operand) + " and " + dtype_name(other));
  }
  step.function = elementwise_kernels().function(static_cast<Opcode>(opcode),
                                                 static_cast<ElementType>(operand));
  require(step.function != nullptr,
          std::string(info.name) + " has no meaning for " + dtype_name(operand));
  dtypes_.push_back(result_dtype(static_cast<Opcode>(opcode), operand));
  step.width = static_cast<std::int64_t>(dtype_bytes(dtypes_.back()));
  steps_.push_back(step);
  kinds_.push_back({static_cast<Opcode>(opcode), static_cast<ElementType>(operand)});
  const bool is_double = operand == DType::float64;
  cost_ += info.cost * (is_double ? 3 : 1);
  return static_cast<int>(dtypes_.size()) - 1;
}

void ElementwiseChain::add_stores(const std::vector<std::int64_t>& stores) {
  require(stores.size() == outputs_.size(), std::to_string(outputs_.size()) + " outputs, but " +
                                                std::to_string(stores.size()) + " stores");
  const int sources = static_cast<int>(dtypes_.size() - steps_.size());
  for (std::size_t o = 0; o < stores.size(); ++o) {
    require(stores[o] >= 0 && stores[o] < static_cast<std::int64_t>(dtypes_.size()),
            "output " + std::to_string(o) + " stores register " + std::to_string(stores[o]));
    std::int64_t stored = stores[o];
    if (stored < sources) {
      const std::int64_t args[3] = {stored, -1, -1};
      stored = add_step(static_cast<int>(Opcode::identity), args);
    }
    const DType dtype = dtypes_[static_cast<std::size_t>(stored)];
    require(dtype == outputs_[o].dtype, "output " + std::to_string(o) + " is " +
                                            dtype_name(outputs_[o].dtype) +
                                            ", but the register it stores is " + dtype_name(dtype));
    const int step = static_cast<int>(stored) - sources;
    stores_.push_back(step);
    int& output = steps_[static_cast<std::size_t>(step)].output;
    if (output < 0) output = static_cast<int>(o);
  }
}

// Makes one step of two where the later one alone uses the result of the earlier one: its loop
// then keeps that result in registers.
void ElementwiseChain::fuse_steps() {
  const int sources = static_cast<int>(dtypes_.size() - steps_.size());
  std::vector<int> uses(dtypes_.size(), 0);
  for (const ElementwiseStep& step : steps_) {
    for (const int arg : step.args) {
      if (arg >= 0) ++uses[static_cast<std::size_t>(arg)];
    }
  }
  for (const int s : stores_) ++uses[static_cast<std::size_t>(sources + s)];
  std::vector<bool> whole(steps_.size(), false);  // two steps already, or part of one
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    const auto candidate = [&](int place) -> int {
      const int arg = steps_[s].args[place];
      if (arg < sources || uses[static_cast<std::size_t>(arg)] != 1) return -1;
      const int inner = arg - sources;
      const auto i = static_cast<std::size_t>(inner);
      return !whole[i] && kinds_[i].type == kinds_[s].type ? inner : -1;
    };
    const auto absorb = [&](int inner) {
      steps_[static_cast<std::size_t>(inner)].function = nullptr;
      whole[static_cast<std::size_t>(inner)] = whole[s] = true;
    };
    const Kind kind = kinds_[s];
    const int a = candidate(0), b = candidate(1);
    const auto multiplies = [&](int inner) {
      return inner >= 0 && kinds_[static_cast<std::size_t>(inner)].opcode == Opcode::multiply;
    };
    BlockFunction function = elementwise_kernels().sum_of_products(kind.opcode, kind.type);
    if (function != nullptr && multiplies(a) && multiplies(b)) {
      const ElementwiseStep& left = steps_[static_cast<std::size_t>(a)];
      const ElementwiseStep& right = steps_[static_cast<std::size_t>(b)];
      const int args[] = {left.args[0], left.args[1], right.args[0], right.args[1]};
      set_step(s, function, args);
      absorb(a);
      absorb(b);
      continue;
    }
    for (const int place : {0, 1}) {
      const int inner = place == 0 ? a : b;
      if (inner < 0) continue;
      const auto i = static_cast<std::size_t>(inner);
      function = elementwise_kernels().fused(kinds_[i].opcode, kind.opcode, place, kind.type);
      if (function == nullptr) continue;
      int args[ElementwiseStep::kMaxArgs] = {-1, -1, -1, -1}, count = 0;
      for (const int arg : steps_[i].args) {
        if (arg >= 0) args[count++] = arg;
      }
      for (int k = 0; k < 3; ++k) {
        if (k != place && steps_[s].args[k] >= 0) args[count++] = steps_[s].args[k];
      }
      set_step(s, function, args);
      absorb(inner);
      break;
    }
  }
}

void ElementwiseChain::set_step(std::size_t s, BlockFunction function, const int* args) {
  steps_[s].function = function;
  for (int k = 0; k < ElementwiseStep::kMaxArgs; ++k) steps_[s].args[k] = args[k];
}

// Gives each result a slot of scratch memory; a slot is free again after the last use, and a
// step may take over the slot of an argument of the same width that it is the last to read.
void ElementwiseChain::assign_slots() {
  const int sources = static_cast<int>(dtypes_.size() - steps_.size());
  const int count = static_cast<int>(steps_.size());
  std::vector<int> last(dtypes_.size(), -1);
  for (int s = 0; s < count; ++s) {
    const ElementwiseStep& step = steps_[static_cast<std::size_t>(s)];
    if (step.function == nullptr) continue;
    for (const int arg : step.args) {
      if (arg >= 0) last[static_cast<std::size_t>(arg)] = s;
    }
  }
  last_use_.assign(last.begin(), last.begin() + static_cast<std::ptrdiff_t>(inputs_.size()));
  for (const int s : stores_) last[static_cast<std::size_t>(sources + s)] = count;
  std::vector<int> free;
  const auto release = [&](int s, bool same_width) {
    const ElementwiseStep& step = steps_[static_cast<std::size_t>(s)];
    for (int k = 0; k < ElementwiseStep::kMaxArgs; ++k) {
      const int arg = step.args[k];
      if (arg < sources || last[static_cast<std::size_t>(arg)] != s) continue;
      if (std::find(step.args, step.args + k, arg) != step.args + k) continue;
      const ElementwiseStep& producer = steps_[static_cast<std::size_t>(arg - sources)];
      if ((producer.width == step.width) == same_width) free.push_back(producer.slot);
    }
  };
  for (int s = 0; s < count; ++s) {
    ElementwiseStep& step = steps_[static_cast<std::size_t>(s)];
    if (step.function == nullptr) continue;
    release(s, true);
    if (free.empty()) {
      step.slot = slots_++;
    } else {
      step.slot = free.back();
      free.pop_back();
    }
    release(s, false);
    if (last[static_cast<std::size_t>(sources + s)] < 0) free.push_back(step.slot);
  }
}

void ElementwiseChain::make_plan() {
  plan_.size = outputs_[0].size();
  plan_.width = 1;
  for (const DType dtype : dtypes_) {
    plan_.width = std::max(plan_.width, static_cast<std::int64_t>(dtype_bytes(dtype)));
  }
  const auto streams = static_cast<std::int64_t>(inputs_.size() + outputs_.size());
  const std::int64_t fitting = kCacheBytes / (plan_.width * (slots_ + streams));
  plan_.block = std::clamp<std::int64_t>(fitting / 64 * 64, 256, 2048);
  plan_.grain = grain(cost_ + streams);
  plan_.inputs = static_cast<int>(inputs_.size());
  plan_.outputs = static_cast<int>(outputs_.size());
  plan_.steps = static_cast<int>(steps_.size());
  plan_.constants = static_cast<int>(splats_.size() / kSplatBytes);
  plan_.slots = slots_;
  plan_.broadcasts = broadcasts_.data();
  plan_.last_use = last_use_.data();
  plan_.constant_splats = splats_.data();
  plan_.program = steps_.data();
  plan_.stores = stores_.data();
}

// Equal tasks, so that no thread of a few has one more than the others.
std::int64_t ElementwiseChain::grain(std::int64_t cost) const {
  const std::int64_t size = std::max<std::int64_t>(plan_.size, 1);
  if (size < kSequentialCost / cost) return size;
  const std::int64_t block = plan_.block;
  const std::int64_t longest = std::clamp(kTaskCost / cost, block, kBlocksOfTask * block);
  const std::int64_t tasks = (size + longest - 1) / longest, even = (size + tasks - 1) / tasks;
  return (even + block - 1) / block * block;
}

double ElementwiseChain::flops() const {
  return static_cast<double>(plan_.size) * static_cast<double>(steps_.size());
}

void ElementwiseChain::find(const Frame& frame, Addresses& addresses) const {
  const auto at = [&](const Operand& x) { return x.slot < 0 ? nullptr : frame.slots[x.slot]; };
  std::transform(inputs_.begin(), inputs_.end(), addresses.inputs, at);
  std::transform(outputs_.begin(), outputs_.end(), addresses.outputs, at);
}

std::map<std::string, int> elementwise_opcodes() {
  std::map<std::string, int> result;
  for (const OpcodeInfo& info : kOpcodes) result[info.name] = info.arity;
  return result;
}

}  // namespace kcore
