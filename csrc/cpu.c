// cpu.c: finds the instruction sets of this machine and the kernels of a table
// that can run on it, and remembers the kernel in use.
#include "kernels.h"

#if PV_X86_64
#include <cpuid.h>

enum {
  LEAF1_ECX_SSSE3 = 1 << 9,
  LEAF1_ECX_SSE41 = 1 << 19,
  LEAF1_ECX_OSXSAVE = 1 << 27,
  LEAF7_EBX_BMI1 = 1 << 3,
  LEAF7_EBX_AVX2 = 1 << 5,
  LEAF7_EBX_BMI2 = 1 << 8,
  LEAF7_EBX_AVX512F = 1 << 16,
  LEAF7_EBX_SHA = 1 << 29,
  LEAF7_EBX_AVX512BW = 1 << 30,
  XCR0_AVX = 0x06,     // xmm and ymm
  XCR0_AVX512 = 0xe6,  // those, the mask registers and all of zmm0 to 31
  INTEL_EBX = 0x756e6547  // "Genu", of "GenuineIntel"
};

static const uint32_t leaf7_ebx_avx512vl = 1u << 31;  // too large for an enum

// XGETBV returns the registers that the system saves on a task switch. No
// instruction may be used whose registers are not saved (Intel SDM 1, 14.3).
static uint32_t enabled_registers(uint32_t leaf1_ecx) {
  uint32_t eax = 0;
  uint32_t edx = 0;
  if ((leaf1_ecx & LEAF1_ECX_OSXSAVE) != 0) {
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  }
  return eax;
}

static bool has_all(uint32_t bits, uint32_t wanted) {
  return (bits & wanted) == wanted;
}

uint32_t pv__cpu_features(void) {
  uint32_t eax = 0;
  uint32_t ebx0 = 0;
  uint32_t ebx1 = 0;
  uint32_t ecx1 = 0;
  uint32_t ebx7 = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
  if (!__get_cpuid(0, &eax, &ebx0, &ecx, &edx) ||
      !__get_cpuid(1, &eax, &ebx1, &ecx1, &edx) ||
      !__get_cpuid_count(7, 0, &eax, &ebx7, &ecx, &edx)) {
    return CPU_ANY;
  }
  const uint32_t registers = enabled_registers(ecx1);
  const uint32_t avx2 = LEAF7_EBX_AVX2 | LEAF7_EBX_BMI1 | LEAF7_EBX_BMI2;
  const bool has_avx2 = has_all(registers, XCR0_AVX) && has_all(ebx7, avx2);
  const uint32_t avx512 =
      LEAF7_EBX_AVX512F | LEAF7_EBX_AVX512BW | leaf7_ebx_avx512vl;
  uint32_t features = CPU_ANY;
  if (has_all(ecx1, LEAF1_ECX_SSSE3 | LEAF1_ECX_SSE41) &&
      has_all(ebx7, LEAF7_EBX_SHA)) {
    features |= CPU_SHANI;
  }
  if (has_avx2) {
    features |= CPU_AVX2;
  }
  if (has_avx2 && has_all(registers, XCR0_AVX512) && has_all(ebx7, avx512)) {
    features |= CPU_AVX512;
  }
  if (ebx0 == INTEL_EBX) {
    features |= CPU_INTEL;
  }
  return features;
}

#elif PV_AARCH64 && defined(__linux__)
#include <sys/auxv.h>

// From asm/hwcap.h of the arm64 kernel.
enum { HWCAP_SHA2_BIT = 1 << 6 };

uint32_t pv__cpu_features(void) {
  return (getauxval(AT_HWCAP) & HWCAP_SHA2_BIT) != 0 ? CPU_ARM_SHA2 : CPU_ANY;
}

#elif PV_AARCH64 && defined(__APPLE__)

// macOS requires these instructions on every 64-bit ARM processor.
uint32_t pv__cpu_features(void) {
  return CPU_ARM_SHA2;
}

#else

uint32_t pv__cpu_features(void) {
  return CPU_ANY;
}

#endif

// Returns kernel `i` of those that run on this machine, or NULL.
static const pv_kernel *runnable(const kernel_table *table, size_t i) {
  const uint32_t features = pv__cpu_features();
  for (size_t row = 0; row < table->num_rows; row++) {
    if ((table->rows[row]->needs & ~features) != 0) {
      continue;
    }
    if (i == 0) {
      return table->rows[row];
    }
    i -= 1;
  }
  return NULL;
}

const pv_kernel *pv__kernel_choose(const kernel_table *table) {
  const pv_kernel *kernel = runnable(table, 0);
  atomic_store_explicit(table->chosen, kernel, memory_order_relaxed);
  return kernel;
}

size_t pv__kernel_number(const kernel_table *table) {
  const pv_kernel *kernel = kernel_in_use(table);
  size_t i = 0;
  while (i < table->num_rows && runnable(table, i) != kernel) {
    i += 1;
  }
  return i;
}

const char *pv__kernel_name(const kernel_table *table, size_t i) {
  const pv_kernel *kernel = runnable(table, i);
  return kernel == NULL ? NULL : kernel->name;
}

pv_status pv__kernel_use(const kernel_table *table, size_t i) {
  const pv_kernel *kernel = runnable(table, i);
  if (kernel == NULL) {
    return PV_ERR_ARGUMENT;
  }
  atomic_store_explicit(table->chosen, kernel, memory_order_relaxed);
  return PV_OK;
}
