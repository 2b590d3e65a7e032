// sha256_blocks.c: the cost of a block for each SHA-256 function of the core, below
// all scheduling; and a fixed number of blocks, for tools that count.
//
//   sha256_blocks                       times all that this machine can run
//   sha256_blocks FUNCTION BLOCKS       hashes BLOCKS blocks in each lane, once
//
// It prints JSON, one line for each function: the least nanoseconds a block,
// and on x86-64 the cycles. Cycles are nanoseconds divided by those of a chain
// of multiplications, which takes three cycles each; it is timed in turn, since
// the clock of a processor changes with what it does.
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../csrc/kernels.h"

enum { BLOCK_LEN = 64, BLOCKS = 8, REPEATS = 400, CHAIN = 6000 };

typedef struct function {
  const char *name;
  uint32_t needs;
  size_t lanes;
  sha256_fn *hash;
} function;

static const function functions[] = {
#if PV_X86_64
    {"shani", CPU_SHANI, 1, pv__sha256_shani},
    {"shani_x2", CPU_SHANI, 2, pv__sha256_shani_x2},
    {"shani_x3", CPU_SHANI | CPU_AVX512, 3, pv__sha256_shani_x3},
    {"bmi2", CPU_AVX2, 1, pv__sha256_bmi2},
    {"bmi2_avx512", CPU_AVX512, 1, pv__sha256_bmi2_avx512},
    {"avx2_x8", CPU_AVX2, 8, pv__sha256_avx2_x8},
    {"avx512_x16", CPU_AVX512, 16, pv__sha256_avx512_x16},
#endif
#if PV_AARCH64
    {"armv8", CPU_ARM_SHA2, 1, pv__sha256_armv8},
    {"armv8_x2", CPU_ARM_SHA2, 2, pv__sha256_armv8_x2},
#endif
    {"portable", CPU_ANY, 1, pv__sha256_portable}};

enum { NUM_FUNCTIONS = sizeof functions / sizeof functions[0] };

// The lanes read different bytes, and none begins at a round address.
static uint8_t bytes[SHA256_LANES_MAX * (BLOCKS * BLOCK_LEN + 17)];
static uint32_t states[SHA256_LANES_MAX][8];

static void hash_blocks(const function *f, size_t num_blocks) {
  const uint8_t *in[SHA256_LANES_MAX];
  for (size_t l = 0; l < f->lanes; l++) {
    in[l] = bytes + l * (BLOCKS * BLOCK_LEN + 17);
  }
  f->hash(states, in, num_blocks);
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

// Nanoseconds of one multiplication that waits for the one before it.
static double chain_ns(void) {
  uint64_t x = 3;
  const double start = now_ns();
  for (int i = 0; i < CHAIN; i++) {
    x *= x;
    __asm__ volatile("" : "+r"(x));
  }
  return (now_ns() - start) / CHAIN;
}

static double block_ns(const function *f) {
  enum { CALLS = 4 };
  const double start = now_ns();
  for (int i = 0; i < CALLS; i++) {
    hash_blocks(f, BLOCKS);
  }
  return (now_ns() - start) / (double)(CALLS * BLOCKS * f->lanes);
}

static double lesser(double a, double b) {
  return a < b ? a : b;
}

static void time_function(const function *f) {
  double ns = block_ns(f);
  double multiplication_ns = chain_ns();
  for (int i = 0; i < REPEATS; i++) {
    ns = lesser(ns, block_ns(f));
    multiplication_ns = lesser(multiplication_ns, chain_ns());
  }
  printf("{\"function\": \"%s\", \"ns\": %.2f, \"cycles\": ", f->name, ns);
  printf(PV_X86_64 ? "%.1f}\n" : "null}\n", 3 * ns / multiplication_ns);
}

static void hash_once(const function *f, size_t num_blocks) {
  for (; num_blocks > BLOCKS; num_blocks -= BLOCKS) {
    hash_blocks(f, BLOCKS);
  }
  hash_blocks(f, num_blocks);
  printf("%08x\n", (unsigned)states[0][0]);
}

int main(int argc, char **argv) {
  const uint32_t features = pv__cpu_features();
  int num_found = 0;
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = (uint8_t)(i * 167 + (i >> 8));
  }
  for (size_t i = 0; i < NUM_FUNCTIONS; i++) {
    const function *f = &functions[i];
    if ((f->needs & ~features) != 0) {
      continue;
    }
    if (argc == 1) {
      time_function(f);
      num_found += 1;
    } else if (argc == 3 && strcmp(argv[1], f->name) == 0) {
      hash_once(f, (size_t)strtoul(argv[2], NULL, 10));
      num_found += 1;
    }
  }
  if (num_found == 0) {
    fprintf(stderr, "usage: sha256_blocks [FUNCTION BLOCKS]; this machine has");
    for (size_t i = 0; i < NUM_FUNCTIONS; i++) {
      if ((functions[i].needs & ~features) == 0) {
        fprintf(stderr, " %s", functions[i].name);
      }
    }
    fprintf(stderr, "\n");
  }
  return num_found > 0 ? 0 : 2;
}
