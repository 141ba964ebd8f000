// Straight-line expressions over broadcast inputs, evaluated block by block: every step is a loop
// over a block that stays in the first-level cache.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"
#include "simd/dispatch.h"
#include "simd/scratch.h"

namespace kcore {

// name, arguments, cost of an element relative to an addition
// clang-format off
#define KCORE_ELEMENTWISE_OPCODES(OP) \
  OP(add, 2, 1) OP(subtract, 2, 1) OP(multiply, 2, 1) OP(divide, 2, 3) OP(floor_divide, 2, 30) \
  OP(mod, 2, 20) OP(power, 2, 20) OP(maximum, 2, 1) OP(minimum, 2, 1) OP(negative, 1, 1) \
  OP(abs, 1, 1) OP(sign, 1, 1) OP(exp, 1, 8) OP(expm1, 1, 8) OP(log, 1, 10) OP(log1p, 1, 14) \
  OP(log2, 1, 12) OP(log10, 1, 12) OP(sqrt, 1, 4) OP(rsqrt, 1, 6) OP(square, 1, 1) \
  OP(reciprocal, 1, 3) OP(sin, 1, 10) OP(cos, 1, 10) OP(tan, 1, 16) OP(arcsin, 1, 12) \
  OP(arccos, 1, 12) OP(arctan, 1, 12) OP(arctan2, 2, 20) OP(sinh, 1, 20) OP(cosh, 1, 12) \
  OP(tanh, 1, 12) OP(arcsinh, 1, 30) OP(arccosh, 1, 30) OP(arctanh, 1, 24) OP(erf, 1, 12) \
  OP(erfinv, 1, 24) OP(sigmoid, 1, 12) OP(softplus, 1, 24) OP(relu, 1, 1) OP(lgamma, 1, 100) \
  OP(digamma, 1, 100) OP(floor, 1, 1) OP(ceil, 1, 1) OP(round, 1, 1) OP(trunc, 1, 1) \
  OP(equal, 2, 1) OP(not_equal, 2, 1) OP(less, 2, 1) OP(less_equal, 2, 1) OP(greater, 2, 1) \
  OP(greater_equal, 2, 1) OP(logical_and, 2, 1) OP(logical_or, 2, 1) OP(logical_xor, 2, 1) \
  OP(logical_not, 1, 1) OP(where, 3, 1) OP(isnan, 1, 1) OP(isinf, 1, 1) OP(isfinite, 1, 1) \
  OP(bitwise_and, 2, 1) OP(bitwise_or, 2, 1) OP(bitwise_xor, 2, 1) OP(bitwise_not, 1, 1) \
  OP(left_shift, 2, 1) OP(right_shift, 2, 1) OP(cast_bool, 1, 1) OP(cast_uint8, 1, 1) \
  OP(cast_int32, 1, 1) OP(cast_int64, 1, 1) OP(cast_float32, 1, 1) OP(cast_float64, 1, 1) \
  OP(identity, 1, 1)
// clang-format on

enum class Opcode {
#define KCORE_OPCODE(name, arity, cost) name,
  KCORE_ELEMENTWISE_OPCODES(KCORE_OPCODE)
#undef KCORE_OPCODE
};

struct OpcodeInfo {
  const char* name;
  int arity;
  int cost;
};

constexpr OpcodeInfo kOpcodes[] = {
#define KCORE_OPCODE(name, arity, cost) {#name, arity, cost},
    KCORE_ELEMENTWISE_OPCODES(KCORE_OPCODE)
#undef KCORE_OPCODE
};

constexpr int kOpcodeCount = sizeof(kOpcodes) / sizeof(kOpcodes[0]);

// The elements of a block: consecutive (step 1), or one value repeated (step 0), in which case a
// whole vector (kSplatBytes) of it lies at `data`.
struct BlockSource {
  const void* data;
  std::int64_t step;
  bool ahead = false;  // ask for what follows: it is too much for the caches
};

constexpr std::int64_t kSplatBytes = 64;

// y[i] = op(x[0][i], x[1][i], ...) for i in [0, count); y may be the memory of a source of elements
// of the same width.
using BlockFunction = void (*)(void* y, const BlockSource* x, std::int64_t count);

// How an input of fewer elements is spread over the result: `rank` extents of the result, outermost
// first, adjacent ones merged, with the input's strides in elements (0 where it is repeated).
struct Broadcast {
  enum class Kind { full, scalar, strided };
  static constexpr int kMaxRank = 16;

  Kind kind = Kind::full;
  int rank = 0;
  std::int64_t element_bytes = 0;
  std::int64_t period = 0;  // the input repeats after so many elements of the result
  std::int64_t extents[kMaxRank] = {};
  std::int64_t strides[kMaxRank] = {};
};

struct ElementwiseStep {
  static constexpr int kMaxArgs = 4;

  BlockFunction function;  // null if the step has become part of a later one
  int args[kMaxArgs];      // registers, -1 where there is none
  int slot;                // the block of scratch memory that holds the result
  int output;              // the first output that stores it, or -1
  std::int64_t width;      // bytes of an element of the result
};

struct ElementwisePlan {
  static constexpr int kMaxOperands = 256;  // inputs, and outputs

  std::int64_t size;   // elements of each output
  std::int64_t block;  // elements that a step handles at once, a multiple of 64
  std::int64_t grain;  // elements of a task, a multiple of block
  std::int64_t width;  // bytes of the widest element
  int inputs, constants, steps, outputs, slots;
  const Broadcast* broadcasts;           // of each input
  const int* last_use;                   // of each input: the last step that reads it, or -1
  const unsigned char* constant_splats;  // kSplatBytes of each constant
  const ElementwiseStep* program;
  const int* stores;  // of each output: the step that it stores
};

// A rectangle of the result, seen as rows of `stride` elements: those from `first` on, `rows` times
// `cols`.
struct ElementwisePart {
  std::int64_t first, rows, cols, stride;
  int local;  // the input of which these elements alone are given, one row behind the other
};

struct ElementwiseKernels {
  // The loop of an opcode for operands of that type (of `where`: of its second and third operand);
  // null if the opcode has no meaning for it.
  BlockFunction (*function)(Opcode opcode, ElementType type);
  // The loop of outer(.., inner(..), ..), inner being outer's argument `place`: its arguments are
  // those of inner, then the others of outer. Null if there is none.
  BlockFunction (*fused)(Opcode inner, Opcode outer, int place, ElementType type);
  // The loop of a * b + c * d, or of a * b - c * d; null if there is none.
  BlockFunction (*sum_of_products)(Opcode outer, ElementType type);
  // An output may be the very memory of an input of kind `full` with elements of the same width.
  void (*evaluate)(const ElementwisePlan& plan, const void* const* inputs, void* const* outputs);
  // A part of it, on this thread.
  void (*evaluate_part)(const ElementwisePlan& plan, const void* const* inputs,
                        void* const* outputs, const ElementwisePart& part);
  ScratchNeed (*scratch)(const ElementwisePlan& plan);
};
KCORE_KERNEL_TABLE(ElementwiseKernels, elementwise)

}  // namespace kcore
