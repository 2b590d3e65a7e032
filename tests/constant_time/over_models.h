// over_models.h: included before scan_x86_avx512.c in a program for a checker.
// valgrind knows no AVX-512, and MSan takes VPTERNLOG for a use of its operands.
// So the file is compiled over the models of its intrinsics, immintrin.h of
// tests/prove, which are plain C, and the kernel runs on every machine.
#include "kernels.h"
#include "kernels/siphash.h"

#undef PV_TARGET_BEGIN
#undef PV_TARGET_END
#define PV_TARGET_BEGIN(isa)
#define PV_TARGET_END

#define CPU_AVX512 CPU_ANY
#define pv__hash_ends_avx512 pv__hash_ends_portable
