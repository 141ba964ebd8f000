// Instruction sets: which ones this binary holds, which one this processor runs.
#pragma once

#include <string>
#include <vector>

namespace kcore {

enum class Isa { baseline, avx2, avx512 };

// The instruction set that every kernel table is taken from. Chosen at the first call, from the
// processor and from the environment variable KCORE_ISA, and never changed afterwards.
// Throws std::invalid_argument if KCORE_ISA names a set that is unknown or that cannot run here.
Isa active_isa();

const char* isa_name(Isa isa);

// The sets that are compiled in and that this processor runs, lowest first.
std::vector<Isa> supported_isas();

}  // namespace kcore
