// The opcodes of the instruction `elementwise`.
#pragma once

#include <map>
#include <string>

namespace kcore {

// The number of arguments of each opcode.
std::map<std::string, int> elementwise_opcodes();

}  // namespace kcore
