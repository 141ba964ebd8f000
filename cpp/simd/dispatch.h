// One table of function pointers a kernel family; each instruction set defines its own copy.
//
// A family's header declares a struct of function pointers and names it once:
//
//     struct PoolingKernels { void (*max_pool)(...); };
//     KCORE_KERNEL_TABLE(PoolingKernels, pooling)
//
// Its source is compiled once an instruction set, with KCORE_ISA_NAMESPACE set, and defines
//
//     namespace kcore::KCORE_ISA_NAMESPACE {
//     const PoolingKernels pooling_table = {...};
//     }
//
// Callers write pooling_kernels().max_pool(...).
#pragma once

#include "simd/isa.h"

#ifdef KCORE_X86
#define KCORE_KERNEL_TABLE(Table, family)  \
  namespace avx512 {                       \
  extern const Table family##_table;       \
  }                                        \
  namespace avx2 {                         \
  extern const Table family##_table;       \
  }                                        \
  namespace baseline {                     \
  extern const Table family##_table;       \
  }                                        \
  inline const Table& family##_kernels() { \
    switch (active_isa()) {                \
      case Isa::avx512:                    \
        return avx512::family##_table;     \
      case Isa::avx2:                      \
        return avx2::family##_table;       \
      default:                             \
        return baseline::family##_table;   \
    }                                      \
  }
#else
#define KCORE_KERNEL_TABLE(Table, family) \
  namespace baseline {                    \
  extern const Table family##_table;      \
  }                                       \
  inline const Table& family##_kernels() { return baseline::family##_table; }
#endif
