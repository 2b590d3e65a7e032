// kernels.h: kernels are the implementations of SHA-256 and of the scan, as
// rows of two tables; cpu.c finds the rows that this machine can run.
#ifndef PINVERIFY_KERNELS_H
#define PINVERIFY_KERNELS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pinverify.h"
#include "toolchain.h"

enum {
  CPU_ANY = 0,
  CPU_SHANI = 1 << 0,    // SHA, SSSE3, SSE4.1
  CPU_AVX2 = 1 << 1,     // AVX2, BMI1 and BMI2; registers saved by the system
  CPU_AVX512 = 1 << 2,   // AVX-512 F, VL and BW, and AVX2; registers saved too
  CPU_INTEL = 1 << 3,    // made by Intel
  CPU_ARM_SHA2 = 1 << 4  // the SHA-256 instructions of ARMv8
};

// A sha256_fn hashes `num_blocks` blocks of 64 bytes of each of its lanes into
// the state of the lane; the blocks of lane l begin at in[l].
typedef void sha256_fn(uint32_t (*states)[8], const uint8_t *const *in,
                       size_t num_blocks);

// A sha256_begin_fn hashes the first blocks of a message into a state, whose
// layout is the kernel's own; a sha256_end_fn hashes the rest, below 64 bytes,
// and the padding.
typedef void sha256_begin_fn(uint32_t out_state[8], const uint8_t *data,
                             size_t num_blocks);
typedef void sha256_end_fn(uint8_t *out_digest, const uint32_t state[8],
                           const uint8_t *data, size_t len);

// A sha256_alike_fn hashes one message in each of its lanes, padding included:
// in lane l, message order[l], whose digest goes to out_digests + 32 *
// order[l]. The messages are alike: each has `num_whole` whole blocks and a
// tail of `num_tail` blocks, one or two, with the rest of the message and the
// padding.
typedef void sha256_alike_fn(uint8_t *out_digests, const pv_span *messages,
                             const uint8_t *order, size_t num_whole,
                             size_t num_tail);

// A sha256_step hashes `lanes` messages side by side. With `enough` messages or
// more it is faster than a step with fewer lanes, even if some lanes are idle.
typedef struct sha256_step {
  uint32_t lanes;
  uint32_t enough;
  sha256_fn *hash;
} sha256_step;

enum { SHA256_STEPS = 3, SHA256_LANES_MAX = 16, SCAN_DIGESTS = 4 };

struct sip_state;

// A pv_kernel is one implementation. In the SHA-256 table it has `sha256`, its
// steps in ascending order of lanes; unused steps are zero. Where that is
// faster, it also has begin and end functions for a single message, and a
// function for as many alike messages as its last step has lanes. In the scan
// table it has the two scans, and a function that hashes the ends of names.
typedef struct pv_kernel {
  const char *name;
  uint32_t needs;  // CPU_ flags
  sha256_step sha256[SHA256_STEPS];
  sha256_begin_fn *sha256_begin;
  sha256_end_fn *sha256_end;
  sha256_alike_fn *sha256_alike;

  // scan_rows looks for `digest` among rows of 32 bytes, scan_blocks for each
  // of 1 to SCAN_DIGESTS digests in blocks of packed pins. The answers are
  // masks (constant_time.h), computed in constant time.
  uint64_t (*scan_rows)(const uint8_t *rows, size_t num_rows,
                        const uint8_t *digest);
  void (*scan_blocks)(uint64_t *out_found, const uint8_t *blocks,
                      size_t num_blocks, const uint8_t *digests,
                      size_t num_digests);

  // hash_ends completes the hashes of the ends of a name (siphash.h).
  void (*hash_ends)(uint64_t *out_hashes, const struct sip_state *states,
                    const uint64_t *last_words, size_t num);
} pv_kernel;

sha256_fn pv__sha256_portable;
sha256_begin_fn pv__sha256_shani_begin;
sha256_end_fn pv__sha256_shani_end;
sha256_fn pv__sha256_shani, pv__sha256_shani_x2, pv__sha256_shani_x3;
sha256_alike_fn pv__sha256_shani_alike_x3;
sha256_fn pv__sha256_bmi2, pv__sha256_bmi2_avx512;
sha256_fn pv__sha256_avx2_x8;
sha256_fn pv__sha256_avx512_x16;
sha256_fn pv__sha256_armv8, pv__sha256_armv8_x2;

extern const pv_kernel pv__scan_portable, pv__scan_avx2, pv__scan_avx512,
    pv__scan_neon;

// pv__hash_ends is hash_ends of the scan's kernel in use.
void pv__hash_ends(uint64_t *out_hashes, const struct sip_state *states,
                   const uint64_t *last_words, size_t num);

// pv__cpu_features returns CPU_ flags. It queries the CPU each time, which is
// slow.
uint32_t pv__cpu_features(void);

// A kernel_table lists kernels, best first; the last one runs everywhere.
// `*chosen` is the kernel in use, or NULL before the first use. The core has no
// other variable that changes. Threads may race: all set the same value.
typedef struct kernel_table {
  const pv_kernel *const *rows;
  size_t num_rows;
  _Atomic(const pv_kernel *) *chosen;
} kernel_table;

// pv__kernel_choose selects the best kernel that this machine can run.
const pv_kernel *pv__kernel_choose(const kernel_table *table);

static inline const pv_kernel *kernel_in_use(const kernel_table *table) {
  const pv_kernel *kernel =
      atomic_load_explicit(table->chosen, memory_order_relaxed);
  return PV_UNLIKELY(kernel == NULL) ? pv__kernel_choose(table) : kernel;
}

// Only kernels that this machine can run have numbers.
size_t pv__kernel_number(const kernel_table *table);
const char *pv__kernel_name(const kernel_table *table, size_t i);
pv_status pv__kernel_use(const kernel_table *table, size_t i);

#endif  // PINVERIFY_KERNELS_H
