// Harnesses for scan_portable.c.
#include "scan_portable.c"
#include "scans.h"
#include "scan_portable.contracts.h"
