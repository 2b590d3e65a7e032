// Harnesses for scan_x86_avx512.c.
#include <immintrin.h>

#include "kernels/scan_x86_avx512.c"

#define KERNEL(name) avx512_##name
#include "scan_x86_avx512.contracts.h"
#include "prove_scan_kernels.h"

// What is made of registers says nothing of where bytes are: it may be
// anything.
uint8_t model_mm256_cmpneq_epi64_mask(m256 a, m256 b) ENSURES(true) ASSIGNS();
uint8_t model_mm512_cmpeq_epi64_mask(m512 a, m512 b) ENSURES(true) ASSIGNS();
m512 model_mm512_min_epu64(m512 a, m512 b) ENSURES(true) ASSIGNS();
m512 model_mm512_set1_epi64(long long a) ENSURES(true) ASSIGNS();
m512 model_mm512_ternarylogic_epi64(m512 a, m512 b, m512 c, int table)
    ENSURES(true) ASSIGNS();
