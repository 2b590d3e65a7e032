// declassify.h: included before each file of a program for a checker. What
// ct_declassify returns is public: the checker takes it for memory that has
// been written to. So a decision, which branches on these answers, is examined
// like a scan.
#include "constant_time.h"

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#define WITH_MSAN 1
#endif
#endif

#ifdef WITH_MSAN
#include <sanitizer/msan_interface.h>
#define POISON(bytes, len) __msan_poison(bytes, len)
#define UNPOISON(bytes, len) __msan_unpoison(bytes, len)
#else
#include <valgrind/memcheck.h>
#define POISON(bytes, len) (void)VALGRIND_MAKE_MEM_UNDEFINED(bytes, len)
#define UNPOISON(bytes, len) (void)VALGRIND_MAKE_MEM_DEFINED(bytes, len)
#endif

static inline uint32_t made_public(uint32_t answer) {
  UNPOISON(&answer, sizeof answer);
  return answer;
}

#define ct_declassify(mask) made_public(ct_declassify(mask))
