// toolchain.h: macros for C compilers: inlining, instruction sets, prefetching,
// and branches that are rarely taken.
#ifndef PINVERIFY_TOOLCHAIN_H
#define PINVERIFY_TOOLCHAIN_H

#include "prove.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define PV_X86_64 1
#else
#define PV_X86_64 0
#endif

#if defined(__aarch64__) && defined(__GNUC__) && \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PV_AARCH64 1
#else
#define PV_AARCH64 0
#endif

// Functions between PV_TARGET_BEGIN and PV_TARGET_END are compiled for a CPU
// that has `isa`, and the rest of the file is not. So all files can be compiled
// with the same flags. PV_INLINE functions are always inlined, and PV_UNROLL
// unrolls a loop completely: whether a kernel's values stay in registers must
// not depend on a compiler's heuristics about size.
#define PV_PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#define PV_TARGET_BEGIN(isa) \
  PV_PRAGMA(                 \
      clang attribute push(__attribute__((target(isa))), apply_to = function))
#define PV_TARGET_END _Pragma("clang attribute pop")
#define PV_UNROLL _Pragma("clang loop unroll(full)")
#else
#define PV_TARGET_BEGIN(isa) \
  _Pragma("GCC push_options") PV_PRAGMA(GCC target(isa))
#define PV_TARGET_END _Pragma("GCC pop_options")
#define PV_UNROLL _Pragma("GCC unroll 16")
#endif
#define PV_INLINE static inline __attribute__((always_inline))

// PV_PREFETCH prefetches the cache line at an address, to L2: L1 has too few
// fill buffers. Any address is safe; proofs still require it to be in bounds.
#if defined(PV_PREFETCH)
#elif defined(__GNUC__)
#define PV_PREFETCH(address) __builtin_prefetch((address), 0, 2)
#else
#define PV_PREFETCH(address) ((void)(address))
#endif
enum { CACHE_LINE = 64 };

// PV_FLATTEN inlines every callee into a function, and their callees in turn.
// clang inlines only direct callees, so deeper ones are marked PV_FLATTENED.
#if defined(__GNUC__)
#define PV_FLATTEN __attribute__((flatten))
#else
#define PV_FLATTEN
#endif
#if defined(__clang__)
#define PV_FLATTENED PV_INLINE
#else
#define PV_FLATTENED static inline
#endif

#define PV_NOINLINE __attribute__((noinline))

// PV_UNLIKELY(x) tells the compiler that x is rarely true.
#if defined(__GNUC__)
#define PV_UNLIKELY(x) __builtin_expect((x), 0)
#else
#define PV_UNLIKELY(x) (x)
#endif

#endif  // PINVERIFY_TOOLCHAIN_H
