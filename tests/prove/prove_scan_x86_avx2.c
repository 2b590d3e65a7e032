// Harnesses for scan_x86_avx2.c.
#include <immintrin.h>

#include "scan_x86_avx2.c"
#include "scans.h"
