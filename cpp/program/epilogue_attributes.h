// The attributes by which an instruction is told its epilogue.
#pragma once

#include "kernels/epilogue.h"
#include "program/instruction.h"

namespace kcore {

inline Activation activation_from_name(const std::string& name) {
  if (name == "none") return Activation::none;
  if (name == "relu") return Activation::relu;
  if (name == "sigmoid") return Activation::sigmoid;
  if (name == "tanh") return Activation::tanh;
  if (name == "softplus") return Activation::softplus;
  throw InvalidProgram("there is no activation '" + name + "'");
}

}  // namespace kcore
