// cpu.c: which instruction sets this machine has, and so which kernels of a
// table run on it, and which is in use.
#include "internal.h"

#if PV_X86_64
#include <cpuid.h>

enum {
  LEAF1_ECX_SSSE3 = 1 << 9,
  LEAF1_ECX_SSE41 = 1 << 19,
  LEAF1_ECX_OSXSAVE = 1 << 27,
  LEAF7_EBX_AVX2 = 1 << 5,
  LEAF7_EBX_SHA = 1 << 29,
  XCR0_SSE_AND_AVX = 6
};

// XGETBV tells which registers the operating system saves on a task switch:
// without its consent an instruction set is not to be used. Intel SDM 1, 14.3.
static uint32_t enabled_registers(void) {
  uint32_t eax = 0;
  uint32_t edx = 0;
  __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return eax;
}

uint32_t cpu_features(void) {
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx1 = 0;
  uint32_t ebx7 = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx1, &edx) ||
      !__get_cpuid_count(7, 0, &eax, &ebx7, &ecx, &edx)) {
    return CPU_ANY;
  }
  const uint32_t sse = LEAF1_ECX_SSSE3 | LEAF1_ECX_SSE41;
  uint32_t features = CPU_ANY;
  if ((ecx1 & sse) == sse && (ebx7 & LEAF7_EBX_SHA) != 0) {
    features |= CPU_SHANI;
  }
  if ((ecx1 & LEAF1_ECX_OSXSAVE) != 0 &&
      (enabled_registers() & XCR0_SSE_AND_AVX) == XCR0_SSE_AND_AVX &&
      (ebx7 & LEAF7_EBX_AVX2) != 0) {
    features |= CPU_AVX2;
  }
  return features;
}

#else

uint32_t cpu_features(void) {
  return CPU_ANY;
}

#endif

// The table's kernel number `i` of those that run here, or NULL past the end.
static const pv_kernel *runnable(const kernel_table *table, size_t i) {
  const uint32_t features = cpu_features();
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

const pv_kernel *kernel_in_use(const kernel_table *table) {
  const pv_kernel *kernel =
      atomic_load_explicit(table->chosen, memory_order_relaxed);
  if (kernel == NULL) {
    kernel = runnable(table, 0);
    atomic_store_explicit(table->chosen, kernel, memory_order_relaxed);
  }
  return kernel;
}

size_t kernel_number(const kernel_table *table) {
  const pv_kernel *kernel = kernel_in_use(table);
  size_t i = 0;
  while (i < table->num_rows && runnable(table, i) != kernel) {
    i += 1;
  }
  return i;
}

const char *kernel_name(const kernel_table *table, size_t i) {
  const pv_kernel *kernel = runnable(table, i);
  return kernel == NULL ? NULL : kernel->name;
}

pv_status kernel_use(const kernel_table *table, size_t i) {
  const pv_kernel *kernel = runnable(table, i);
  if (kernel == NULL) {
    return PV_ERR_ARGUMENT;
  }
  atomic_store_explicit(table->chosen, kernel, memory_order_relaxed);
  return PV_OK;
}
