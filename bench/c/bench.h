// bench.h: the shared part of the C benches: sets of certificates, a clock, rounds in
// which two competitors take turns, and one line of JSON for each figure.
//
// A figure is the ratio of two times that were taken one after the other in one
// process. The median of the ratios of many rounds does not care how fast the
// machine is, nor that it is busy with something else now and then.
#ifndef PINVERIFY_BENCH_H
#define PINVERIFY_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A cert_set holds certificates back to back: certificate i is bytes offsets[i]
// to offsets[i + 1] of data. It is never freed: a bench ends with its process.
typedef struct cert_set {
  uint8_t *data;
  uint64_t *offsets;
  size_t num;
} cert_set;

// cert_set_read reads FOLDER/NAME.certs, which `certificates.py` writes.
cert_set cert_set_read(const char *folder, const char *name);

// cert_set_repeat gives copies of a set one after the other, as many as fit
// into `bytes`, and at least one.
cert_set cert_set_repeat(const cert_set *set, size_t bytes);

// cert_set_slice is `num` certificates of a set, from number `first` on.
cert_set cert_set_slice(const cert_set *set, size_t first, size_t num);

// bench_alloc is malloc that ends the program when there is no memory.
void *bench_alloc(size_t bytes);

// bench_options reads --quick (one short round: does it still run?) and --case
// TEXT (only cases whose name begins so), and gives the rest of the arguments.
typedef struct bench_options {
  bool quick;
  const char *only;
  int num_rest;
  char **rest;
} bench_options;
bench_options bench_read_options(int argc, char **argv);

// A bench_task is what one competitor does in one run. `round` counts up, for
// those who want other bytes each time.
typedef struct bench_task {
  const char *who;
  void (*run)(void *context, size_t round);
  void *context;
} bench_task;

// A bench_case names a figure. One run of a task handles `units` of `unit`.
// With `wall_clock` time passes as on the wall, for tasks with threads;
// without, only while this thread runs.
typedef struct bench_case {
  const char *bench;
  const char *name;
  const char *unit;
  double units;
  bool wall_clock;
} bench_case;

// bench_compare lets `ours` and `theirs` take turns and prints one line:
//   {"bench": …, "case": …, "ours": …, "theirs": …, "unit": "ns/…",
//    "ours_ns": the least, "theirs_ns": the least,
//    "ratio": {"median": …, "low": …, "high": …, "rounds": …}}
// `ratio` is their time divided by ours, over the rounds: median and quartiles.
void bench_compare(const bench_options *options, const bench_case *what,
                   const bench_task *ours, const bench_task *theirs);

// bench_keep makes the compiler believe that somebody reads `*value`.
static inline void bench_keep(const void *value) {
  __asm__ volatile("" : : "r"(value) : "memory");
}

#endif  // PINVERIFY_BENCH_H
