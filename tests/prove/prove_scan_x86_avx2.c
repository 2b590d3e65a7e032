// Harnesses for scan_x86_avx2.c.
#include <immintrin.h>

#include "kernels/scan_x86_avx2.c"

#define KERNEL(name) avx2_##name
#include "scan_x86_avx2.contracts.h"
#include "prove_scan_kernels.h"

// What is made of registers says nothing of where bytes are: it may be
// anything.
m128 model_mm_unpackhi_epi64(m128 a, m128 b) ENSURES(true) ASSIGNS();
long long model_mm_cvtsi128_si64(m128 a) ENSURES(true) ASSIGNS();
m256 model_mm256_cmpeq_epi64(m256 a, m256 b) ENSURES(true) ASSIGNS();
m256 model_mm256_permute4x64_epi64(m256 a, int order) ENSURES(true) ASSIGNS();
m256 model_mm256_set1_epi64x(long long a) ENSURES(true) ASSIGNS();
m256 model_mm256_shuffle_epi32(m256 a, int order) ENSURES(true) ASSIGNS();
