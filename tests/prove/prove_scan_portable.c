// Harnesses for scan_portable.c.
#include "kernels/scan_portable.c"

#define KERNEL(name) portable_##name
#include "scan_portable.contracts.h"
#include "scans.h"
