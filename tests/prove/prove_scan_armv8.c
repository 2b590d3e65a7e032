// Harnesses for scan_armv8.c.
#include "toolchain.h"

// CBMC takes the code for that of x86-64; the order of its bytes is the same.
#undef PV_AARCH64
#define PV_AARCH64 1

#include <arm_neon.h>

#include "kernels/scan_armv8.c"

#define KERNEL(name) neon_##name
#include "scan_armv8.contracts.h"
#include "prove_scan_kernels.h"

// What is made of registers says nothing of where bytes are: it may be
// anything.
m64x2 model_vandq_u64(m64x2 a, m64x2 b) ENSURES(true) ASSIGNS();
m64x2 model_vceqq_u64(m64x2 a, m64x2 b) ENSURES(true) ASSIGNS();
m64x2 model_vdupq_n_u64(uint64_t a) ENSURES(true) ASSIGNS();
m64x2 model_vextq_u64(m64x2 a, m64x2 b, int first) ENSURES(true) ASSIGNS();
m64x2 model_vorrq_u64(m64x2 a, m64x2 b) ENSURES(true) ASSIGNS();
uint64_t model_vgetq_lane_u64(m64x2 a, int lane) ENSURES(true) ASSIGNS();

#if defined(ANY_NUMBER)
void prove_neon_scan_two_pins(void) {
  uint64x2_t *found;
  const uint8_t *pins;
  uint64x2_t(*wanted)[4];
  size_t num_digests;
  neon_scan_two_pins(found, pins, wanted, num_digests);
  REACHED(num_digests == 1);
  REACHED(num_digests == 4);
}
#endif
