// scan_bench.c: the scan over many pins, beside a loop that only reads them;
// and three digests in one pass, beside one.
//
//   scan_bench [--quick] [--case TEXT] [FOLDER]
//
// A scan can't be faster than its bytes arrive, so the loop is the limit. Its
// loads are as wide as the widest registers of the machine, nothing is done
// with what they load, and they go over the same bytes. FOLDER is not needed.
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>

#include "../../csrc/pinverify.h"
#include "bench.h"

enum { BLOCK_LEN = 256, LINE = 64, THREE = 3 };

// ---- reading ----------------------------------------------------------------

typedef void read_fn(const uint8_t *bytes, size_t num_blocks);

#if defined(__x86_64__)
#include <immintrin.h>

#define READS(name, isa, type, load, constraint)                            \
  __attribute__((target(isa))) static void name(const uint8_t *bytes,       \
                                                size_t num_blocks) {        \
    for (size_t i = 0; i < num_blocks; i++) {                               \
      const uint8_t *block = bytes + BLOCK_LEN * i;                         \
      _Pragma("GCC unroll 16") for (size_t at = 0; at < BLOCK_LEN;          \
                                    at += sizeof(type)) {                   \
        const type loaded = load((const type *)(const void *)(block + at)); \
        __asm__ volatile("" : : constraint(loaded));                        \
      }                                                                     \
    }                                                                       \
  }
READS(read_16, "sse2", __m128i, _mm_load_si128, "x")
READS(read_32, "avx2", __m256i, _mm256_load_si256, "x")
READS(read_64, "avx512f", __m512i, _mm512_load_si512, "v")

static read_fn *widest_read(void) {
  if (__builtin_cpu_supports("avx512f")) {
    return read_64;
  }
  return __builtin_cpu_supports("avx2") ? read_32 : read_16;
}

#else

static void read_8(const uint8_t *bytes, size_t num_blocks) {
  for (size_t at = 0; at < BLOCK_LEN * num_blocks; at += sizeof(uint64_t)) {
    uint64_t loaded = 0;
    memcpy(&loaded, bytes + at, sizeof loaded);
    __asm__ volatile("" : : "r"(loaded));
  }
}

static read_fn *widest_read(void) {
  return read_8;
}

#endif

// ---- the competitors --------------------------------------------------------

typedef struct pins {
  const uint8_t *packed;
  size_t num;
  size_t num_digests;
  read_fn *read;
  uint8_t digests[THREE * PV_DIGEST_LEN];
} pins;

static void run_scan(void *context, size_t round) {
  pins *p = context;
  uint8_t found[THREE];
  p->digests[0] = (uint8_t)round;
  pv_packed_contain_many(found, p->packed, p->num, p->digests, p->num_digests);
  bench_keep(found);
}

static void run_read(void *context, size_t round) {
  const pins *p = context;
  (void)round;
  p->read(p->packed, pv_pins_packed_len(p->num) / BLOCK_LEN);
}

static pins make_pins(size_t num) {
  const size_t len = num * PV_DIGEST_LEN;
  uint8_t *rows = bench_alloc(len);
  uint8_t *room = bench_alloc(pv_pins_packed_len(num) + LINE);
  uint64_t state = 1;
  for (size_t i = 0; i < len; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    rows[i] = (uint8_t)(state >> 56);
  }
  // A compiled policy lays pins out at the beginning of a cache line, too.
  uint8_t *packed = room + (LINE - (uintptr_t)room % LINE) % LINE;
  pv_pins_pack(packed, rows, num);
  pins p = {.packed = packed, .num = num, .read = widest_read()};
  memset(p.digests, 0x55, sizeof p.digests);
  return p;
}

int main(int argc, char **argv) {
  const struct {
    size_t num;
    const char *name;
  } sizes[] = {{16, "16 pins"},          {100, "100 pins"},
               {1000, "1,000 pins"},     {10000, "10,000 pins"},
               {100000, "100,000 pins"}, {1000000, "1,000,000 pins"}};
  const bench_options options = bench_read_options(argc, argv);
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    pins one = make_pins(sizes[i].num);
    pins three = one;
    one.num_digests = 1;
    three.num_digests = THREE;
    const bench_case share = {.bench = "scan",
                              .name = sizes[i].name,
                              .unit = "pin",
                              .units = (double)sizes[i].num};
    const bench_case passes = {.bench = "three digests",
                               .name = sizes[i].name,
                               .unit = "pin",
                               .units = (double)sizes[i].num};
    const bench_task scan = {"one digest", run_scan, &one};
    const bench_task scan_three = {"three digests", run_scan, &three};
    const bench_task read = {"reading", run_read, &one};
    bench_compare(&options, &share, &scan, &read);
    bench_compare(&options, &passes, &scan_three, &scan);
  }
  return 0;
}
