// verify_bench.c: one certificate at a time, beside the libraries of peers.h;
// and its two parts that are long enough to be compared by themselves.
//
//   verify_bench [--quick] [--case TEXT] FOLDER
#include <stdio.h>
#include <string.h>

#include "../../csrc/pinverify.h"
#include "bench.h"
#include "peers.h"

enum { NUM_PINS = 2 };

static const char *const key_types[] = {"P-256", "RSA-2048", "RSA-4096",
                                        "Ed25519"};

// Certificates of one key type, and two pins: one of nobody, and the key of the
// last certificate.
typedef struct contest {
  cert_set certs;
  uint8_t pins[NUM_PINS * PV_DIGEST_LEN];
  uint8_t *spkis;  // of each certificate, back to back
  uint64_t *spki_offsets;
  uint8_t (*digests)[PV_DIGEST_LEN];
  is_pinned_function *is_pinned;  // of the library that is asked
} contest;

static contest contest_read(const char *folder, const char *key_type) {
  contest c = {.certs = cert_set_read(folder, key_type)};
  c.spkis = bench_alloc((size_t)c.certs.offsets[c.certs.num]);
  c.spki_offsets = bench_alloc((c.certs.num + 1) * sizeof *c.spki_offsets);
  c.digests = bench_alloc(c.certs.num * sizeof *c.digests);
  c.spki_offsets[0] = 0;
  for (size_t i = 0; i < c.certs.num; i++) {
    pv_span spki;
    const uint64_t at = c.certs.offsets[i];
    if (pv_spki_from_cert(&spki, c.certs.data + at,
                          (size_t)(c.certs.offsets[i + 1] - at)) != PV_OK) {
      fprintf(stderr, "bench: a certificate of %s is malformed\n", key_type);
    }
    memcpy(c.spkis + c.spki_offsets[i], spki.data, spki.len);
    c.spki_offsets[i + 1] = c.spki_offsets[i] + spki.len;
    pv_sha256(c.digests[i], spki.data, spki.len);
  }
  memset(c.pins, 0x55, sizeof c.pins);
  memcpy(c.pins + PV_DIGEST_LEN, c.digests[c.certs.num - 1], PV_DIGEST_LEN);
  return c;
}

// Every competitor finds the one pinned certificate, or its time says nothing.
// A task leaves what it found here.
static int num_found;

static void run_ours(void *context, size_t round) {
  const contest *c = context;
  (void)round;
  num_found = 0;
  for (size_t i = 0; i < c->certs.num; i++) {
    const uint64_t at = c->certs.offsets[i];
    num_found += pv_cert_is_pinned(NULL, c->pins, NUM_PINS, c->certs.data + at,
                                   (size_t)(c->certs.offsets[i + 1] - at));
  }
}

static void run_peer(void *context, size_t round) {
  const contest *c = context;
  (void)round;
  num_found = 0;
  for (size_t i = 0; i < c->certs.num; i++) {
    const uint64_t at = c->certs.offsets[i];
    num_found += c->is_pinned(c->pins, NUM_PINS, c->certs.data + at,
                              (size_t)(c->certs.offsets[i + 1] - at));
  }
}

static void run_sha256(void *context, size_t round) {
  const contest *c = context;
  uint8_t digest[PV_DIGEST_LEN];
  (void)round;
  for (size_t i = 0; i < c->certs.num; i++) {
    const uint64_t at = c->spki_offsets[i];
    pv_sha256(digest, c->spkis + at, (size_t)(c->spki_offsets[i + 1] - at));
    bench_keep(digest);
  }
  num_found = memcmp(digest, c->digests[c->certs.num - 1], sizeof digest) == 0;
}

static void run_openssl_sha256(void *context, size_t round) {
  const contest *c = context;
  uint8_t digest[PV_DIGEST_LEN];
  (void)round;
  for (size_t i = 0; i < c->certs.num; i++) {
    const uint64_t at = c->spki_offsets[i];
    openssl_sha256(digest, c->spkis + at,
                   (size_t)(c->spki_offsets[i + 1] - at));
    bench_keep(digest);
  }
  num_found = memcmp(digest, c->digests[c->certs.num - 1], sizeof digest) == 0;
}

static void run_contain(void *context, size_t round) {
  const contest *c = context;
  (void)round;
  num_found = 0;
  for (size_t i = 0; i < c->certs.num; i++) {
    num_found += (int)pv_packed_contain(c->pins, NUM_PINS, c->digests[i]);
  }
}

static void run_openssl_contains(void *context, size_t round) {
  const contest *c = context;
  (void)round;
  num_found = 0;
  for (size_t i = 0; i < c->certs.num; i++) {
    num_found += openssl_contains(c->pins, NUM_PINS, c->digests[i]);
  }
}

static bool answers(const bench_task *task, const char *key_type) {
  task->run(task->context, 0);
  if (num_found != 1) {
    fprintf(stderr, "%s does not answer for %s: left out\n", task->who,
            key_type);
  }
  return num_found == 1;
}

static void compare(const bench_options *options, const char *bench,
                    const char *key_type, bench_task ours, bench_task theirs) {
  const contest *c = ours.context;
  const bench_case what = {.bench = bench,
                           .name = key_type,
                           .unit = "certificate",
                           .units = (double)c->certs.num};
  if (answers(&ours, key_type) && answers(&theirs, key_type)) {
    bench_compare(options, &what, &ours, &theirs);
  }
}

int main(int argc, char **argv) {
  const bench_options options = bench_read_options(argc, argv);
  if (options.num_rest != 1) {
    fprintf(stderr, "usage: verify_bench [--quick] [--case TEXT] FOLDER\n");
    return 2;
  }
  for (size_t i = 0; i < sizeof key_types / sizeof key_types[0]; i++) {
    contest c = contest_read(options.rest[0], key_types[i]);
    for (size_t p = 0; p < num_peers; p++) {
      if (peers[p].is_pinned == NULL) {
        continue;
      }
      c.is_pinned = peers[p].is_pinned;
      compare(&options, "verify", key_types[i],
              (bench_task){"pinverify", run_ours, &c},
              (bench_task){peers[p].who, run_peer, &c});
    }
    compare(&options, "sha256 of one SPKI", key_types[i],
            (bench_task){"pinverify", run_sha256, &c},
            (bench_task){"OpenSSL", run_openssl_sha256, &c});
    compare(&options, "two pins", key_types[i],
            (bench_task){"pinverify", run_contain, &c},
            (bench_task){"OpenSSL", run_openssl_contains, &c});
  }
  return 0;
}
