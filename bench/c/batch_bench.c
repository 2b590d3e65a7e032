// batch_bench.c: many certificates, back to back in memory that no cache holds,
// to digests and to one answer each about 16 pins; beside OpenSSL, and two
// threads beside one.
//
//   batch_bench [--quick] [--case TEXT] FOLDER
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "../../csrc/pinverify.h"
#include "bench.h"
#include "peers.h"

// Enough slices that the time in which a second core wakes up counts for little.
enum { NUM_PINS = 16, THREADED_SLICES = 64 };

static const size_t far_bytes = (size_t)1 << 30;  // more than caches hold

// A batch is one whole set of certificates; `far` holds it many times, and each
// run takes the next copy, which is in no cache any more.
typedef struct batch {
  cert_set far;
  size_t num;  // certificates in one copy
  size_t copies;
  size_t begin;  // the copy of the first run
  uint8_t packed[NUM_PINS * PV_DIGEST_LEN];
  uint8_t rows[NUM_PINS * PV_DIGEST_LEN];
  uint8_t *digests;
  uint8_t *statuses;
  uint8_t *pinned;
} batch;

static batch batch_read(const char *folder, const char *name, size_t bytes) {
  const cert_set set = cert_set_read(folder, name);
  batch b = {.far = cert_set_repeat(&set, bytes), .num = set.num};
  b.copies = b.far.num / set.num;
  b.digests = bench_alloc(set.num * PV_DIGEST_LEN);
  b.statuses = bench_alloc(set.num);
  b.pinned = bench_alloc(set.num);
  memset(b.rows, 0x55, sizeof b.rows);
  if (pv_spki_sha256(b.rows, set.data, (size_t)set.offsets[1]) != PV_OK) {
    fprintf(stderr, "bench: the first certificate of %s is malformed\n", name);
  }
  pv_pins_pack(b.packed, b.rows, NUM_PINS);
  return b;
}

static cert_set next_copy(const batch *b, size_t round) {
  const size_t copy = (b->begin + round) % b->copies;
  return cert_set_slice(&b->far, copy * b->num, b->num);
}

static void run_ours(void *context, size_t round) {
  batch *b = context;
  const cert_set certs = next_copy(b, round);
  const pv_column column = {certs.data,
                            (size_t)certs.offsets[certs.num],
                            {certs.offsets, sizeof *certs.offsets, certs.num}};
  size_t num_malformed = 0;
  if (pv_certs_are_pinned(b->pinned, b->digests, b->statuses, &num_malformed,
                          b->packed, NUM_PINS, &column) != PV_OK ||
      num_malformed != 0) {
    fprintf(stderr, "bench: %zu certificates are malformed\n", num_malformed);
  }
  bench_keep(b->pinned);
}

static void run_openssl(void *context, size_t round) {
  batch *b = context;
  const cert_set certs = next_copy(b, round);
  for (size_t i = 0; i < certs.num; i++) {
    const uint64_t at = certs.offsets[i];
    b->pinned[i] =
        (uint8_t)peers[0].is_pinned(b->rows, NUM_PINS, certs.data + at,
                                    (size_t)(certs.offsets[i + 1] - at));
  }
  bench_keep(b->pinned);
}

// ---- threads ----------------------------------------------------------------

// The work of both competitors: several copies for each of two batches.
typedef struct pair_of_batches {
  batch each[2];
} pair_of_batches;

static void run_slices(batch *b, size_t round) {
  for (size_t i = 0; i < THREADED_SLICES; i++) {
    run_ours(b, round * THREADED_SLICES + i);
  }
}

static void run_one_thread(void *context, size_t round) {
  pair_of_batches *pair = context;
  run_slices(&pair->each[0], round);
  run_slices(&pair->each[1], round);
}

typedef struct errand {
  batch *b;
  size_t round;
} errand;

static void *run_errand(void *context) {
  const errand *e = context;
  run_slices(e->b, e->round);
  return NULL;
}

static void run_two_threads(void *context, size_t round) {
  pair_of_batches *pair = context;
  errand other = {&pair->each[1], round};
  pthread_t thread;
  if (pthread_create(&thread, NULL, run_errand, &other) != 0) {
    fprintf(stderr, "bench: no second thread\n");
    return;
  }
  run_slices(&pair->each[0], round);
  pthread_join(thread, NULL);
}

static void compare_threads(const bench_options *options, const batch *b) {
  pair_of_batches pair = {{*b, *b}};
  batch *second = &pair.each[1];
  second->begin = b->copies / 2;
  second->digests = bench_alloc(b->num * PV_DIGEST_LEN);
  second->statuses = bench_alloc(b->num);
  second->pinned = bench_alloc(b->num);
  const bench_case what = {.bench = "two threads",
                           .name = "web",
                           .unit = "certificate",
                           .units = 2.0 * THREADED_SLICES * (double)b->num,
                           .wall_clock = true};
  const bench_task two = {"two threads", run_two_threads, &pair};
  const bench_task one = {"one thread", run_one_thread, &pair};
  bench_compare(options, &what, &two, &one);
}

int main(int argc, char **argv) {
  const char *const names[] = {"web", "real"};
  const bench_options options = bench_read_options(argc, argv);
  if (options.num_rest != 1) {
    fprintf(stderr, "usage: batch_bench [--quick] [--case TEXT] FOLDER\n");
    return 2;
  }
  for (size_t i = 0; i < 2; i++) {
    batch ours =
        batch_read(options.rest[0], names[i], options.quick ? 1 : far_bytes);
    batch theirs = ours;
    theirs.begin = ours.copies / 2;
    const bench_case what = {.bench = "batch",
                             .name = names[i],
                             .unit = "certificate",
                             .units = (double)ours.num};
    const bench_task a = {"pinverify", run_ours, &ours};
    const bench_task b = {"OpenSSL", run_openssl, &theirs};
    bench_compare(&options, &what, &a, &b);
    if (i == 0) {
      compare_threads(&options, &ours);
    }
  }
  return 0;
}
