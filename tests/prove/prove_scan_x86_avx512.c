// Harnesses for scan_x86_avx512.c.
#include <immintrin.h>

#include "scan_x86_avx512.c"
#include "scans.h"
