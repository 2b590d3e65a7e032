// Harnesses for scan_portable.c.
#include "kernels/scan_portable.c"

#define KERNEL(name) portable_##name
#include "scan_portable.contracts.h"
#include "prove_scan_kernels.h"
