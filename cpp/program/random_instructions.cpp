// random_uniform (`minval`, `maxval`), random_normal and random_truncated_normal (`mean`,
// `stddev`), random_bernoulli (`p`), random_permutation: one output, no input. The numbers are a
// function of the frame's seed and step and of the attribute `key`.
#include <cmath>
#include <limits>

#include "kernels/random.h"
#include "program/instruction.h"

namespace kcore {
namespace {

static_assert(static_cast<int>(ElementType::float64) == static_cast<int>(DType::float64),
              "ElementType and DType must agree");

// The finaliser of SplitMix64: every bit of the argument reaches every bit of the result.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

bool is_float(DType dtype) { return dtype == DType::float32 || dtype == DType::float64; }

class Random : public Instruction {
 public:
  Random(const Operand& out, const Attributes& attributes)
      : out_(out),
        count_(out.size()),
        key_(static_cast<std::uint64_t>(attributes.integer("key"))) {}

 protected:
  ElementType type() const { return static_cast<ElementType>(out_.dtype); }
  RandomStream stream(const Frame& frame) const {
    return {mix(frame.seed + mix(key_)), frame.step};
  }

  void require_float() const {
    require(is_float(out_.dtype),
            std::string("the output must be of floats, got ") + dtype_name(out_.dtype));
  }

  static double finite(const Attributes& attributes, const char* name) {
    const double value = attributes.real(name);
    require(std::isfinite(value), std::string(name) + " must be finite");
    return value;
  }

  Operand out_;
  std::int64_t count_;

 private:
  std::uint64_t key_;
};

class Uniform final : public Random {
 public:
  Uniform(const Operand& out, const Attributes& attributes) : Random(out, attributes) {
    require_float();
    low_ = finite(attributes, "minval");
    high_ = finite(attributes, "maxval");
    const double limit = out.dtype == DType::float32
                             ? static_cast<double>(std::numeric_limits<float>::max())
                             : std::numeric_limits<double>::max();
    require(low_ < high_ && std::abs(low_) <= limit / 2 && std::abs(high_) <= limit / 2,
            "minval " + std::to_string(low_) + " must be below maxval " + std::to_string(high_) +
                ", and both within half of the type's range");
  }
  void run(const Frame& frame) const override {
    random_kernels().uniform(type(), frame.data<void>(out_), count_, low_, high_, stream(frame));
  }

 private:
  double low_, high_;
};

template <class T>
bool holds(std::int64_t low, std::int64_t last) {
  return low >= static_cast<std::int64_t>(std::numeric_limits<T>::min()) &&
         last <= static_cast<std::int64_t>(std::numeric_limits<T>::max());
}

class UniformInteger final : public Random {
 public:
  UniformInteger(const Operand& out, const Attributes& attributes) : Random(out, attributes) {
    low_ = attributes.integer("minval");
    high_ = attributes.integer("maxval");
    require(low_ < high_,
            "minval " + std::to_string(low_) + " must be below maxval " + std::to_string(high_));
    const bool fits = out.dtype == DType::uint8   ? holds<std::uint8_t>(low_, high_ - 1)
                      : out.dtype == DType::int32 ? holds<std::int32_t>(low_, high_ - 1)
                                                  : out.dtype == DType::int64;
    require(fits, std::string(dtype_name(out.dtype)) + " cannot hold the numbers from " +
                      std::to_string(low_) + " to " + std::to_string(high_ - 1));
  }
  void run(const Frame& frame) const override {
    random_kernels().uniform_integer(type(), frame.data<void>(out_), count_, low_, high_,
                                     stream(frame));
  }

 private:
  std::int64_t low_, high_;
};

class Normal final : public Random {
 public:
  Normal(bool truncated, const Operand& out, const Attributes& attributes)
      : Random(out, attributes), truncated_(truncated) {
    require_float();
    mean_ = finite(attributes, "mean");
    deviation_ = finite(attributes, "stddev");
    require(deviation_ >= 0, "stddev must not be negative, got " + std::to_string(deviation_));
  }
  void run(const Frame& frame) const override {
    const RandomKernels& kernels = random_kernels();
    (truncated_ ? kernels.truncated_normal : kernels.normal)(type(), frame.data<void>(out_), count_,
                                                             mean_, deviation_, stream(frame));
  }

 private:
  bool truncated_;
  double mean_, deviation_;
};

class Bernoulli final : public Random {
 public:
  Bernoulli(const Operand& out, const Attributes& attributes)
      : Random(out, attributes), p_(attributes.real("p")) {
    require(p_ >= 0 && p_ <= 1, "p must lie in [0, 1], got " + std::to_string(p_));
  }
  void run(const Frame& frame) const override {
    random_kernels().bernoulli(type(), frame.data<void>(out_), count_, p_, stream(frame));
  }

 private:
  double p_;
};

class Permutation final : public Random {
 public:
  Permutation(const Operand& out, const Attributes& attributes) : Random(out, attributes) {
    require(out.rank() == 1 && (out.dtype == DType::int32 || out.dtype == DType::int64),
            std::string("the output must be a vector of int32 or int64, got ") +
                dtype_name(out.dtype) + " " + to_string(out.shape));
    require(out.dtype == DType::int64 || count_ <= std::numeric_limits<std::int32_t>::max(),
            "int32 cannot hold the numbers up to " + std::to_string(count_));
  }
  void run(const Frame& frame) const override {
    random_kernels().permutation(type(), frame.data<void>(out_), count_, stream(frame));
  }
};

void require_one_output(const Operands& inputs, const Operands& outputs) {
  require(inputs.empty() && outputs.size() == 1, "takes no input and has one output");
}

std::unique_ptr<Instruction> make_uniform(const Operands& inputs, const Operands& outputs,
                                          const Attributes& attributes) {
  require_one_output(inputs, outputs);
  if (is_float(outputs[0].dtype)) return std::make_unique<Uniform>(outputs[0], attributes);
  return std::make_unique<UniformInteger>(outputs[0], attributes);
}

template <bool truncated>
std::unique_ptr<Instruction> make_normal(const Operands& inputs, const Operands& outputs,
                                         const Attributes& attributes) {
  require_one_output(inputs, outputs);
  return std::make_unique<Normal>(truncated, outputs[0], attributes);
}

template <class Made>
std::unique_ptr<Instruction> make(const Operands& inputs, const Operands& outputs,
                                  const Attributes& attributes) {
  require_one_output(inputs, outputs);
  return std::make_unique<Made>(outputs[0], attributes);
}

const RegisterInstruction uniform("random_uniform", make_uniform);
const RegisterInstruction normal("random_normal", make_normal<false>);
const RegisterInstruction truncated_normal("random_truncated_normal", make_normal<true>);
const RegisterInstruction bernoulli("random_bernoulli", make<Bernoulli>);
const RegisterInstruction permutation("random_permutation", make<Permutation>);

}  // namespace
}  // namespace kcore
