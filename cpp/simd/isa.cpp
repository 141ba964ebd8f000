#include "simd/isa.h"

#include <cstdlib>
#include <stdexcept>

namespace kcore {

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    default:
      return "baseline";
  }
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas = {Isa::baseline};
#ifdef KCORE_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    isas.push_back(Isa::avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      isas.push_back(Isa::avx512);
    }
  }
#endif
  return isas;
}

static Isa choose_isa() {
  const std::vector<Isa> isas = supported_isas();
  const char* wanted = std::getenv("KCORE_ISA");
  if (wanted == nullptr || *wanted == '\0') return isas.back();
  std::string names;
  for (const Isa isa : isas) {
    if (std::string(wanted) == isa_name(isa)) return isa;
    names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  throw std::invalid_argument("KCORE_ISA=" + std::string(wanted) +
                              " is not an instruction set that runs here; choose one of: " + names);
}

Isa active_isa() {
  static const Isa isa = choose_isa();
  return isa;
}

}  // namespace kcore
