// no_barrier.h: included before each file of the MSan build. MSan takes an
// empty asm statement for a use of its operand, so ct_barrier alone would be a
// finding. This removes it, and no `asm volatile` (cpu.c has one). What the
// optimiser then does to the masks is this build's own: the traces look at the
// builds that have the barrier.
#include <immintrin.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define __asm__(...)
