// bench.c: rounds, clocks and output of the C benches; bench.h explains them.
#define _POSIX_C_SOURCE 200809L
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 61, QUICK_ROUNDS = 1 };

static const double slice_ns = 2e6;  // what one side of a round takes, at least

static void stop(const char *why, const char *what) {
  fprintf(stderr, "bench: %s: %s\n", what, why);
  exit(2);
}

void *bench_alloc(size_t bytes) {
  void *memory = malloc(bytes);
  if (memory == NULL) {
    stop("no memory", "malloc");
  }
  return memory;
}

// ---- certificates -----------------------------------------------------------

static uint8_t *read_file(const char *path, size_t *out_len) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    stop("can't be read; certificates.py writes it", path);
  }
  const long len = ftell(file);
  rewind(file);
  uint8_t *bytes = bench_alloc(len > 0 ? (size_t)len : 1);
  if (len < 0 || fread(bytes, 1, (size_t)len, file) != (size_t)len) {
    stop("can't be read", path);
  }
  fclose(file);
  *out_len = (size_t)len;
  return bytes;
}

static size_t read_length(const uint8_t *p) {
  return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 |
         (size_t)p[3] << 24;
}

cert_set cert_set_read(const char *folder, const char *name) {
  char path[4096];
  size_t len = 0;
  snprintf(path, sizeof path, "%s/%s.certs", folder, name);
  uint8_t *bytes = read_file(path, &len);
  cert_set set = {bench_alloc(len + 1), NULL, 0};
  set.offsets = bench_alloc((len / 4 + 1) * sizeof *set.offsets);
  set.offsets[0] = 0;
  for (size_t at = 0; at < len; set.num++) {
    const size_t cert_len = len - at >= 4 ? read_length(bytes + at) : len;
    if (cert_len > len - at - 4) {
      stop("is cut off", path);
    }
    const uint64_t end = set.offsets[set.num];
    memcpy(set.data + end, bytes + at + 4, cert_len);
    set.offsets[set.num + 1] = end + cert_len;
    at += 4 + cert_len;
  }
  free(bytes);
  if (set.num == 0) {
    stop("holds no certificate", path);
  }
  return set;
}

cert_set cert_set_repeat(const cert_set *set, size_t bytes) {
  const size_t len = (size_t)set->offsets[set->num];
  const size_t copies = bytes > len ? bytes / len : 1;
  cert_set out = {bench_alloc(copies * len), NULL, 0};
  out.offsets = bench_alloc((copies * set->num + 1) * sizeof *out.offsets);
  out.offsets[0] = 0;
  for (size_t copy = 0; copy < copies; copy++) {
    memcpy(out.data + copy * len, set->data, len);
    for (size_t i = 1; i <= set->num; i++) {
      out.offsets[++out.num] = copy * len + set->offsets[i];
    }
  }
  return out;
}

cert_set cert_set_slice(const cert_set *set, size_t first, size_t num) {
  return (cert_set){set->data, set->offsets + first, num};
}

// ---- options ----------------------------------------------------------------

bench_options bench_read_options(int argc, char **argv) {
  bench_options options = {false, NULL, 0, argv + 1};
  int i = 1;
  for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
    if (strcmp(argv[i], "--quick") == 0) {
      options.quick = true;
    } else if (strcmp(argv[i], "--case") == 0 && i + 1 < argc) {
      options.only = argv[++i];
    } else {
      stop("unknown option; there are --quick and --case TEXT", argv[i]);
    }
  }
  options.rest = argv + i;
  options.num_rest = argc - i;
  return options;
}

// ---- rounds -----------------------------------------------------------------

static double now_ns(bool wall_clock) {
  struct timespec t;
  clock_gettime(wall_clock ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
  return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

// One side of a contest: how many runs a round takes, and what they took.
typedef struct side {
  const bench_task *task;
  size_t runs;
  size_t next;
  double ns[ROUNDS];
} side;

static double time_runs(side *s, bool wall_clock) {
  const double start = now_ns(wall_clock);
  for (size_t i = 0; i < s->runs; i++) {
    s->task->run(s->task->context, s->next++);
  }
  return (now_ns(wall_clock) - start) / (double)s->runs;
}

// As many runs as fill a slice of time; this also warms caches up.
static void calibrate(side *s, const bench_options *options, bool wall_clock) {
  for (s->runs = 1;; s->runs *= 2) {
    const double ns = time_runs(s, wall_clock) * (double)s->runs;
    if (options->quick || ns >= slice_ns) {
      return;
    }
  }
}

static int compare_doubles(const void *a, const void *b) {
  const double x = *(const double *)a;
  const double y = *(const double *)b;
  return (x > y) - (x < y);
}

static void print_figure(const bench_case *what, side *ours, side *theirs,
                         size_t rounds) {
  double ratios[ROUNDS];
  for (size_t i = 0; i < rounds; i++) {
    ratios[i] = theirs->ns[i] / ours->ns[i];
  }
  qsort(ratios, rounds, sizeof ratios[0], compare_doubles);
  qsort(ours->ns, rounds, sizeof ours->ns[0], compare_doubles);
  qsort(theirs->ns, rounds, sizeof theirs->ns[0], compare_doubles);
  printf(
      "{\"bench\": \"%s\", \"case\": \"%s\", \"ours\": \"%s\", "
      "\"theirs\": \"%s\", \"unit\": \"ns/%s\", \"ours_ns\": %.4g, "
      "\"theirs_ns\": %.4g, \"ratio\": {\"median\": %.5g, \"low\": %.5g, "
      "\"high\": %.5g, \"rounds\": %zu}}\n",
      what->bench, what->name, ours->task->who, theirs->task->who, what->unit,
      ours->ns[0] / what->units, theirs->ns[0] / what->units,
      ratios[rounds / 2], ratios[rounds / 4], ratios[3 * rounds / 4], rounds);
  fflush(stdout);
}

void bench_compare(const bench_options *options, const bench_case *what,
                   const bench_task *ours, const bench_task *theirs) {
  const size_t rounds = options->quick ? QUICK_ROUNDS : ROUNDS;
  side a = {.task = ours};
  side b = {.task = theirs};
  if (options->only != NULL &&
      strncmp(what->name, options->only, strlen(options->only)) != 0) {
    return;
  }
  calibrate(&a, options, what->wall_clock);
  calibrate(&b, options, what->wall_clock);
  for (size_t i = 0; i < rounds; i++) {
    // Neither is always the first, nor always behind the same neighbour.
    side *first = i % 2 == 0 ? &a : &b;
    side *second = i % 2 == 0 ? &b : &a;
    first->ns[i] = time_runs(first, what->wall_clock);
    second->ns[i] = time_runs(second, what->wall_clock);
  }
  print_figure(what, &a, &b, rounds);
}
