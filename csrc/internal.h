// internal.h: what the files of the core share with each other. Nothing here is
// part of the public API.
//
// Floors, each of which uses lower ones only:
//   0  der.h host.c cpu.c status.c sha256_*.c scan_*.c
//   1  spki.c sha256.c scan.c
//   2  policy.c fingerprint.c
//   3  verify.c
#ifndef PINVERIFY_INTERNAL_H
#define PINVERIFY_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "pinverify.h"
#include "prove.h"

// ---- host.c -----------------------------------------------------------------

// host_is_address tells an IP literal from a name; `host` is canonical.
bool host_is_address(const char *host, size_t host_len);

// ---- cpu.c: the machine, and which kernel of a table runs on it -------------

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

// Between PV_TARGET_BEGIN and _END, functions are compiled for a CPU that has
// `isa`; the rest of the file is not. So all files are compiled with the same
// flags. PV_INLINE functions are part of their caller, and a loop after
// PV_UNROLL is written out: what a kernel keeps in registers may not depend on
// what a compiler thinks of its size.
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

// PV_PREFETCH asks for the cache line at an address.
// It goes to the second cache: the first has too few places where misses wait.
// No address does harm; a proof shows that there is a byte all the same, since
// a line that nobody wants costs time.
#if defined(PV_PREFETCH)
#elif defined(__GNUC__)
#define PV_PREFETCH(address) __builtin_prefetch((address), 0, 2)
#else
#define PV_PREFETCH(address) ((void)(address))
#endif
enum { CACHE_LINE = 64 };

// With PV_FLAT, all that a function calls becomes part of it, if a compiler
// can. clang does so with direct calls alone, and wants to see PV_PART on what
// these call.
#if defined(__GNUC__)
#define PV_FLAT __attribute__((flatten))
#else
#define PV_FLAT
#endif
#if defined(__clang__)
#define PV_PART PV_INLINE
#else
#define PV_PART static inline
#endif

// A PV_APART function is never made part of its caller.
#define PV_APART __attribute__((noinline))

// PV_RARE(x) is x, and seldom true: what follows then is put out of the way.
#if defined(__GNUC__)
#define PV_RARE(x) __builtin_expect((x), 0)
#else
#define PV_RARE(x) (x)
#endif

enum {
  CPU_ANY = 0,
  CPU_SHANI = 1 << 0,    // SHA, SSSE3, SSE4.1
  CPU_AVX2 = 1 << 1,     // AVX2, with its registers saved by the system
  CPU_AVX512 = 1 << 2,   // AVX-512 F, VL and BW, and AVX2, likewise
  CPU_INTEL = 1 << 3,    // made by Intel
  CPU_ARM_SHA2 = 1 << 4  // the SHA-256 instructions of ARMv8
};

// A sha256_fn takes `num_blocks` x 64 bytes of each of its lanes into the
// lane's state; those of lane l begin at in[l].
typedef void sha256_fn(uint32_t (*states)[8], const uint8_t *const *in,
                       size_t num_blocks);

// A sha256_begin_fn takes the first blocks of a message into a state of its own
// kind, and a sha256_end_fn the rest of it, fewer than 64 bytes, and the
// padding.
typedef void sha256_begin_fn(uint32_t out_state[8], const uint8_t *data,
                             size_t num_blocks);
typedef void sha256_end_fn(uint8_t *out_digest, const uint32_t state[8],
                           const uint8_t *data, size_t len);

// A sha256_alike_fn hashes one message in each of its lanes, padding and all:
// in lane l number order[l], whose digest goes to out_digests + 32 * order[l].
// They are alike: each has `num_whole` whole blocks, and `num_tail` blocks, one
// or two, that hold the rest of it and the padding.
typedef void sha256_alike_fn(uint8_t *out_digests, const pv_span *messages,
                             const uint8_t *order, size_t num_whole,
                             size_t num_tail);

// A sha256_step is one way to hash `lanes` messages side by side. From `enough`
// messages on it is faster than what has fewer lanes, idle lanes included.
typedef struct sha256_step {
  uint32_t lanes;
  uint32_t enough;
  sha256_fn *hash;
} sha256_step;

enum { SHA256_STEPS = 3, SHA256_LANES_MAX = 16, SCAN_DIGESTS = 4 };

// A kernel is one implementation. A kernel of the SHA-256 table has `sha256`:
// the steps from one lane up; those that it does not need are zero. Where that
// is faster, it has two functions for a message by itself, and one for as many
// that are alike as its last step has lanes. A kernel of the scan table has the
// two scans.
typedef struct pv_kernel {
  const char *name;
  uint32_t needs;  // CPU_ flags
  sha256_step sha256[SHA256_STEPS];
  sha256_begin_fn *sha256_begin;
  sha256_end_fn *sha256_end;
  sha256_alike_fn *sha256_alike;

  // Whether `digest` is among rows of 32 bytes; whether each of 1 to
  // SCAN_DIGESTS digests is in blocks of packed pins. Masks (ct.h), found in
  // constant time.
  uint64_t (*scan_rows)(const uint8_t *rows, size_t num_rows,
                        const uint8_t *digest);
  void (*scan_blocks)(uint64_t *out_found, const uint8_t *blocks,
                      size_t num_blocks, const uint8_t *digests,
                      size_t num_digests);
} pv_kernel;

sha256_fn sha256_portable;
sha256_begin_fn sha256_shani_begin;
sha256_end_fn sha256_shani_end;
sha256_fn sha256_shani, sha256_shani_x2, sha256_shani_x3;
sha256_alike_fn sha256_shani_alike_x3;
sha256_fn sha256_avx2_x8;
sha256_fn sha256_avx512_x16;
sha256_fn sha256_armv8, sha256_armv8_x2;

extern const pv_kernel pv_scan_portable;
extern const pv_kernel pv_scan_avx2;
extern const pv_kernel pv_scan_avx512;

// cpu_features gives CPU_ flags. It asks the CPU each time, which is slow.
uint32_t cpu_features(void);

// A kernel_table lists kernels, best first; the last one runs everywhere. Which
// of them is in use is the only thing that the core ever changes: NULL before
// the first use, and threads may race to set it, for each would set the same.
typedef struct kernel_table {
  const pv_kernel *const *rows;
  size_t num_rows;
  _Atomic(const pv_kernel *) *chosen;
} kernel_table;

// kernel_choose puts the best one that this machine can run into use.
const pv_kernel *kernel_choose(const kernel_table *table);

static inline const pv_kernel *kernel_in_use(const kernel_table *table) {
  const pv_kernel *kernel =
      atomic_load_explicit(table->chosen, memory_order_relaxed);
  return PV_RARE(kernel == NULL) ? kernel_choose(table) : kernel;
}

// Numbers count only the kernels that this machine can run.
size_t kernel_number(const kernel_table *table);
const char *kernel_name(const kernel_table *table, size_t i);
pv_status kernel_use(const kernel_table *table, size_t i);

// ---- sha256.c ---------------------------------------------------------------

// sha256_begin takes all whole blocks of a message, and sha256_end the rest.
// The processor has time for something else in between, since each round waits
// for the one before. The message must stay where it is.
typedef struct sha256_running {
  _Alignas(32) uint32_t state[8];
  const pv_kernel *kernel;
  const uint8_t *data;
  size_t len;
} sha256_running;

void sha256_begin(sha256_running *out, const uint8_t *data, size_t len);
void sha256_end(uint8_t out_digest[32], sha256_running *running);

enum { SHA256_CHUNK = 256 };

// sha256_chunk hashes up to SHA256_CHUNK messages of any lengths, side by side
// where the kernel in use can; digest i stands at out_digests + 32 * i. A
// message whose `data` is NULL is none: its digest is zero. The memory has
// little to do meanwhile: the bytes of `wanted_next` are asked for, a piece at
// a time.
void sha256_chunk(uint8_t *out_digests, const pv_span *messages,
                  size_t num_messages, pv_span wanted_next);

// ---- scan.c -----------------------------------------------------------------

// packed_num_rows counts the 32-byte rows that `num_pins` packed pins take.
uint64_t packed_num_rows(uint64_t num_pins);

// ---- policy.c ---------------------------------------------------------------

enum { POLICY_REJECT_UNPINNED = 1, POLICY_EVERY_PEER = 2 };

// A pin_run is one list of packed pins inside a policy.
typedef struct pin_run {
  const uint8_t *packed;
  uint32_t num_pins;
} pin_run;

// policy_run gives pins number `kind` of list `list` of a PinSet; with
// PV_UNPINNED the policy-wide blocked ones. The numbers must be in range.
pin_run policy_run(const pv_policy *policy, uint32_t pinset, uint32_t list,
                   uint32_t kind);

// policy_blocks says whether the policy blocks keys for every host.
bool policy_blocks(const pv_policy *policy);

// ---- bytes ------------------------------------------------------------------

// Bytes are loaded one by one, so that neither alignment nor the machine's byte
// order matters; compilers make one instruction of it.
static inline uint32_t load_le32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
         (uint32_t)p[3] << 24;
}

static inline uint64_t load_le64(const uint8_t *p) {
  return (uint64_t)load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

static inline uint32_t load_be32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
         (uint32_t)p[3];
}

// gcc does not see that this is one instruction and a store; what it makes of
// the bytes takes twenty times as long.
static inline void store_be64(uint8_t *p, uint64_t x) {
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  x = __builtin_bswap64(x);
  memcpy(p, &x, sizeof x);
#else
  for (int i = 0; i < 8; i++) {
    p[i] = (uint8_t)(x >> (56 - 8 * i));
  }
#endif
}

// or_empty gives a pointer that may be added to, where a caller has no bytes
// and so no pointer: NULL + 0 is undefined (C11, 6.5.6).
static inline const uint8_t *or_empty(const uint8_t *bytes) {
  static const uint8_t nothing[1] = {0};
  return bytes != NULL ? bytes : nothing;
}

// clear zeroes an output, which may be missing where there is nothing to put
// into it.
static inline void clear(uint8_t *out, size_t len) {
  if (out != NULL && len > 0) {
    memset(out, 0, len);
  }
}

// ask_for takes `len` bytes, or what is left, off the front of what is wanted
// soon, and asks the memory for them.
static inline void ask_for(pv_span *wanted, size_t len) {
  const size_t num = len < wanted->len ? len : wanted->len;
  for (size_t at = 0; at < num; at += CACHE_LINE) {
    PV_PREFETCH(wanted->data + at);
  }
  if (num > 0) {  // or `data` may be NULL
    wanted->data += num;
    wanted->len -= num;
  }
}

// ---- columns ----------------------------------------------------------------

// offset_at gives position number `i`, i <= offsets->num.
static inline uint64_t offset_at(const pv_offsets *offsets, size_t i) {
  const uint8_t *at = offsets->at;
  if (offsets->width == sizeof(uint32_t)) {
    uint32_t narrow = 0;
    memcpy(&narrow, at + sizeof narrow * i, sizeof narrow);
    return narrow;
  }
  uint64_t wide = 0;
  memcpy(&wide, at + sizeof wide * i, sizeof wide);
  return wide;
}

// offsets_fit checks them all: their width, each at most the next, the last at
// most `end`. Where there are none to cut, no position is read.
static inline bool offsets_fit(const pv_offsets *offsets, size_t end) {
  if (offsets->width != sizeof(uint32_t) &&
      offsets->width != sizeof(uint64_t)) {
    return false;
  }
  GHOST(const uint64_t at_some = POSITION_OF(offsets, some))
  GHOST(const uint64_t at_later = POSITION_OF(offsets, later))
  uint64_t previous = 0;
  for (size_t i = 0; offsets->num > 0 && i <= offsets->num; i++)
    LOOP(offsets->num + 1 - i,
         i <= offsets->num + 1 && IMPLIES(some < i, at_some <= previous) &&
             IMPLIES(later < i, at_later <= previous) &&
             IMPLIES(some <= later && later < i, at_some <= at_later))
  {
    const uint64_t position = offset_at(offsets, i);
    if (position < previous) {
      return false;
    }
    previous = position;
  }
  return previous <= end;
}

static inline bool column_fits(const pv_column *column) {
  return offsets_fit(&column->offsets, column->data_len);
}

// column_item gives string number `i` of a column that fits.
static inline pv_span column_item(const pv_column *column, size_t i) {
  const uint64_t start = offset_at(&column->offsets, i);
  const uint64_t end = offset_at(&column->offsets, i + 1);
  return (pv_span){or_empty(column->data) + start, (size_t)(end - start)};
}

#endif  // PINVERIFY_INTERNAL_H
